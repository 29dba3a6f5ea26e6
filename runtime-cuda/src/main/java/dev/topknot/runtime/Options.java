package dev.topknot.runtime;

import java.util.Collection;
import java.util.Map;
import java.util.TreeMap;

/**
 * What varies between instances of one compiled specification: loss weights, noise and dropout.
 * Immutable. What is not set keeps the value of its annotation; a value set for one layer goes
 * before a value set for all.
 *
 * <pre>{@code
 * Options ablation = Options.defaults().withImportanceLoss(0).withLoadLoss(0);
 * Options mixed = Options.defaults().withDropout(0.2).withDropout("above", 0);
 * }</pre>
 */
public final class Options {
  private static final Options DEFAULTS = new Options(Map.of());

  private static final String IMPORTANCE_LOSS = "importanceLoss";
  private static final String LOAD_LOSS = "loadLoss";
  private static final String NOISE = "noise";
  private static final String NOISE_FLOOR = "noiseFloor";
  private static final String DROPOUT = "dropout";
  private static final String OF = " of ";

  /** Keys are {@code "dropout"} for all layers and {@code "dropout of above"} for one. */
  private final Map<String, Double> values;

  private Options(Map<String, Double> values) {
    this.values = values;
  }

  /** Everything as annotated. */
  public static Options defaults() {
    return DEFAULTS;
  }

  /** Weight of CV²(importance) in every MoE layer, finite and not negative. */
  public Options withImportanceLoss(double weight) {
    return with(IMPORTANCE_LOSS, nonNegative(IMPORTANCE_LOSS, weight));
  }

  /** Weight of CV²(importance) in one layer. */
  public Options withImportanceLoss(String layer, double weight) {
    return with(key(IMPORTANCE_LOSS, layer), nonNegative(IMPORTANCE_LOSS, weight));
  }

  /** Weight of CV²(load) in every MoE layer, finite and not negative. */
  public Options withLoadLoss(double weight) {
    return with(LOAD_LOSS, nonNegative(LOAD_LOSS, weight));
  }

  /** Weight of CV²(load) in one layer. */
  public Options withLoadLoss(String layer, double weight) {
    return with(key(LOAD_LOSS, layer), nonNegative(LOAD_LOSS, weight));
  }

  /** Whether the gates of noisy top-k draw noise in training. */
  public Options withNoise(boolean noise) {
    return with(NOISE, noise ? 1 : 0);
  }

  /** Whether the gate of one layer draws noise in training. */
  public Options withNoise(String layer, boolean noise) {
    return with(key(NOISE, layer), noise ? 1 : 0);
  }

  /** Smallest standard deviation of the gate noise, finite and not negative. */
  public Options withNoiseFloor(double floor) {
    return with(NOISE_FLOOR, nonNegative(NOISE_FLOOR, floor));
  }

  /** Smallest standard deviation of the gate noise of one layer. */
  public Options withNoiseFloor(String layer, double floor) {
    return with(key(NOISE_FLOOR, layer), nonNegative(NOISE_FLOOR, floor));
  }

  /** Dropout rate wherever the specification drops out, in [0, 1). */
  public Options withDropout(double rate) {
    return with(DROPOUT, rate(rate));
  }

  /** Dropout rate of one layer. */
  public Options withDropout(String layer, double rate) {
    return with(key(DROPOUT, layer), rate(rate));
  }

  /** The weight of CV²(importance) that holds for a layer annotated with {@code annotated}. */
  public double importanceLoss(String layer, double annotated) {
    return value(IMPORTANCE_LOSS, layer, annotated);
  }

  /** The weight of CV²(load) that holds for a layer annotated with {@code annotated}. */
  public double loadLoss(String layer, double annotated) {
    return value(LOAD_LOSS, layer, annotated);
  }

  /** Whether a layer draws gate noise in training; {@code annotated} where nothing is set. */
  public boolean noise(String layer, boolean annotated) {
    return value(NOISE, layer, annotated ? 1 : 0) != 0;
  }

  /** The noise floor that holds for a layer annotated with {@code annotated}. */
  public double noiseFloor(String layer, double annotated) {
    return value(NOISE_FLOOR, layer, annotated);
  }

  /** The dropout rate that holds for a layer annotated with {@code annotated}. */
  public double dropout(String layer, double annotated) {
    return value(DROPOUT, layer, annotated);
  }

  /**
   * Checks that values set for one layer name a layer that exists.
   *
   * @throws IllegalArgumentException naming the option and the layers there are
   */
  public void requireLayers(Collection<String> layers) {
    for (String key : values.keySet()) {
      int at = key.indexOf(OF);
      if (at >= 0 && !layers.contains(key.substring(at + OF.length()))) {
        throw new IllegalArgumentException(
            "there is no such layer: " + key + "; the layers are " + layers);
      }
    }
  }

  @Override
  public String toString() {
    return "Options" + values;
  }

  private Options with(String key, double value) {
    Map<String, Double> changed = new TreeMap<>(values);
    changed.put(key, value);
    return new Options(changed);
  }

  private double value(String option, String layer, double annotated) {
    Double all = values.getOrDefault(option, annotated);
    return values.getOrDefault(key(option, layer), all);
  }

  private static String key(String option, String layer) {
    return option + OF + layer;
  }

  private static double nonNegative(String option, double value) {
    if (!(value >= 0 && value < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          option + " must be finite and not negative, but is " + value);
    }
    return value;
  }

  private static double rate(double value) {
    if (!(value >= 0 && value < 1)) {
      throw new IllegalArgumentException("dropout must be in [0, 1), but is " + value);
    }
    return value;
  }
}
