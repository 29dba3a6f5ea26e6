package dev.topknot.samples.lm;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Options;
import dev.topknot.samples.lm.sweep.Scale;
import dev.topknot.samples.lm.sweep.SweepModel;
import java.util.Arrays;
import java.util.stream.Stream;

/** A model of the sweeps in one scale. */
record SweptModel(SweepModel model, Scale scale) implements Model {
  static Stream<Model> all() {
    return Arrays.stream(Scale.values())
        .flatMap(scale -> Arrays.stream(SweepModel.values()).map(it -> new SweptModel(it, scale)));
  }

  @Override
  public Class<? extends LanguageModel> spec() {
    return model.spec(scale);
  }

  @Override
  public LanguageModel on(Device device, long seed, Options options) {
    return model.on(scale, device, seed, options);
  }

  @Override
  public String toString() {
    return scale + "-" + model;
  }
}
