package demo;

/** Compiles against the generated class, and is itself never edited. */
public final class User {
  private User() {}

  /** The number of weights in the first matrices of the experts. */
  public static int firstWeights() {
    return TopknotExperts.EXPERTS * TopknotExperts.WIDTH * TopknotExperts.HIDDEN;
  }
}
