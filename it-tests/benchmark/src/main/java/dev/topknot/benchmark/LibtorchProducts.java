package dev.topknot.benchmark;

import static org.bytedeco.pytorch.global.torch.bmm_out;
import static org.bytedeco.pytorch.global.torch.mm_out;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;

/**
 * The experts' products, over rows that lie expert by expert. What stands around them, gates,
 * gathering and adding up, is the same for all ways to multiply.
 */
abstract class LibtorchProducts {
  final Workload.Layer layer;

  LibtorchProducts(Workload.Layer layer) {
    this.layer = layer;
  }

  /**
   * Where each expert's rows begin; the last entry is the number of all rows. An expert has as many
   * as it got tokens, or more.
   *
   * @param counts tokens of each expert
   */
  abstract int[] begins(int[] counts);

  /** hidden = relu(gathered · W1ᵀ), with the weights of the row's expert. */
  abstract void hidden(Tensor gathered, Tensor hidden);

  /** out = hidden · W2ᵀ. */
  abstract void out(Tensor hidden, Tensor out);

  /** dHidden = dOut · W2, and the gradient of W2. */
  abstract void backwardOut(Tensor dOut, Tensor hidden, Tensor dHidden);

  /** dGathered = dHidden · W1, and the gradient of W1. */
  abstract void backwardHidden(Tensor dHidden, Tensor gathered, Tensor dGathered);

  /** A product for each expert that got a token, into its slice of the result. */
  static final class Sorted extends LibtorchProducts {
    private final Tensor[] w1;
    private final Tensor[] w2;
    private final Tensor[] w1Transposed;
    private final Tensor[] w2Transposed;
    private final Tensor[] w1Gradient;
    private final Tensor[] w2Gradient;
    private int[] counts;
    private long[] sizes;

    Sorted(Workload.Layer layer, LibtorchWeights weights) {
      super(layer);
      w1 = each(weights.w1());
      w2 = each(weights.w2());
      w1Transposed = transposed(w1);
      w2Transposed = transposed(w2);
      w1Gradient = each(weights.w1Gradient());
      w2Gradient = each(weights.w2Gradient());
    }

    private static Tensor[] each(Tensor tensor) {
      Tensor[] slices = new Tensor[Math.toIntExact(tensor.size(0))];
      for (int i = 0; i < slices.length; i++) {
        slices[i] = tensor.select(0, i);
      }
      return slices;
    }

    private static Tensor[] transposed(Tensor[] matrices) {
      Tensor[] views = new Tensor[matrices.length];
      for (int i = 0; i < views.length; i++) {
        views[i] = matrices[i].t();
      }
      return views;
    }

    @Override
    int[] begins(int[] counts) {
      this.counts = counts;
      sizes = new long[counts.length];
      int[] begins = new int[counts.length + 1];
      for (int expert = 0; expert < counts.length; expert++) {
        sizes[expert] = counts[expert];
        begins[expert + 1] = begins[expert] + counts[expert];
      }
      return begins;
    }

    @Override
    void hidden(Tensor gathered, Tensor hidden) {
      multiply(gathered, w1Transposed, hidden);
      hidden.relu_();
    }

    @Override
    void out(Tensor hidden, Tensor out) {
      multiply(hidden, w2Transposed, out);
    }

    private void multiply(Tensor rows, Tensor[] weights, Tensor results) {
      TensorVector ins = rows.split_with_sizes(sizes);
      TensorVector outs = results.split_with_sizes(sizes);
      for (int expert = 0; expert < counts.length; expert++) {
        if (counts[expert] > 0) {
          mm_out(outs.get(expert), ins.get(expert), weights[expert]);
        }
      }
    }

    @Override
    void backwardOut(Tensor dOut, Tensor hidden, Tensor dHidden) {
      backward(dOut, hidden, w2, dHidden, w2Gradient);
    }

    @Override
    void backwardHidden(Tensor dHidden, Tensor gathered, Tensor dGathered) {
      backward(dHidden, gathered, w1, dGathered, w1Gradient);
    }

    private void backward(
        Tensor slopes, Tensor inputs, Tensor[] weights, Tensor results, Tensor[] gradients) {
      TensorVector dys = slopes.split_with_sizes(sizes);
      TensorVector ins = inputs.split_with_sizes(sizes);
      TensorVector outs = results.split_with_sizes(sizes);
      for (int expert = 0; expert < counts.length; expert++) {
        if (counts[expert] > 0) {
          Tensor dy = dys.get(expert);
          mm_out(gradients[expert], dy.t(), ins.get(expert));
          mm_out(outs.get(expert), dy, weights[expert]);
        } else {
          gradients[expert].zero_();
        }
      }
    }

    @Override
    public String toString() {
      return "rows sorted by expert, mm for each expert";
    }
  }

  /** One product over all experts, each with as many rows as the one that got most. */
  static final class Padded extends LibtorchProducts {
    private final LibtorchWeights weights;
    private final Tensor w1Transposed;
    private final Tensor w2Transposed;

    Padded(Workload.Layer layer, LibtorchWeights weights) {
      super(layer);
      this.weights = weights;
      w1Transposed = weights.w1().transpose(1, 2);
      w2Transposed = weights.w2().transpose(1, 2);
    }

    @Override
    int[] begins(int[] counts) {
      int capacity = 0;
      for (int count : counts) {
        capacity = Math.max(capacity, count);
      }
      int[] begins = new int[counts.length + 1];
      for (int expert = 0; expert <= counts.length; expert++) {
        begins[expert] = expert * capacity;
      }
      return begins;
    }

    private Tensor batch(Tensor rows) {
      return rows.view(layer.experts(), -1, rows.size(1));
    }

    @Override
    void hidden(Tensor gathered, Tensor hidden) {
      bmm_out(batch(hidden), batch(gathered), w1Transposed);
      hidden.relu_();
    }

    @Override
    void out(Tensor hidden, Tensor out) {
      bmm_out(batch(out), batch(hidden), w2Transposed);
    }

    @Override
    void backwardOut(Tensor dOut, Tensor hidden, Tensor dHidden) {
      bmm_out(weights.w2Gradient(), batch(dOut).transpose(1, 2), batch(hidden));
      bmm_out(batch(dHidden), batch(dOut), weights.w2());
    }

    @Override
    void backwardHidden(Tensor dHidden, Tensor gathered, Tensor dGathered) {
      bmm_out(weights.w1Gradient(), batch(dHidden).transpose(1, 2), batch(gathered));
      bmm_out(batch(dGathered), batch(dHidden), weights.w1());
    }

    @Override
    public String toString() {
      return "rows padded to the greatest count, bmm";
    }
  }
}
