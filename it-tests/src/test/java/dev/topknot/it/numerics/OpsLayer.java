package dev.topknot.it.numerics;

import dev.topknot.runtime.Options;
import dev.topknot.runtime.cpu.CpuAccess;
import dev.topknot.runtime.cpu.CpuContext;
import dev.topknot.runtime.cpu.Matrix;
import dev.topknot.runtime.cpu.Run;
import dev.topknot.runtime.program.Layout;
import java.util.ArrayList;
import java.util.List;

/** A layer on one device, its operations in the order of generated code. */
final class OpsLayer implements AutoCloseable {
  static final Layout NO_PARAMETERS = Layout.of("Test", List.of());

  private final Buffers buffers = new Buffers();
  final GateStage gate;
  final ExpertStage experts;
  final Matrix dy;
  final Run run;

  OpsLayer(LayerCase c, LayerCase.Data data, int threads) {
    CpuContext context = CpuAccess.context(threads, Options.defaults(), NO_PARAMETERS);
    gate = new GateStage(context, buffers, c, c.tokens(), data);
    experts = new ExpertStage(context, buffers, c, data, 0, c.experts(), c.tokens(), c.k());
    dy = buffers.floats(c.tokens(), c.width());
    Buffers.write(gate.x, data.x().rows(0, c.valid()));
    Buffers.write(dy, data.dy().rows(0, c.valid()));
    run = CpuAccess.run(c.tokens(), NO_PARAMETERS);
  }

  void run(LayerCase c, long seed) {
    CpuAccess.train(run, c.valid(), LayerCase.STEP, seed, 0);
    gate.choose(run);
    experts.forward(run, gate.x, gate.offsets, gate.rows, gate.out);
    gate.combine(run);
    experts.backward(
        run, gate.x, dy, gate.offsets, gate.rows, gate.slots, gate.gates, gate.dGates, gate.dOut);
    gate.backward(run);
  }

  /** Everything the layer computes for others, to the bit. */
  List<float[]> results(LayerCase c) {
    List<float[]> results = new ArrayList<>();
    for (Matrix m : List.of(gate.y, gate.gates, gate.dx)) {
      results.add(Buffers.floats(m, c.valid()));
    }
    for (Matrix m : List.of(gate.importance, gate.load, gate.dGateWeights)) {
      results.add(Buffers.floats(m));
    }
    if (c.noisy()) {
      results.add(Buffers.floats(gate.dNoiseWeights));
    }
    for (String weight : c.weights()) {
      results.add(Buffers.floats(experts.gradient(weight)));
    }
    return results;
  }

  @Override
  public void close() {
    buffers.close();
  }
}
