package dev.topknot.samples.lm;

import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** What a run is to be, as given on the command line: null is not given. */
final class TrainingOptions {
  @Mixin private TextOptions text;

  @Option(
      names = "--epochs",
      paramLabel = "N",
      description = "Passes over the training text, in all. Default: 1.")
  private Long epochs;

  @Option(names = "--steps", paramLabel = "N", description = "Steps at most, in all.")
  private Long steps;

  @Option(
      names = "--minutes",
      paramLabel = "M",
      description = "Minutes at most, in all, the last evaluation not included.")
  private Double minutes;

  @Option(
      names = "--rate",
      paramLabel = "R",
      description =
          "Highest learning rate; it rises linearly, then falls as 1/sqrt(step). Default: 0.004.")
  private Double rate;

  @Option(
      names = "--warmup",
      paramLabel = "N",
      description = "Steps to the highest rate. Default: 400.")
  private Long warmup;

  @Option(
      names = "--clip",
      paramLabel = "C",
      description = "Largest norm of the gradient. Default: 1.")
  private Double clip;

  @Option(
      names = "--seed",
      paramLabel = "S",
      description = "Seed of parameters, noise and dropout. Default: 1.")
  private Long seed;

  @Option(
      names = "--importance-loss",
      paramLabel = "W",
      description = "Weight of CV(importance)^2. Default: as annotated.")
  private Double importanceLoss;

  @Option(
      names = "--load-loss",
      paramLabel = "W",
      description = "Weight of CV(load)^2. Default: as annotated.")
  private Double loadLoss;

  @Option(
      names = "--dropout",
      paramLabel = "P",
      description = "Dropout rate of every layer. Default: as annotated.")
  private Double dropout;

  @Option(
      names = "--evaluate-every",
      paramLabel = "N",
      defaultValue = "250",
      description = "Steps from one look at the held-out text to the next. Default: 250.")
  long evaluateEvery;

  @Option(
      names = "--save-every",
      paramLabel = "N",
      defaultValue = "2000",
      description = "Steps from one checkpoint to the next. Default: 2000.")
  long saveEvery;

  /** The defaults, with limits for the bundled text, which is there to be tried in minutes. */
  Settings defaults(Long bundledSteps, Double bundledMinutes) {
    boolean bundled = text.over(Text.BUNDLED).data() == null;
    return bundled ? Settings.DEFAULTS.withLimits(bundledSteps, bundledMinutes) : Settings.DEFAULTS;
  }

  /** The settings with what is given here in place of what is there; a limit replaces them all. */
  Settings over(Settings base) {
    boolean limited = epochs != null || steps != null || minutes != null;
    return new Settings(
        base.model(),
        text.over(base.text()),
        or(seed, base.seed()),
        or(rate, base.rate()),
        or(warmup, base.warmup()),
        or(clip, base.clip()),
        or(importanceLoss, base.importanceLoss()),
        or(loadLoss, base.loadLoss()),
        or(dropout, base.dropout()),
        or(epochs, base.epochs()),
        limited ? steps : base.steps(),
        limited ? minutes : base.minutes());
  }

  private static <T> T or(T given, T otherwise) {
    return given == null ? otherwise : given;
  }
}
