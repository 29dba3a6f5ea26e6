package dev.topknot.it.reference;

import java.util.Map;

/** The element-wise nonlinearities and their derivatives. */
public enum Activation {
  /** max(z, 0), with derivative 0 at 0. */
  RELU {
    @Override
    public double value(double z) {
      return Math.max(z, 0);
    }

    @Override
    public double derivative(double z) {
      return z > 0 ? 1 : 0;
    }
  },
  /** z Φ(z), the exact form. */
  GELU {
    @Override
    public double value(double z) {
      return z * Normal.cumulative(z);
    }

    @Override
    public double derivative(double z) {
      return Normal.cumulative(z) + z * Normal.density(z);
    }
  },
  /** 1 / (1 + e⁻ᶻ). */
  SIGMOID {
    @Override
    public double value(double z) {
      return 1 / (1 + Math.exp(-z));
    }

    @Override
    public double derivative(double z) {
      return value(z) * value(-z);
    }
  },
  /** The hyperbolic tangent. */
  TANH {
    @Override
    public double value(double z) {
      return Math.tanh(z);
    }

    @Override
    public double derivative(double z) {
      double y = Math.tanh(z);
      return 1 - y * y;
    }
  },
  /** z itself. */
  IDENTITY {
    @Override
    public double value(double z) {
      return z;
    }

    @Override
    public double derivative(double z) {
      return 1;
    }
  },
  /** z σ(z), the gate of SwiGLU. */
  SILU {
    @Override
    public double value(double z) {
      return z * SIGMOID.value(z);
    }

    @Override
    public double derivative(double z) {
      return SIGMOID.value(z) + z * SIGMOID.derivative(z);
    }
  };

  /** The function at z. */
  public abstract double value(double z);

  /** Its derivative at z. */
  public abstract double derivative(double z);

  /** The function of every value of {@code z}; backward yields only the gradient of the input. */
  public Pass forward(Matrix z) {
    Matrix y = z.map(this::value);
    return new Pass() {
      @Override
      public Matrix y() {
        return y;
      }

      @Override
      public Gradients backward(Matrix dy) {
        return new Gradients(dy.hadamard(z.map(Activation.this::derivative)), Map.of());
      }
    };
  }
}
