package dev.topknot.runtime.program;

import dev.topknot.dsl.Optimizer;
import dev.topknot.runtime.Checkpoint;
import dev.topknot.runtime.CheckpointException;
import dev.topknot.runtime.Tensor;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Saves an instance to a file and loads it back, after checking that everything fits. */
final class Checkpoints {
  private static final String STATE = "carried.state";

  private Checkpoints() {}

  /**
   * Saves parameters, moments where there are any, and state.
   *
   * @param state of training, or null without one
   * @param batch that the state belongs to
   */
  static void save(
      Path path,
      Layout layout,
      Executor executor,
      Tensor state,
      int batch,
      long step,
      long seed,
      Map<String, String> extra)
      throws IOException {
    Map<String, String> metadata = new LinkedHashMap<>();
    metadata.put(Checkpoint.FORMAT, Checkpoint.VERSION);
    metadata.put(Checkpoint.SPEC, layout.spec());
    metadata.put(Checkpoint.LAYOUT, layout.hash());
    metadata.put(Checkpoint.STEP, Long.toString(step));
    metadata.put(Checkpoint.SEED, Long.toString(seed));
    if (state != null) {
      metadata.put(Checkpoint.BATCH, Integer.toString(batch));
    }
    for (Map.Entry<String, String> entry : extra.entrySet()) {
      if (entry.getKey().startsWith(Checkpoint.PREFIX)) {
        throw new IllegalArgumentException(
            "names that begin with " + Checkpoint.PREFIX + " are taken: " + entry.getKey());
      }
      metadata.put(entry.getKey(), entry.getValue());
    }
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    for (Layout.Slice slice : layout.slices()) {
      tensors.put(slice.name(), executor.parameter(slice));
    }
    for (Moment moment : executor.moments()) {
      for (Layout.Slice slice : layout.slices()) {
        tensors.put(moment.prefix() + slice.name(), executor.moment(moment, slice));
      }
    }
    if (state != null) {
      tensors.put(STATE, state);
    }
    TensorFile.write(path, metadata, tensors);
  }

