package dev.topknot.runtime.cpu;

/** The standard normal distribution in double precision, for tests. */
final class Normal {
  private Normal() {}

  static double density(double x) {
    return Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
  }

  /** P(X <= x), to about 1e-14 relative also far out on the left. */
  static double cdf(double x) {
    return x < 0 ? tail(-x) : 1 - tail(x);
  }

  /** P(X > x) for x >= 0: a series without cancellation, or the continued fraction of Laplace. */
  private static double tail(double x) {
    if (x < 2) {
      double term = x;
      double sum = x;
      for (int i = 3; term > sum * 1e-17; i += 2) {
        term *= x * x / i;
        sum += term;
      }
      return 0.5 - density(x) * sum;
    }
    double fraction = x;
    for (int i = 300; i > 0; i--) {
      fraction = x + i / fraction;
    }
    return density(x) / fraction;
  }
}
