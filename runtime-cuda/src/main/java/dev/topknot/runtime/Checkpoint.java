package dev.topknot.runtime;

import dev.topknot.runtime.program.Safetensors;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a saved file says of itself, without loading it.
 *
 * @param spec simple name of the interface that was compiled; empty in files of other programs
 * @param layout hash of names, shapes and order of the parameters; empty in files of other programs
 * @param step updates done when it was saved
 * @param seed of the instance that saved it
 * @param extra strings of whoever saved it
 * @param shapes of every tensor in the file, by name, in the order of their bytes
 */
public record Checkpoint(
    String spec,
    String layout,
    long step,
    long seed,
    Map<String, String> extra,
    Map<String, List<Long>> shapes) {
  /** Metadata of ours begin with this; nobody else's may. */
  public static final String PREFIX = "topknot.";

  /** Metadata: the version of what this class describes. */
  public static final String FORMAT = PREFIX + "format";

  /** The version that is written and read. */
  public static final String VERSION = "1";

  /** Metadata: {@link #spec}. */
  public static final String SPEC = PREFIX + "spec";

  /** Metadata: {@link #layout}. */
  public static final String LAYOUT = PREFIX + "layout";

  /** Metadata: {@link #step}. */
  public static final String STEP = PREFIX + "step";

  /** Metadata: {@link #seed}. */
  public static final String SEED = PREFIX + "seed";

  /** Metadata: the batch size that carried state belongs to. */
  public static final String BATCH = PREFIX + "batch";

  /** Makes the maps unmodifiable. */
  public Checkpoint {
    extra = Collections.unmodifiableMap(new LinkedHashMap<>(extra));
    shapes = Collections.unmodifiableMap(new LinkedHashMap<>(shapes));
  }

  /**
   * Reads the head of a file.
   *
   * @throws CheckpointException if it is not in the safetensors format, damaged or of a later
   *     version
   * @throws IOException if it cannot be read
   */
  public static Checkpoint read(Path path) throws IOException {
    return of(path, Safetensors.read(path));
  }

  /** What the head of a file says; for the runtime. */
  public static Checkpoint of(Path path, Safetensors file) throws CheckpointException {
    Map<String, String> extra = new LinkedHashMap<>();
    file.metadata()
        .forEach(
            (key, value) -> {
              if (!key.startsWith(PREFIX)) {
                extra.put(key, value);
              }
            });
    Map<String, List<Long>> shapes = new LinkedHashMap<>();
    file.tensors().forEach((name, tensor) -> shapes.put(name, tensor.shape()));
    String version = file.metadata().getOrDefault(FORMAT, VERSION);
    if (!version.equals(VERSION)) {
      throw new CheckpointException(
          path + " is of format " + version + ", this runtime reads " + VERSION);
    }
    long step = number(path, file, STEP);
    if (step < 0) {
      throw new CheckpointException(path + ": " + STEP + " is " + step + ", expected 0 or more");
    }
    return new Checkpoint(
        file.metadata().getOrDefault(SPEC, ""),
        file.metadata().getOrDefault(LAYOUT, ""),
        step,
        number(path, file, SEED),
        extra,
        shapes);
  }

  private static long number(Path path, Safetensors file, String key) throws CheckpointException {
    String value = file.metadata().getOrDefault(key, "0");
    try {
      return Long.parseLong(value);
    } catch (NumberFormatException e) {
      throw new CheckpointException(path + ": " + key + " is not a number: " + value, e);
    }
  }
}
