package dev.topknot.it.numerics;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Dense;
import dev.topknot.dsl.Dropout;
import dev.topknot.dsl.Embedding;
import dev.topknot.dsl.Lstm;
import dev.topknot.dsl.MoEModel;
import dev.topknot.dsl.Residual;
import dev.topknot.dsl.Softmax;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Layer;
import dev.topknot.runtime.MoE;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.time.Instant;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Once the just-in-time compiler has seen it, a step allocates nothing on the heap, on any thread
 * that computes; {@code train} allocates what it returns.
 */
class AllocationTest {
  private static final int CALLS = 100;
  private static final Duration PATIENCE = Duration.ofMinutes(1);
  private static final Update UPDATE = Update.of(1e-3);
  private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

  /** A {@code Step} and the loss and norm that it is made from, two small records. */
  private static final int BYTES_OF_A_STEP = 96;

  /** Products large enough to be spread over threads, and none of the gates that report balance. */
  @MoEModel(batch = 16, timesteps = 8)
  interface Recurrent extends LanguageModel {
    /** Words to vectors. */
    @Embedding(vocabulary = 300, width = 128)
    @Dropout(0.1)
    Layer words();

    /** Products of 128 by 512. */
    @Lstm(units = 128)
    @Residual
    Layer below();

    /** Products of 128 by 640, and of 160 by 128. */
    @Lstm(units = 160, projection = 128)
    Layer projected();

    /** Products of 128 by 512. */
    @Dense(units = 512, activation = ActivationFunction.RELU)
    Layer wide();

    /** Products of 512 by 300. */
    @Softmax(vocabulary = 300)
    Layer next();
  }

  /** Candidates of a softmax. */
  @MoEModel(batch = 16, timesteps = 8)
  interface Sampled extends LanguageModel {
    /** Words to vectors. */
    @Embedding(vocabulary = 3000, width = 128)
    Layer words();

    /** Products of 128 by 300 classes or more. */
    @Softmax(vocabulary = 3000, samples = 700)
    Layer next();
  }

  static Stream<Function<Device, LanguageModel>> models() {
    return Stream.of(TopknotAllocationTest_Recurrent::on, TopknotAllocationTest_Sampled::on);
  }

  static Stream<Function<Device, MoE>> layers() {
    return Stream.of(
        TopknotSpecs_TwoFiftySix::on,
        TopknotSpecs_Three::on,
        TopknotSpecs_SixtyFour::on,
        TopknotSpecs_WholeGroups::on,
        TopknotExpertSpecs_Kinds::on,
        TopknotExpertSpecs_RecomputedKinds::on,
        TopknotAdamFactoredTest_Lines::on);
  }

  @ParameterizedTest
  @MethodSource("layers")
  void aStepOfALayer(Function<Device, MoE> open) {
    Device device = Device.cpu(2);
    try (MoE moe = open.apply(device)) {
      Parts parts = Parts.of(moe);
      try (Tensor x = device.tensor(parts.tokens(), parts.width());
          Tensor y = device.tensor(parts.tokens(), parts.width());
          Tensor dx = device.tensor(parts.tokens(), parts.width())) {
        x.fill(0.5f);
        long bytes =
            bytesOfACall(
                0,
                () -> {
                  moe.forward(x, y);
                  moe.backward(y, dx);
                  moe.update(UPDATE);
                  moe.infer(x, y);
                });
        assertThat(bytes).isZero();
      }
    }
  }

  @ParameterizedTest
  @MethodSource("models")
  void aStepOfAModel(Function<Device, LanguageModel> open) {
    try (LanguageModel model = open.apply(Device.cpu(2))) {
      int tokens = model.batch() * model.timesteps();
      Batch batch = Batch.full(new int[tokens], new int[tokens]);
      assertThat(bytesOfACall(BYTES_OF_A_STEP, () -> model.train(batch, UPDATE)))
          .isLessThanOrEqualTo(BYTES_OF_A_STEP);
    }
  }

  /** The largest call that a layer takes. */
  private record Parts(int tokens, int width) {
    static Parts of(MoE moe) {
      return switch (moe.name().substring(moe.name().lastIndexOf('.') + 1)) {
        case "TwoFiftySix" ->
            new Parts(TopknotSpecs_TwoFiftySix.TOKENS, TopknotSpecs_TwoFiftySix.WIDTH);
        case "WholeGroups" ->
            new Parts(TopknotSpecs_WholeGroups.TOKENS, TopknotSpecs_WholeGroups.WIDTH);
        case "Kinds" -> new Parts(TopknotExpertSpecs_Kinds.TOKENS, TopknotExpertSpecs_Kinds.WIDTH);
        case "RecomputedKinds" ->
            new Parts(
                TopknotExpertSpecs_RecomputedKinds.TOKENS,
                TopknotExpertSpecs_RecomputedKinds.WIDTH);
        case "Three" -> new Parts(TopknotSpecs_Three.TOKENS, TopknotSpecs_Three.WIDTH);
        case "Lines" ->
            new Parts(TopknotAdamFactoredTest_Lines.TOKENS, TopknotAdamFactoredTest_Lines.WIDTH);
        default -> new Parts(TopknotSpecs_SixtyFour.TOKENS, TopknotSpecs_SixtyFour.WIDTH);
      };
    }
  }

  /** Calls until a call takes no more than is allowed, or patience ends; the latest figure. */
  private static long bytesOfACall(long allowed, Runnable call) {
    Instant end = Instant.now().plus(PATIENCE);
    long bytes;
    do {
      for (int i = 0; i < CALLS; i++) {
        call.run();
      }
      long overhead = -allocated() + allocated();
      long before = allocated();
      for (int i = 0; i < CALLS; i++) {
        call.run();
      }
      bytes = (allocated() - before - overhead) / CALLS;
    } while (bytes > allowed && Instant.now().isBefore(end));
    return bytes;
  }

  /** By this thread and the threads of pools since they began. */
  private static long allocated() {
    long bytes = 0;
    for (Thread thread : Thread.getAllStackTraces().keySet()) {
      if (thread == Thread.currentThread() || thread.getName().startsWith("topknot-")) {
        bytes += THREADS.getThreadAllocatedBytes(thread.getId());
      }
    }
    return bytes;
  }
}
