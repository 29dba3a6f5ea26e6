package dev.topknot.benchmark;

import dev.topknot.runtime.cpu.Phases;
import dev.topknot.runtime.program.Program;
import java.util.List;

/**
 * How long the steps of a workload take Topknot, beside the least they could take on this machine.
 *
 * @param workload its name
 * @param flopsPerSecond of the fastest of its products with everything in cache
 * @param bytesPerSecond that memory was read with
 * @param programs the steps of training and of evaluation
 */
record Floors(
    String workload, double flopsPerSecond, double bytesPerSecond, List<Phases.Times> programs) {

  /** Measures, in this process. */
  static Floors of(Workload workload, int threads) throws ReflectiveOperationException {
    Phases.Result result = Phases.measure(workload.spec(), threads);
    return new Floors(
        workload.name(), result.flopsPerSecond(), result.bytesPerSecond(), result.programs());
  }

  /** The steps of a program. */
  Phases.Times times(Program program) {
    return programs.stream().filter(it -> it.program() == program).findFirst().orElseThrow();
  }
}
