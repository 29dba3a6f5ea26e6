package dev.topknot.processor.write.report;

import dev.topknot.dsl.Optimizer;
import dev.topknot.processor.model.Spec;
import dev.topknot.processor.plan.Buffer;
import dev.topknot.processor.plan.DeviceCalls;
import dev.topknot.processor.plan.Plan;
import dev.topknot.processor.plan.Planner;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** What a spec would take to train under each optimizer, hidden layers kept or computed again. */
final class MemoryChoices {
  private static final long GB = 1_000_000_000;

  /** Memory of usual GPUs, in GB. */
  private static final int[] DEVICES = {24, 80, 141};

  /** What the driver and the kernels take of it. */
  private static final long RESERVED = GB;

  private MemoryChoices() {}

  /** A section of the report. */
  static List<String> of(Spec spec) {
    List<String> lines = new ArrayList<>();
    lines.add("With other choices, and on a GPU, where calls need scratch memory as well:");
    lines.add("");
    lines.add("| optimizer | recompute | bytes on a GPU | | trains on a GPU of |");
    lines.add("|---|---|---:|---:|---|");
    for (Optimizer optimizer : List.of(Optimizer.ADAM, Optimizer.ADAM_FACTORED)) {
      for (boolean recompute : new boolean[] {false, true}) {
        long bytes = onDevice(Planner.plan(spec.with(optimizer, recompute)));
        lines.add(
            String.format(
                Locale.ROOT,
                "| %s | %s | %,d | %s | %s |",
                optimizer,
                recompute ? "yes" : "no",
                bytes,
                ReportWriter.bytes(bytes),
                smallest(bytes)));
      }
    }
    lines.add("");
    return lines;
  }

  private static long onDevice(Plan plan) {
    long scratch =
        plan.programs().stream().mapToLong(program -> DeviceCalls.scratch(plan, program)).sum();
    return plan.bytes() + scratch * Buffer.ELEMENT_BYTES;
  }

  private static String smallest(long bytes) {
    for (int device : DEVICES) {
      if (bytes <= device * GB - RESERVED) {
        return device + " GB";
      }
    }
    return "more than " + DEVICES[DEVICES.length - 1] + " GB";
  }
}
