package dev.topknot.processor.write.report;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Optimizer;
import dev.topknot.processor.model.ExpertKind;
import dev.topknot.processor.model.LayerKind;
import dev.topknot.processor.model.LayerSpec;
import dev.topknot.processor.model.MoE;
import dev.topknot.processor.model.ModelSpec;
import dev.topknot.processor.model.Spec;
import dev.topknot.processor.plan.KernelNames;
import dev.topknot.processor.plan.Plan;
import dev.topknot.processor.plan.Planner;
import dev.topknot.processor.plan.Specs;
import java.util.List;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

class ReportWriterTest {
  private static String report(Spec spec) {
    Plan plan = Planner.plan(spec);
    return ReportWriter.write(plan, KernelNames.of(plan));
  }

  @Test
  void reportsParametersMemoryAndSteps() {
    String report = report(Specs.newsModel());
    assertThat(report)
        .contains("# com.example.Model")
        .contains("| parameters | 7,043,856 |")
        .contains("| experts.experts.\\*.w1 | 64 × [256, 128] | 2,097,152 |")
        .contains("Experts.forward(x, offsets, rows, w1, w2, gathered, hidden, out) | 335.5 |")
        .contains("## Program for generation: at most 1 token");
  }

  @Test
  void listsTheLaunchesOfAGpu() {
    String report = report(Specs.newsModel());
    // 32 x 20 tokens, 128 to 4 x 128: the recurrent product is half of the layer's FLOPs.
    assertThat(report)
        .containsPattern(
            "\\| below_lstm_forward_step \\| 20 \\| \\d+ × \\d+ × 1 \\| 128 \\| \\d+ \\| 83.9 \\|")
        .contains("| adam_update_step | 1 |")
        .contains("| next_loss_forward_total | 1 | 1 × 1 × 1 | 256 | 2048 |")
        .contains("| generate_below_lstm_forward_step | 1 |")
        .contains("Scratch memory of a GPU");
  }

  @Test
  void saysThePrecisionAndItsRate() {
    assertThat(report(Specs.newsModel()))
        .contains("| precision | FP32 |")
        .contains("an H100 (fp32, 60 TFLOP/s; 3.3 TB/s;")
        .containsPattern("\\| next_softmax_loss_forward_logits .*\\| 1,638.4 \\| fp32 \\|")
        .doesNotContain("bf16");
    String rounded = report(Specs.inBf16(Specs.newsModel()));
    assertThat(rounded)
        .contains("| precision | BF16: on a GPU, products round their operands;")
        .contains("(bf16, 593 TFLOP/s, which mma.sync reaches of the tensor cores' 989; fp32, 60")
        .containsPattern("\\| next_softmax_loss_forward_logits .*\\| 1,638.4 \\| bf16 \\|")
        .containsPattern("\\| below_lstm_forward_step .*\\| 83.9 \\| fp32 \\|")
        .containsPattern("\\| experts_noisy_top_k_gate_forward_logits .*\\| fp32 \\|");
  }

  @Test
  void saysWhatIsProjectedAndWhatIsSampled() {
    ModelSpec.Layer lstm = Specs.named("lstm", new LayerKind.Lstm(64, OptionalInt.of(16)));
    ModelSpec model = Specs.sampled(Specs.model(2, 5, 1000, 24, lstm), 100);
    assertThat(report(model))
        .contains("| lstm.weight_hr | [16, 64] | 1,024 |")
        .contains("| softmax in training | over a token's target and 100 samples of 1,000 tokens")
        .contains("| next.logits | [10, 110] |")
        .contains("SampledSoftmaxLoss.forward(x, weight, bias, targets, classes,");
  }

  void saysWhatIsNotKeptAndWhatThatCosts() {
    // 21 tokens, 2 experts each: a hidden row of 600 floats, and a product of 40 by 600 for it
    ExpertKind kind = new ExpertKind(4, List.of(600), ActivationFunction.RELU, false);
    MoE moe = Specs.moe(4, 2, 600, ActivationFunction.RELU);
    String not = "Computed again in the backward pass, not kept from the forward pass";
    assertThat(report(Specs.layer(moe, 40, 21))).doesNotContain(not);
    assertThat(report(Specs.layer(Specs.withKinds(moe, true, kind), 40, 21)))
        .containsOnlyOnce(not + ": 98.4 KiB, for 2.0 MFLOP.")
        .contains("Experts.recompute(x, offsets, rows, w1, gatheredAgain, hiddenAgain) | 2.0 |");
  }

  @Test
  void countsKindsAtABalancedLoad() {
    assertThat(report(Specs.layer(Specs.kinds(false), 40, 33)))
        .contains("| experts.4+\\*.w3 | [16, 40] | 640 |")
        // 27 of 66 slots, rounded up, through 40 by 24 and back
        .contains("w1, w2, gathered, hidden, out) | 0.1 |");
  }

  @Test
  void withoutAnOptimizerThereIsNoUpdate() {
    LayerSpec adam = Specs.layer(Specs.moe(4, 2, 8, ActivationFunction.RELU), 8, 6);
    LayerSpec none =
        new LayerSpec(adam.name(), true, adam.moe(), 8, 6, Optimizer.NONE, adam.precision());
    assertThat(report(adam)).contains("The update reads");
    assertThat(report(none)).doesNotContain("The update");
  }

  /** 4096 experts of 1024 between two LSTMs of 512, as in [S17] app. C: on one GPU of 80 GB. */
  @Test
  void factoredMomentsAreSmall() {
    ModelSpec adam =
        Specs.model(
            32,
            20,
            10_000,
            512,
            Specs.named("below", new LayerKind.Lstm(512)),
            Specs.named(
                "experts",
                new LayerKind.Experts(Specs.moe(4096, 4, 1024, ActivationFunction.RELU))),
            Specs.named("above", new LayerKind.Lstm(512)));
    Plan plan = Planner.plan(Specs.withOptimizer(adam, Optimizer.ADAM_FACTORED));
    assertThat(plan.counts().parameters()).isBetween(4_300_000_000L, 4_310_000_000L);
    assertThat(plan.bytes()).isLessThan(36_000_000_000L);
    assertThat(Planner.plan(adam).bytes()).isGreaterThan(69_000_000_000L);
    assertThat(ReportWriter.write(plan, KernelNames.of(plan)))
        .contains("| optimizer | ADAM_FACTORED |")
        .containsPattern("\\| row means \\| 25,\\d+,\\d+ \\| 24.1 MiB \\|") // 1024 + 512 an expert
        .containsPattern("\\| column means \\| 25,\\d+,\\d+ \\| 24.\\d MiB \\|") // and as many
        .contains("| parameters | 17,", "| gradients | 17,")
        .contains("The update reads and writes parameters and moments and reads gradients: 48.")
        .containsPattern(
            "\\| adam_factored_norm_sums \\| 1 \\| \\d+ × 1 × 1 \\| 256 \\| 32768 \\|");
  }

  @Test
  void bytesAreReadable() {
    assertThat(ReportWriter.bytes(17)).isEqualTo("17 bytes");
    assertThat(ReportWriter.bytes(1536)).isEqualTo("1.5 KiB");
    assertThat(ReportWriter.bytes(8L << 30)).isEqualTo("8.0 GiB");
  }
}
