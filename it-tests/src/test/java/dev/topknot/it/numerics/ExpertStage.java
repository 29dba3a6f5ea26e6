package dev.topknot.it.numerics;

import dev.topknot.runtime.cpu.CpuContext;
import dev.topknot.runtime.cpu.Experts;
import dev.topknot.runtime.cpu.Ints;
import dev.topknot.runtime.cpu.Matrix;
import dev.topknot.runtime.cpu.Run;
import dev.topknot.runtime.cpu.SwigluExperts;

/** The part of a layer that holds experts. */
final class ExpertStage {
  private final Experts plain;
  private final SwigluExperts swiglu;

  final Matrix w1;
  final Matrix w2;
  final Matrix w3;
  final Matrix dW1;
  final Matrix dW2;
  final Matrix dW3;
  private final Matrix gathered;
  private final Matrix gatheredDy;
  private final Matrix hidden;
  private final Matrix u;
  private final Matrix v;
  private final Matrix dHidden;
  private final Matrix dV;

  /** The experts {@code from} to {@code to} of a case, for {@code tokens} of k pairs each. */
  ExpertStage(
      CpuContext context,
      Buffers buffers,
      LayerCase c,
      LayerCase.Data data,
      int from,
      int to,
      int tokens,
      int k) {
    int d = c.width();
    int h = c.hidden();
    int n = to - from;
    int pairs = tokens * k;
    plain = c.swiglu() ? null : new Experts(context, "", tokens, d, n, k, k, h, c.activation());
    swiglu = c.swiglu() ? new SwigluExperts(context, "", tokens, d, n, k, k, h) : null;
    w1 = buffers.floats(data.stacked("w1", from, to));
    w2 = buffers.floats(data.stacked("w2", from, to));
    w3 = c.swiglu() ? buffers.floats(data.stacked("w3", from, to)) : null;
    dW1 = buffers.floats(n * h, d);
    dW2 = buffers.floats(n * d, h);
    dW3 = buffers.floats(c.swiglu() ? n * h : 0, d);
    gathered = buffers.floats(pairs, d);
    gatheredDy = buffers.floats(pairs, d);
    hidden = buffers.floats(pairs, h);
    u = buffers.floats(pairs, h);
    v = buffers.floats(pairs, h);
    dHidden = buffers.floats(pairs, h);
    dV = buffers.floats(pairs, h);
  }

  void forward(Run run, Matrix x, Ints offsets, Ints rows, Matrix out) {
    if (swiglu != null) {
      swiglu.forward(run, x, offsets, rows, w1, w2, w3, gathered, u, v, hidden, out);
    } else {
      plain.forward(run, x, offsets, rows, w1, w2, gathered, hidden, out);
    }
  }

  void backward(
      Run run,
      Matrix x,
      Matrix dy,
      Ints offsets,
      Ints rows,
      Ints slots,
      Matrix gates,
      Matrix dGates,
      Matrix dOut) {
    if (swiglu != null) {
      swiglu.backward(
          run,
          x,
          dy,
          offsets,
          rows,
          slots,
          gates,
          w1,
          w2,
          w3,
          u,
          v,
          dGates,
          gathered,
          gatheredDy,
          hidden,
          dHidden,
          dV,
          dOut,
          dW1,
          dW2,
          dW3);
    } else {
      plain.backward(
          run,
          x,
          dy,
          offsets,
          rows,
          slots,
          gates,
          w1,
          w2,
          hidden,
          dGates,
          gathered,
          gatheredDy,
          dHidden,
          dOut,
          dW1,
          dW2);
    }
  }

  Matrix gradient(String weight) {
    return switch (weight) {
      case "w1" -> dW1;
      case "w2" -> dW2;
      default -> dW3;
    };
  }
}
