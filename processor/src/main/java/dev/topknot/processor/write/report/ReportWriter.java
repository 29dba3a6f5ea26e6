package dev.topknot.processor.write.report;

import dev.topknot.dsl.Precision;
import dev.topknot.processor.model.LayerKind;
import dev.topknot.processor.model.ModelSpec;
import dev.topknot.processor.plan.Buffer;
import dev.topknot.processor.plan.Call;
import dev.topknot.processor.plan.Cost;
import dev.topknot.processor.plan.DeviceCalls;
import dev.topknot.processor.plan.KernelNames;
import dev.topknot.processor.plan.LayerPlan;
import dev.topknot.processor.plan.Memory;
import dev.topknot.processor.plan.Operand;
import dev.topknot.processor.plan.Parameter;
import dev.topknot.processor.plan.Plan;
import dev.topknot.processor.plan.Program;
import dev.topknot.processor.plan.ProgramPlan;
import dev.topknot.processor.plan.Region;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** Writes the report of a plan, {@code X.topknot.md}. */
public final class ReportWriter {
  /** From here on the choices that memory depends on are told. */
  private static final long LARGE = 4L << 30;

  private final StringBuilder text = new StringBuilder();
  private final Plan plan;
  private final Optional<KernelNames> kernels;

  private ReportWriter(Plan plan, Optional<KernelNames> kernels) {
    this.plan = plan;
    this.kernels = kernels;
  }

  /**
   * The report of a plan, as Markdown.
   *
   * @param kernels what a GPU would launch; empty where the plan runs on none
   */
  public static String write(Plan plan, Optional<KernelNames> kernels) {
    ReportWriter writer = new ReportWriter(plan, kernels);
    writer.summary();
    writer.parameters();
    writer.memory();
    if (plan.bytes() >= LARGE && writer.kernels.isPresent()) {
      MemoryChoices.of(plan.spec()).forEach(it -> writer.line("%s", it));
    }
    for (ProgramPlan program : plan.programs()) {
      writer.program(program);
    }
    return writer.text.toString();
  }

  private void summary() {
    line("# %s", plan.spec().name().qualified());
    line("");
    line("| | |");
    line("|---|---|");
    line("| parameters | %,d |", plan.parameterCount());
    line(
        "| of these counted by [S17] table 7 (no embedding, softmax, biases) | %,d |",
        plan.counts().parameters());
    line(
        "| ops/timestep (multiply-adds of one token's forward pass, counted likewise) | %,d |",
        plan.counts().opsPerTimestep());
    line("| tokens in a call | %,d |", plan.spec().tokens());
    line("| optimizer | %s |", plan.spec().optimizer());
    line("| precision | %s |", precision(plan.spec().precision()));
    if (plan.spec() instanceof ModelSpec model) {
      model.layers().forEach(this::sampling);
    }
    line("| memory of an instance that trains | %s |", bytes(plan.bytes()));
    line("");
  }

  private void sampling(ModelSpec.Layer layer) {
    if (layer.kind() instanceof LayerKind.Softmax softmax && softmax.samples().isPresent()) {
      line(
          "| softmax in training | over a token's target and %,d samples of %,d tokens, so its loss"
              + " is an estimate; evaluation and generation use all |",
          softmax.samples().getAsInt(), softmax.vocabulary());
    }
  }

  private static String precision(Precision precision) {
    return switch (precision) {
      case FP32 -> "FP32";
      case BF16 ->
          "BF16: on a GPU, products round their operands; sums, parameters and the CPU are fp32";
    };
  }

  private void parameters() {
    line("## Parameters");
    line("");
    line("| name | shape | parameters | offset in bytes | initial value |");
    line("|---|---|---:|---:|---|");
    for (Parameter p : plan.parameters()) {
      String copies = p.copies() > 1 ? p.copies() + " × " : "";
      line(
          "| %s | %s[%d, %d] | %,d | %,d | %s |",
          p.fullName().replace("*", "\\*"),
          copies,
          p.rows(),
          p.columns(),
          p.size(),
          p.offset() * Buffer.ELEMENT_BYTES,
          p.init() == Parameter.Init.CONSTANT
              ? p.constant()
              : p.init().name().toLowerCase(Locale.ROOT).replace('_', ' '));
    }
    line("");
  }

  private void memory() {
    line("## Memory");
    line("");
    line("| arena | bytes | |");
    line("|---|---:|---:|");
    for (Plan.Share share : plan.shares()) {
      line("| %s | %,d | %s |", share.name(), share.bytes(), bytes(share.bytes()));
    }
    line("| all | %,d | %s |", plan.bytes(), bytes(plan.bytes()));
    line("");
  }

