package dev.topknot.samples.lm;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Options;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.Optional;

/** The models that this sample compiles: dense ones, and MoE models with their dense twins. */
enum ModelKind {
  /** {@link DenseNewsModel}. */
  DENSE(DenseNewsModel.class, TopknotDenseNewsModel::on, null),
  /** {@link NewsModel}. */
  MOE(NewsModel.class, TopknotNewsModel::on, DENSE),
  /** {@link NewsModel32}. */
  MOE_32(NewsModel32.class, TopknotNewsModel32::on, DENSE),
  /** {@link DenseStackedNewsModel}. */
  DENSE_STACKED(DenseStackedNewsModel.class, TopknotDenseStackedNewsModel::on, null),
  /** {@link StackedNewsModel}. */
  MOE_STACKED(StackedNewsModel.class, TopknotStackedNewsModel::on, DENSE_STACKED);

  private final Class<? extends LanguageModel> spec;

  @SuppressWarnings("ImmutableEnumChecker") // a method's name, without state
  private final Opener opener;

  private final ModelKind twin;

  ModelKind(Class<? extends LanguageModel> spec, Opener opener, ModelKind twin) {
    this.spec = spec;
    this.opener = opener;
    this.twin = twin;
  }

  private interface Opener {
    LanguageModel on(Device device, long seed, Options options);
  }

  LanguageModel on(Device device, long seed, Options options) {
    return opener.on(device, seed, options);
  }

  /** The dense model that does as many operations for each word; none of a dense model. */
  Optional<ModelKind> twin() {
    return Optional.ofNullable(twin);
  }

  /** The report that the processor wrote beside the specification's class file. */
  String report() throws IOException {
    String name = spec.getSimpleName() + ".topknot.md";
    try (InputStream in = spec.getResourceAsStream(name)) {
      if (in == null) {
        throw new IOException("the processor wrote no " + name + "; was it switched off?");
      }
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
  }

  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }
}
