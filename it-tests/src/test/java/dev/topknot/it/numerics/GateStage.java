package dev.topknot.it.numerics;

import dev.topknot.runtime.Balance;
import dev.topknot.runtime.cpu.Combine;
import dev.topknot.runtime.cpu.CpuContext;
import dev.topknot.runtime.cpu.Dispatch;
import dev.topknot.runtime.cpu.Ints;
import dev.topknot.runtime.cpu.Matrix;
import dev.topknot.runtime.cpu.NoisyTopKGate;
import dev.topknot.runtime.cpu.Run;
import dev.topknot.runtime.cpu.TopKGate;

/** The part of a layer that knows tokens: gate, dispatch and combine. */
final class GateStage {
  private final NoisyTopKGate noisyGate;
  private final TopKGate plainGate;
  private final Dispatch dispatch;
  private final Combine combine;

  final Matrix x;
  final Matrix gateWeights;
  final Matrix noiseWeights;
  final Matrix clean;
  final Matrix raw;
  final Matrix noisy;
  final Ints chosen;
  final Matrix gates;
  final Matrix importance;
  final Matrix load;
  final Ints offsets;
  final Ints rows;
  final Ints slots;
  final Matrix out;
  final Matrix y;
  final Matrix dOut;
  final Matrix dGates;
  final Matrix dClean;
  final Matrix dRaw;
  final Matrix dx;
  final Matrix dGateWeights;
  final Matrix dNoiseWeights;

  /** The stage for {@code tokens} of a case's tokens. */
  GateStage(CpuContext context, Buffers buffers, LayerCase c, int tokens, LayerCase.Data data) {
    int n = c.experts();
    int d = c.width();
    int pairs = tokens * c.k();
    noisyGate =
        c.noisy()
            ? new NoisyTopKGate(
                context,
                "",
                tokens,
                d,
                n,
                c.k(),
                LayerCase.NOISE_FLOOR,
                LayerCase.IMPORTANCE_LOSS,
                LayerCase.LOAD_LOSS,
                LayerCase.STREAM_LAYER)
            : null;
    plainGate =
        c.noisy()
            ? null
            : new TopKGate(
                context,
                "",
                tokens,
                d,
                n,
                c.k(),
                c.gating(),
                LayerCase.IMPORTANCE_LOSS,
                LayerCase.LOAD_LOSS,
                false);
    dispatch = new Dispatch(context, "", tokens, n, c.k());
    combine = new Combine(context, "", tokens, d, c.k());
    x = buffers.floats(tokens, d);
    gateWeights = buffers.floats(data.gateWeights());
    noiseWeights = buffers.floats(data.noiseWeights());
    clean = buffers.floats(tokens, n);
    raw = buffers.floats(tokens, n);
    noisy = buffers.floats(tokens, n);
    chosen = buffers.ints(pairs);
    gates = buffers.floats(tokens, c.k());
    importance = buffers.floats(1, n);
    load = buffers.floats(1, n);
    offsets = buffers.ints(n + 1);
    rows = buffers.ints(pairs);
    slots = buffers.ints(pairs);
    out = buffers.floats(pairs, d);
    y = buffers.floats(tokens, d);
    dOut = buffers.floats(pairs, d);
    dGates = buffers.floats(tokens, c.k());
    dClean = buffers.floats(tokens, n);
    dRaw = buffers.floats(tokens, n);
    dx = buffers.floats(tokens, d);
    dGateWeights = buffers.floats(n, d);
    dNoiseWeights = buffers.floats(n, d);
  }

  /** Gate and dispatch. */
  void choose(Run run) {
    if (noisyGate != null) {
      noisyGate.forward(
          run, x, gateWeights, noiseWeights, clean, raw, noisy, chosen, gates, importance, load);
    } else {
      plainGate.forward(run, x, gateWeights, clean, chosen, gates, importance, load);
    }
    dispatch.forward(run, chosen, offsets, rows, slots);
  }

  /** From {@code out} to {@code y}. */
  void combine(Run run) {
    combine.forward(run, out, gates, slots, y);
  }

  /** From {@code dOut} and {@code dGates} to {@code dx} and the gate's gradients. */
  void backward(Run run) {
    combine.backward(run, dOut, slots, dx);
    if (noisyGate != null) {
      noisyGate.backward(
          run,
          x,
          gateWeights,
          noiseWeights,
          clean,
          raw,
          noisy,
          chosen,
          gates,
          importance,
          load,
          dGates,
          dClean,
          dRaw,
          dx,
          dGateWeights,
          dNoiseWeights);
    } else {
      plainGate.backward(
          run,
          x,
          gateWeights,
          clean,
          chosen,
          gates,
          importance,
          load,
          dGates,
          dClean,
          dx,
          dGateWeights);
    }
  }

  Balance balance(Run run) {
    return noisyGate != null
        ? noisyGate.balance(run, "", importance, load, offsets)
        : plainGate.balance(run, "", importance, load, offsets);
  }
}
