package dev.topknot.it.reference;

/** The standard normal distribution, to double precision. */
public final class Normal {
  private Normal() {}

  /** The density φ(z). */
  public static double density(double z) {
    return Math.exp(-z * z / 2) / Math.sqrt(2 * Math.PI);
  }

  /** The distribution Φ(z), with full relative precision in the lower tail. */
  public static double cumulative(double z) {
    if (z < -3) {
      return density(z) / mills(-z);
    }
    if (z > 3) {
      return 1 - density(z) / mills(z);
    }
    // Φ(z) = 1/2 + φ(z) (z + z³/3 + z⁵/(3·5) + ...), all terms of one sign.
    double term = z;
    double sum = z;
    for (int i = 3; Math.abs(term) > 1e-18 * Math.abs(sum); i += 2) {
      term *= z * z / i;
      sum += term;
    }
    return 0.5 + density(z) * sum;
  }

  /** Laplace's continued fraction z + 1/(z + 2/(z + 3/...)) = φ(z) / Φ(−z), for z of 3 and more. */
  private static double mills(double z) {
    double fraction = z;
    for (int i = 100; i > 0; i--) {
      fraction = z + i / fraction;
    }
    return fraction;
  }
}
