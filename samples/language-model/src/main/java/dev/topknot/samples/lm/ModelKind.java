package dev.topknot.samples.lm;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Options;
import java.util.Locale;
import java.util.Optional;

/** The models that this sample compiles: dense ones, and MoE models with their dense twins. */
enum ModelKind implements Model {
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

  @Override
  public Class<? extends LanguageModel> spec() {
    return spec;
  }

  @Override
  public LanguageModel on(Device device, long seed, Options options) {
    return opener.on(device, seed, options);
  }

  /** The dense model that does as many operations for each word; none of a dense model. */
  Optional<ModelKind> twin() {
    return Optional.ofNullable(twin);
  }

  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }
}
