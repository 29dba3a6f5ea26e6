package dev.topknot.it.numerics;

import dev.topknot.it.reference.Matrix;
import dev.topknot.runtime.Options;
import dev.topknot.runtime.cpu.CpuAccess;
import dev.topknot.runtime.cpu.CpuContext;
import dev.topknot.runtime.cpu.Run;

/** What a single operation needs: threads, memory and a run in training. */
final class OpRig implements AutoCloseable {
  static final long SEED = 1234;
  static final int STEP = 3;

  final Buffers buffers = new Buffers();
  final CpuContext context;
  final Run run;
  final int tokens;
  final int valid;

  OpRig(int threads, int tokens, int valid) {
    context = CpuAccess.context(threads, Options.defaults(), OpsLayer.NO_PARAMETERS);
    run = CpuAccess.run(tokens, OpsLayer.NO_PARAMETERS);
    this.tokens = tokens;
    this.valid = valid;
    CpuAccess.train(run, valid, STEP, SEED, 0);
  }

  /** Memory for all tokens of which the valid ones hold values, the others NaN. */
  dev.topknot.runtime.cpu.Matrix rows(Matrix values) {
    dev.topknot.runtime.cpu.Matrix matrix = buffers.floats(tokens, values.columns());
    Buffers.write(matrix, values.resized(valid));
    return matrix;
  }

  /** Poisoned memory for all tokens. */
  dev.topknot.runtime.cpu.Matrix rows(int columns) {
    return buffers.floats(tokens, columns);
  }

  @Override
  public void close() {
    buffers.close();
  }
}
