package dev.topknot.processor.write.report;

import dev.topknot.dsl.Precision;
import dev.topknot.processor.plan.Argument;
import dev.topknot.processor.plan.Buffer;
import dev.topknot.processor.plan.Call;
import dev.topknot.processor.plan.Cost;
import dev.topknot.processor.plan.DeviceCalls;
import dev.topknot.processor.plan.Kernel;
import dev.topknot.processor.plan.KernelNames;
import dev.topknot.processor.plan.Operand;
import dev.topknot.processor.plan.Plan;
import dev.topknot.processor.plan.ProgramPlan;
import dev.topknot.processor.plan.Region;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** The launches of a program on a GPU, and how long they would take at a roofline. */
final class KernelTable {
  /** Products in fp32 on an H100 or H200, without tensor cores: FLOP/s. */
  private static final double FP32_FLOPS_PER_SECOND = 60e12;

  /** What the tensor cores of an H100 do at most in bf16, without sparsity: FLOP/s. */
  private static final double TENSOR_CORES_PER_SECOND = 989e12;

  /** The part of it that mma.sync reaches, the instruction of {@code bf16_tile.cuh}. */
  private static final double MMA_SYNC_SHARE = 0.6;

  /** Memory of an H100: bytes/s. */
  private static final double BYTES_PER_SECOND = 3.3e12;

  /** What a launch takes at least, in seconds. */
  private static final double LAUNCH_SECONDS = 3e-6;

  private final Plan plan;
  private final ProgramPlan program;
  private final KernelNames names;

  KernelTable(Plan plan, ProgramPlan program, KernelNames names) {
    this.plan = plan;
    this.program = program;
    this.names = names;
  }

  /** The seconds of one launch: the slower of arithmetic and memory, and the launch itself. */
  private static double seconds(Kernel kernel, Cost cost) {
    double arithmetic = cost.flops() / flopsPerSecond(kernel.precision());
    return LAUNCH_SECONDS + Math.max(arithmetic, cost.bytes() / BYTES_PER_SECOND);
  }

  private static double flopsPerSecond(Precision precision) {
    return switch (precision) {
      case FP32 -> FP32_FLOPS_PER_SECOND;
      case BF16 -> MMA_SYNC_SHARE * TENSOR_CORES_PER_SECOND;
    };
  }

  private static String rate(Precision precision) {
    return format("%.0f TFLOP/s", flopsPerSecond(precision) / 1e12);
  }

  /** The rates of arithmetic that the plan's products have. */
  private String rates() {
    String fp32 = "fp32, " + rate(Precision.FP32);
    return switch (plan.spec().precision()) {
      case FP32 -> fp32;
      case BF16 ->
          format(
              "bf16, %s, which mma.sync reaches of the tensor cores' %.0f; %s",
              rate(Precision.BF16), TENSOR_CORES_PER_SECOND / 1e12, fp32);
    };
  }

  /** The lines of the table, as Markdown. */
  List<String> lines() {
    List<String> lines = new ArrayList<>();
    lines.add(
        format(
            "On a GPU: kernels, with the roofline of an H100 (%s; %.1f TB/s; %.0f microseconds a"
                + " launch). Expected, not measured: operands count once a launch. What products"
                + " round their operands to stands beside their FLOPs.",
            rates(), BYTES_PER_SECOND / 1e12, LAUNCH_SECONDS * 1e6));
    lines.add("");
    lines.add(
        "| kernel | launches | grid | block | shared bytes | MFLOP | in | MB | expected µs |");
    lines.add("|---|---:|---:|---:|---:|---:|---|---:|---:|");
    long launches = 0;
    double seconds = 0;
    for (Call call : DeviceCalls.all(plan, program)) {
      for (Kernel kernel : call.kernels()) {
        Cost cost = cost(call, kernel);
        double time = kernel.times() * seconds(kernel, cost);
        launches += kernel.times();
        seconds += time;
        lines.add(
            format(
                "| %s | %d | %d × %d × %d | %d | %d | %,.1f | %s | %,.1f | %,.1f |",
                names.kernel(call.op(), kernel),
                kernel.times(),
                kernel.grid().x(),
                kernel.grid().y(),
                kernel.grid().z(),
                kernel.threads(),
                kernel.sharedBytes(),
                kernel.times() * cost.flops() / 1e6,
                cost.flops() > 0 ? kernel.precision().name().toLowerCase(Locale.ROOT) : "",
                kernel.times() * cost.bytes() / 1e6,
                time * 1e6));
      }
    }
    lines.add(format("| all | %d | | | | | | | %,.1f |", launches, seconds * 1e6));
    lines.add("");
    lines.add(
        format(
            "Scratch memory of a GPU, beside the workspace: %s.",
            ReportWriter.bytes(DeviceCalls.scratch(plan, program) * Buffer.ELEMENT_BYTES)));
    return lines;
  }

  /** The cost of one launch: as the kernel says, or the bytes of its operands. */
  private static Cost cost(Call call, Kernel kernel) {
    if (kernel.cost().isPresent()) {
      return kernel.cost().get();
    }
    double bytes = 0;
    for (Argument argument : kernel.arguments()) {
      if (argument instanceof Argument.OperandOfCall it) {
        Operand operand = call.operands().get(it.index());
        boolean weights =
            operand.buffer().region() == Region.PARAMETERS
                || operand.buffer().region() == Region.GRADIENTS;
        bytes += operand.buffer().bytes() * (weights ? call.op().touched() : call.op().share());
      }
    }
    return new Cost(0, Math.round(bytes));
  }

  private static String format(String text, Object... arguments) {
    return String.format(Locale.ROOT, text, arguments);
  }
}