  private void program(ProgramPlan program) {
    line(
        "## Program for %s: at most %,d token%s",
        program.program().activity(), program.tokens(), program.tokens() == 1 ? "" : "s");
    line("");
    steps(program);
    workspace(program);
    kernels.ifPresent(
        names -> {
          new KernelTable(plan, program, names).lines().forEach(it -> line("%s", it));
          line("");
        });
  }

  private void steps(ProgramPlan program) {
    line("Steps, with what they cost when every token is valid. FLOPs are those of products.");
    line("");
    line("| step | layer | call | MFLOP | MB read and written |");
    line("|---:|---|---|---:|---:|");
    List<Call> calls = program.calls();
    Cost sum = new Cost(0, 0);
    for (int i = 0; i < calls.size(); i++) {
      Call call = calls.get(i);
      Cost cost = call.cost();
      sum = sum.plus(cost);
      line(
          "| %d | %s | %s.%s(%s) | %,.1f | %,.1f |",
          i,
          call.op().layer(),
          call.op().type(),
          call.method(),
          operands(program, call),
          cost.flops() / 1e6,
          cost.bytes() / 1e6);
    }
    line("| | | all | %,.1f | %,.1f |", sum.flops() / 1e6, sum.bytes() / 1e6);
    if (program.program() == Program.TRAIN) {
      for (Call update : DeviceCalls.update(plan)) {
        line("");
        line(
            "The update reads and writes parameters and moments and reads gradients: %s.",
            bytes(update.cost().bytes()));
      }
    }
    line("");
  }

  /** The operands by their short names. */
  private static String operands(ProgramPlan program, Call call) {
    List<String> names = new ArrayList<>();
    LayerPlan layer =
        program.layers().stream()
            .filter(l -> l.name().equals(call.op().layer()))
            .findFirst()
            .orElseThrow();
    for (Operand operand : call.operands()) {
      names.add(layer.local(operand.buffer()));
    }
    return String.join(", ", names);
  }

  private void workspace(ProgramPlan program) {
    Memory workspace = program.workspace();
    long unshared = workspace.placements().stream().mapToLong(p -> p.buffer().bytes()).sum();
    line(
        "Workspace: %s; without sharing it would be %s.",
        bytes(workspace.size() * Buffer.ELEMENT_BYTES), bytes(unshared));
    recomputed(program);
    line("");
    line("| buffer | shape | offset in bytes | bytes | first step | last step |");
    line("|---|---|---:|---:|---:|---:|");
    for (Memory.Placement p : workspace.placements()) {
      row(p, "");
    }
    for (Memory.Placement p : program.state().placements()) {
      row(p, " (" + Region.STATE.name().toLowerCase(Locale.ROOT) + ")");
    }
    line("");
  }

  /** What the backward pass computes again: forward passes within it. */
  private void recomputed(ProgramPlan program) {
    long bytes = 0;
    long flops = 0;
    for (LayerPlan layer : program.layers()) {
      for (Call call : layer.recomputed()) {
        flops += call.cost().flops();
      }
      bytes += layer.notKept().stream().mapToLong(Buffer::bytes).sum();
    }
    if (flops > 0) {
      line("");
      line(
          "Computed again in the backward pass, not kept from the forward pass: %s, for %,.1f MFLOP.",
          bytes(bytes), flops / 1e6);
    }
  }

  private void row(Memory.Placement p, String remark) {
    line(
        "| %s%s | [%d, %d]%s | %,d | %,d | %d | %d |",
        p.buffer().name(),
        remark,
        p.buffer().rows(),
        p.buffer().columns(),
        p.buffer().integers() ? " int" : "",
        p.offset() * Buffer.ELEMENT_BYTES,
        p.buffer().bytes(),
        p.first(),
        p.last());
  }

  /** Bytes in a unit that a person reads easily. */
  public static String bytes(long bytes) {
    String[] units = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = bytes;
    int unit = 0;
    while (value >= 1024 && unit < units.length - 1) {
      value /= 1024;
      unit++;
    }
    return unit == 0 ? bytes + " bytes" : String.format(Locale.ROOT, "%.1f %s", value, units[unit]);
  }

  private void line(String format, Object... arguments) {
    text.append(String.format(Locale.ROOT, format, arguments)).append('\n');
  }
}
