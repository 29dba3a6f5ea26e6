package dev.topknot.processor.write.report;

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
  static final double FLOPS_PER_SECOND = 60e12;

  /** Memory of an H100: bytes/s. */
  static final double BYTES_PER_SECOND = 3.3e12;

  /** What a launch takes at least, in seconds. */
  static final double LAUNCH_SECONDS = 3e-6;

  /** Kernels with at least this much shared memory stage the tiles of products in it. */
  private static final int PRODUCT_SHARED = 16 * 1024;

  private final Plan plan;
  private final ProgramPlan program;
  private final KernelNames names;

  KernelTable(Plan plan, ProgramPlan program, KernelNames names) {
    this.plan = plan;
    this.program = program;
    this.names = names;
  }

  /** The seconds of one launch: the slower of arithmetic and memory, and the launch itself. */
  static double seconds(Cost cost) {
    double work = Math.max(cost.flops() / FLOPS_PER_SECOND, cost.bytes() / BYTES_PER_SECOND);
    return LAUNCH_SECONDS + work;
  }

  /** The lines of the table, as Markdown. */
  List<String> lines() {
    List<String> lines = new ArrayList<>();
    lines.add(
        format(
            "On a GPU: kernels, with the roofline of an H100 (fp32, %.0f TFLOP/s; %.1f TB/s; %.0f"
                + " microseconds a launch). Expected, not measured: operands count once a launch, and"
                + " products of one call share its FLOPs evenly.",
            FLOPS_PER_SECOND / 1e12, BYTES_PER_SECOND / 1e12, LAUNCH_SECONDS * 1e6));
    lines.add("");
    lines.add("| kernel | launches | grid | block | shared bytes | MFLOP | MB | expected µs |");
    lines.add("|---|---:|---:|---:|---:|---:|---:|---:|");
    long launches = 0;
    double seconds = 0;
    for (Call call : DeviceCalls.all(plan, program)) {
      for (Kernel kernel : call.kernels()) {
        Cost cost = cost(call, kernel);
        double time = kernel.times() * seconds(cost);
        launches += kernel.times();
        seconds += time;
        lines.add(
            format(
                "| %s | %d | %d × %d × %d | %d | %d | %,.1f | %,.1f | %,.1f |",
                names.kernel(call.op(), kernel),
                kernel.times(),
                kernel.grid().x(),
                kernel.grid().y(),
                kernel.grid().z(),
                kernel.threads(),
                kernel.sharedBytes(),
                kernel.times() * cost.flops() / 1e6,
                kernel.times() * cost.bytes() / 1e6,
                time * 1e6));
      }
    }
    lines.add(format("| all | %d | | | | | | %,.1f |", launches, seconds * 1e6));
    lines.add("");
    lines.add(
        format(
            "Scratch memory of a GPU, beside the workspace: %s.",
            ReportWriter.bytes(DeviceCalls.scratch(plan, program) * Buffer.ELEMENT_BYTES)));
    return lines;
  }

  /** The cost of one launch: as the kernel says, or its share of the call's and its operands. */
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
        bytes += operand.buffer().bytes() * (weights ? call.op().touched() : 1);
      }
    }
    return new Cost(flops(call, kernel), Math.round(bytes));
  }

  /** A call's products are much of a size; each takes an equal share of its FLOPs. */
  private static long flops(Call call, Kernel kernel) {
    long products = call.kernels().stream().filter(KernelTable::isProduct).count();
    return isProduct(kernel) ? call.cost().flops() / products / kernel.times() : 0;
  }

  private static boolean isProduct(Kernel kernel) {
    return kernel.cost().isEmpty() && kernel.sharedBytes() >= PRODUCT_SHARED;
  }

  private static String format(String text, Object... arguments) {
    return String.format(Locale.ROOT, text, arguments);
  }
}
