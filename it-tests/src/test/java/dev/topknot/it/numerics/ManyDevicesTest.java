package dev.topknot.it.numerics;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.dsl.Gating;
import dev.topknot.runtime.Options;
import dev.topknot.runtime.cpu.CpuAccess;
import dev.topknot.runtime.cpu.CpuContext;
import dev.topknot.runtime.cpu.Ints;
import dev.topknot.runtime.cpu.Matrix;
import dev.topknot.runtime.cpu.Run;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The room for many devices: two ranks, each with half of the tokens and half of the experts, in
 * the order gate, dispatch, exchange, experts, exchange, combine. Outputs, routing and the
 * gradients of experts and tokens have the bits of one device; what is summed over the ranks, the
 * gate's gradients and the balance, agrees within rounding.
 */
class ManyDevicesTest {
  private static final long SEED = 4;

  static Stream<LayerCase> cases() {
    return Stream.of(
        new LayerCase(34, 34, 40, 64, 2, 24, ActivationFunction.RELU, Gating.NOISY_TOP_K),
        new LayerCase(34, 30, 8, 6, 4, 10, ActivationFunction.SWIGLU, Gating.NOISY_TOP_K),
        new LayerCase(600, 600, 16, 4, 2, 20, ActivationFunction.GELU, Gating.TOP_K),
        new LayerCase(20, 20, 64, 8, 1, 32, ActivationFunction.TANH, Gating.SOFTMAX_TOP_K));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void twoRanksEqualOneDevice(LayerCase c) {
    LayerCase.Data data = c.draw(SEED);
    try (OpsLayer one = new OpsLayer(c, data, 2);
        Ranks two = new Ranks(c, data)) {
      one.run(c, SEED);
      two.run();

      int valid = c.valid();
      int pairs = valid * c.k();
      assertThat(two.chosen()).isEqualTo(Buffers.read(one.gate.chosen, pairs));
      assertThat(two.tokens(r -> r.gate.gates)).isEqualTo(Buffers.floats(one.gate.gates, valid));
      assertThat(two.tokens(r -> r.gate.y)).isEqualTo(Buffers.floats(one.gate.y, valid));
      for (String weight : c.weights()) {
        assertThat(two.experts(weight))
            .as("d%s", weight)
            .isEqualTo(Buffers.floats(one.experts.gradient(weight)));
      }
      Rank first = two.ranks.get(0);
      Close.check("importance", first.gate.importance, Buffers.read(one.gate.importance));
      Close.check("load", first.gate.load, Buffers.read(one.gate.load));
      Close.check(
          "dx",
          dev.topknot.it.reference.Matrix.of(valid, c.width(), two.tokens(r -> r.gate.dx)),
          Buffers.read(one.gate.dx, valid));
      Close.check(
          "dGateWeights", two.sum(r -> r.gate.dGateWeights), Buffers.read(one.gate.dGateWeights));
      if (c.noisy()) {
        Close.check(
            "dNoiseWeights",
            two.sum(r -> r.gate.dNoiseWeights),
            Buffers.read(one.gate.dNoiseWeights));
      }
      Close.check("losses", losses(first), losses(one));
    }
  }

  private static dev.topknot.it.reference.Matrix losses(Rank rank) {
    var balance = rank.gate.balance(rank.run);
    return dev.topknot.it.reference.Matrix.row(balance.importanceLoss(), balance.loadLoss());
  }

  private static dev.topknot.it.reference.Matrix losses(OpsLayer layer) {
    var balance = layer.gate.balance(layer.run);
    return dev.topknot.it.reference.Matrix.row(balance.importanceLoss(), balance.loadLoss());
  }

  /** A rank: half of the tokens, half of the experts, and room to receive every pair there is. */
  private static final class Rank {
    final int valid;
    final int firstToken;
    final Run run;
    final Run received;
    final GateStage gate;
    final ExpertStage experts;
    final Matrix dy;
    final Matrix receivedX;
    final Matrix receivedDy;
    final Matrix receivedGates;
    final Matrix receivedDGates;
    final Matrix receivedOut;
    final Matrix receivedDOut;
    final Ints offsets;
    final Ints identity;

    Rank(Buffers buffers, LayerCase c, LayerCase.Data data, int rank) {
      CpuContext context = CpuAccess.context(1 + rank, Options.defaults(), OpsLayer.NO_PARAMETERS);
      int tokens = c.tokens() / 2;
      int half = c.experts() / 2;
      int pairs = c.tokens() * c.k();
      firstToken = rank * tokens;
      valid = Math.min(tokens, c.valid() - firstToken);
      run = CpuAccess.run(tokens, OpsLayer.NO_PARAMETERS);
      received = CpuAccess.run(pairs, OpsLayer.NO_PARAMETERS);
      gate = new GateStage(context, buffers, c, tokens, data);
      // What arrives are pairs: an expert stage of that many tokens with one expert each.
      experts =
          new ExpertStage(context, buffers, c, data, rank * half, (rank + 1) * half, pairs, 1);
      dy = buffers.floats(tokens, c.width());
      Buffers.write(gate.x, data.x().rows(firstToken, firstToken + valid));
      Buffers.write(dy, data.dy().rows(firstToken, firstToken + valid));
      receivedX = buffers.floats(pairs, c.width());
      receivedDy = buffers.floats(pairs, c.width());
      receivedGates = buffers.floats(pairs, 1);
      receivedDGates = buffers.floats(pairs, 1);
      receivedOut = buffers.floats(pairs, c.width());
      receivedDOut = buffers.floats(pairs, c.width());
      offsets = buffers.ints(half + 1);
      int[] slots = new int[pairs];
      for (int i = 0; i < pairs; i++) {
        slots[i] = i;
      }
      identity = buffers.ints(slots);
    }
  }

  /** What one pair is on its way: where it lives at home, and where it arrives. */
  private record Parcel(Rank home, int token, int choice, int homeSlot, Rank owner, int slot) {}

  private static final class Ranks implements AutoCloseable {
    private final Buffers buffers = new Buffers();
    private final LayerCase layer;
    private final List<Rank> ranks = new ArrayList<>();
    private final List<Parcel> parcels = new ArrayList<>();

    Ranks(LayerCase c, LayerCase.Data data) {
      layer = c;
      ranks.add(new Rank(buffers, c, data, 0));
      ranks.add(new Rank(buffers, c, data, 1));
    }

    void run() {
      for (Rank rank : ranks) {
        CpuAccess.train(rank.run, rank.valid, LayerCase.STEP, SEED, rank.firstToken);
        rank.gate.choose(rank.run);
      }
      plan();
      for (Parcel p : parcels) {
        row(p.home.gate.x, p.token, p.owner.receivedX, p.slot);
        row(p.home.dy, p.token, p.owner.receivedDy, p.slot);
        p.owner.receivedGates.set(p.slot, 0, p.home.gate.gates.get(p.token, p.choice));
      }
      for (Rank r : ranks) {
        r.experts.forward(r.received, r.receivedX, r.offsets, r.identity, r.receivedOut);
      }
      for (Parcel p : parcels) {
        row(p.owner.receivedOut, p.slot, p.home.gate.out, p.homeSlot);
      }
      for (Rank r : ranks) {
        r.gate.combine(r.run);
        r.experts.backward(
            r.received,
            r.receivedX,
            r.receivedDy,
            r.offsets,
            r.identity,
            r.identity,
            r.receivedGates,
            r.receivedDGates,
            r.receivedDOut);
      }
      for (Parcel p : parcels) {
        row(p.owner.receivedDOut, p.slot, p.home.gate.dOut, p.homeSlot);
        p.home.gate.dGates.set(p.token, p.choice, p.owner.receivedDGates.get(p.slot, 0));
      }
      reduce(ranks.get(0).gate.importance, ranks.get(1).gate.importance);
      reduce(ranks.get(0).gate.load, ranks.get(1).gate.load);
      for (Rank r : ranks) {
        r.gate.backward(r.run);
      }
    }

    /** Each owner receives the pairs of an expert in the order of their global tokens. */
    private void plan() {
      int half = layer.experts() / 2;
      for (int owner = 0; owner < 2; owner++) {
        Rank to = ranks.get(owner);
        int slot = 0;
        for (int e = 0; e < half; e++) {
          to.offsets.set(e, slot);
          for (Rank home : ranks) {
            int expert = owner * half + e;
            for (int s = home.gate.offsets.get(expert);
                s < home.gate.offsets.get(expert + 1);
                s++) {
              int token = home.gate.rows.get(s);
              parcels.add(new Parcel(home, token, choice(home, token, expert), s, to, slot++));
            }
          }
        }
        to.offsets.set(half, slot);
        CpuAccess.train(to.received, slot, LayerCase.STEP, SEED, 0);
      }
    }

    private int choice(Rank home, int token, int expert) {
      for (int j = 0; j < layer.k(); j++) {
        if (home.gate.chosen.get((long) token * layer.k() + j) == expert) {
          return j;
        }
      }
      throw new AssertionError("token " + token + " did not choose expert " + expert);
    }

    /** Both ranks get the sum, added in rank order. */
    private static void reduce(Matrix a, Matrix b) {
      for (int i = 0; i < a.columns(); i++) {
        float sum = a.get(0, i) + b.get(0, i);
        a.set(0, i, sum);
        b.set(0, i, sum);
      }
    }

    private static void row(Matrix from, long i, Matrix to, long j) {
      to.rows(j, 1).copyFrom(from.rows(i, 1));
    }

    int[] chosen() {
      int[] result = new int[layer.valid() * layer.k()];
      for (Rank r : ranks) {
        r.gate.chosen.read(0, result, r.firstToken * layer.k(), r.valid * layer.k());
      }
      return result;
    }

    /** Rows of all ranks' valid tokens. */
    float[] tokens(Function<Rank, Matrix> part) {
      float[][] parts =
          ranks.stream().map(r -> Buffers.floats(part.apply(r), r.valid)).toArray(float[][]::new);
      return join(parts);
    }

    /** A gradient of all experts. */
    float[] experts(String weight) {
      return join(
          ranks.stream()
              .map(r -> Buffers.floats(r.experts.gradient(weight)))
              .toArray(float[][]::new));
    }

    private static float[] join(float[][] parts) {
      float[] result = new float[parts[0].length + parts[1].length];
      System.arraycopy(parts[0], 0, result, 0, parts[0].length);
      System.arraycopy(parts[1], 0, result, parts[0].length, parts[1].length);
      return result;
    }

    /** A gradient summed over the ranks. */
    dev.topknot.it.reference.Matrix sum(Function<Rank, Matrix> part) {
      return Buffers.read(part.apply(ranks.get(0))).plus(Buffers.read(part.apply(ranks.get(1))));
    }

    @Override
    public void close() {
      buffers.close();
    }
  }
}
