package dev.topknot.samples.lm;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Options;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Locale;

/** The models that this sample compiles. */
enum ModelKind {
  /** {@link NewsModel}. */
  MOE(NewsModel.class) {
    @Override
    LanguageModel on(Device device, long seed, Options options) {
      return TopknotNewsModel.on(device, seed, options);
    }
  },
  /** {@link NewsModel32}. */
  MOE_32(NewsModel32.class) {
    @Override
    LanguageModel on(Device device, long seed, Options options) {
      return TopknotNewsModel32.on(device, seed, options);
    }
  },
  /** {@link DenseNewsModel}. */
  DENSE(DenseNewsModel.class) {
    @Override
    LanguageModel on(Device device, long seed, Options options) {
      return TopknotDenseNewsModel.on(device, seed, options);
    }
  };

  private final Class<? extends LanguageModel> spec;

  ModelKind(Class<? extends LanguageModel> spec) {
    this.spec = spec;
  }

  abstract LanguageModel on(Device device, long seed, Options options);

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
