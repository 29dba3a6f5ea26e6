package dev.topknot.it.reference;

/** How matrices are multiplied: as they are, or their elements rounded first. */
public enum Products {
  /** As they are. */
  EXACT {
    @Override
    public double rounded(double value) {
      return value;
    }
  },

  /** Elements rounded to the nearest bf16, ties to even; the product is exact. */
  BF16 {
    @Override
    public double rounded(double value) {
      float single = (float) value;
      if (!Float.isFinite(single)) {
        return single;
      }
      int bits = Float.floatToRawIntBits(single);
      return Float.intBitsToFloat((bits + 0x7FFF + (bits >>> 16 & 1)) & 0xFFFF_0000);
    }
  };

  /** What an element of an operand becomes. */
  public abstract double rounded(double value);

  private Matrix rounded(Matrix operand) {
    return operand.map(this::rounded);
  }

  /** {@code a} times {@code b}. */
  Matrix times(Matrix a, Matrix b) {
    return rounded(a).times(rounded(b));
  }

  /** {@code a} times the transpose of {@code b}. */
  Matrix timesTransposed(Matrix a, Matrix b) {
    return rounded(a).timesTransposed(rounded(b));
  }

  /** The transpose of {@code a} times {@code b}. */
  Matrix transposedTimes(Matrix a, Matrix b) {
    return rounded(a).transposedTimes(rounded(b));
  }
}