  /**
   * Loads a file into an instance, which is untouched when anything does not fit.
   *
   * @param state of training, or null without one; zero afterwards unless the file has it for the
   *     same batch
   * @return updates done when the file was saved; 0 where moments are missed in it
   */
  static long load(Path path, Layout layout, Executor executor, Tensor state, int batch)
      throws IOException {
    try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
      Safetensors file = Safetensors.read(path, channel);
      Checkpoint about = Checkpoint.of(path, file);
      Optimizer optimizer = requireFit(path, layout, file);
      boolean moments = optimizer != Optimizer.NONE;
      requireOrder(path, layout, file, about);
      boolean sameState = state != null && hasState(path, file, state, batch);
      if (moments && executor.hasMoments()) {
        if (!Moment.of(optimizer).equals(executor.moments())) {
          throw differs(path, layout, "its moments are those of another optimizer, " + optimizer);
        }
        for (Moment moment : executor.moments()) {
          for (Layout.Slice slice : layout.slices()) {
            requireValues(path, channel, file, moment.prefix() + slice.name(), moment.least());
          }
        }
      }
      if (sameState) {
        requireValues(path, channel, file, STATE, -Float.MAX_VALUE);
      }

      for (Layout.Slice slice : layout.slices()) {
        read(channel, file, slice.name(), executor.parameter(slice));
        for (Moment moment : executor.moments()) {
          String name = moment.prefix() + slice.name();
          readOrZero(channel, file, moments, name, executor.moment(moment, slice));
        }
      }
      if (state != null) {
        readOrZero(channel, file, sameState, STATE, state);
      }
      // Adam corrects zero moments as those of the first update, whatever the file counted
      return moments || !executor.hasMoments() ? about.step() : 0;
    }
  }

  /** Checks names, types and shapes, and returns the optimizer whose moments there are. */
  private static Optimizer requireFit(Path path, Layout layout, Safetensors file)
      throws CheckpointException {
    Optimizer optimizer =
        Arrays.stream(Optimizer.values())
            .filter(it -> Moment.of(it).stream().anyMatch(moment -> has(file, moment)))
            .findFirst()
            .orElse(Optimizer.NONE);
    Map<String, long[]> expected = new LinkedHashMap<>();
    for (Layout.Slice slice : layout.slices()) {
      expected.put(slice.name(), slice.shape());
    }
    for (Moment moment : Moment.of(optimizer)) {
      for (Layout.Slice slice : layout.slices()) {
        expected.put(moment.prefix() + slice.name(), moment.shape(slice));
      }
    }
    for (Map.Entry<String, long[]> entry : expected.entrySet()) {
      Safetensors.Stored stored = file.tensors().get(entry.getKey());
      String shape = Arrays.toString(entry.getValue());
      if (stored == null) {
        throw differs(path, layout, "it lacks " + entry.getKey() + " of shape " + shape);
      }
      if (!stored.shape().toString().equals(shape)) {
        throw differs(
            path, layout, entry.getKey() + " has shape " + stored.shape() + ", expected " + shape);
      }
      if (!stored.type().equals("F32")) {
        throw differs(path, layout, entry.getKey() + " is " + stored.type() + ", expected F32");
      }
    }
    for (Safetensors.Stored stored : file.tensors().values()) {
      if (!expected.containsKey(stored.name()) && !stored.name().equals(STATE)) {
        throw differs(
            path,
            layout,
            "it has "
                + stored.name()
                + " of shape "
                + stored.shape()
                + ", expected no such tensor");
      }
    }
    return optimizer;
  }

  private static boolean has(Safetensors file, Moment moment) {
    return file.tensors().keySet().stream().anyMatch(it -> it.startsWith(moment.prefix()));
  }

  /** Layers of one shape may have changed places; only files of ours can tell. */
  private static void requireOrder(Path path, Layout layout, Safetensors file, Checkpoint about)
      throws CheckpointException {
    if (about.layout().isEmpty() || about.layout().equals(layout.hash())) {
      return;
    }
    List<String> stored = new ArrayList<>(file.tensors().keySet());
    List<Layout.Slice> slices = layout.slices();
    for (int i = 0; i < slices.size(); i++) {
      if (!stored.get(i).equals(slices.get(i).name())) {
        throw differs(
            path,
            layout,
            "parameter " + i + " is " + stored.get(i) + ", expected " + slices.get(i).name());
      }
    }
    throw differs(path, layout, "its layout is " + about.layout() + ", expected " + layout.hash());
  }

  private static boolean hasState(Path path, Safetensors file, Tensor state, int batch)
      throws CheckpointException {
    Safetensors.Stored stored = file.tensors().get(STATE);
    if (stored == null || !Integer.toString(batch).equals(file.metadata().get(Checkpoint.BATCH))) {
      return false;
    }
    if (!stored.type().equals("F32") || !stored.shape().equals(List.of(state.size()))) {
      throw new CheckpointException(
          String.format(
              "%s: %s is %s of shape %s, expected F32 of shape [%d]",
              path, STATE, stored.type(), stored.shape(), state.size()));
    }
    return true;
  }

  /**
   * Looks at what no training leaves, and what would spoil the next without a word: a parameter
   * whose second moment is infinite stays as it is for ever. Parameters are the user's to set, and
   * a step says which is not finite.
   */
  private static void requireValues(
      Path path, FileChannel channel, Safetensors file, String name, float least)
      throws IOException {
    Safetensors.Stored stored = file.tensors().get(name);
    TensorFile.read(
        channel,
        file.dataStart() + stored.begin(),
        (stored.end() - stored.begin()) / Float.BYTES,
        (first, tile, count) -> {
          for (int i = 0; i < count; i++) {
            if (!(tile[i] >= least && tile[i] <= Float.MAX_VALUE)) {
              throw new CheckpointException(
                  String.format(
                      "%s: %s is %s at element %d, expected a finite number%s",
                      path, name, tile[i], first + i, least == 0 ? " of 0 or more" : ""));
            }
          }
        });
  }

  private static void readOrZero(
      FileChannel channel, Safetensors file, boolean present, String name, Tensor tensor)
      throws IOException {
    if (present) {
      read(channel, file, name, tensor);
    } else {
      tensor.fill(0);
    }
  }

  private static void read(FileChannel channel, Safetensors file, String name, Tensor tensor)
      throws IOException {
    TensorFile.read(channel, file.dataStart() + file.tensors().get(name).begin(), tensor);
  }

  private static CheckpointException differs(Path path, Layout layout, String what) {
    return new CheckpointException(path + " does not fit " + layout.spec() + ": " + what);
  }
}
