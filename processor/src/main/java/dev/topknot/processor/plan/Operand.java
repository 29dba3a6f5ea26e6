package dev.topknot.processor.plan;

/** A buffer as an argument of a call, and what the call does with it. */
public record Operand(Buffer buffer, Access access) {
  /** What a call does with an operand. */
  public enum Access {
    /** Reads what an earlier call wrote. */
    READ,
    /** Writes every valid element, or a kind of experts those of its slots, before reading any. */
    WRITE,
    /** Reads what an earlier call wrote, and changes it. */
    UPDATE
  }

  static Operand read(Buffer buffer) {
    return new Operand(buffer, Access.READ);
  }

  static Operand write(Buffer buffer) {
    return new Operand(buffer, Access.WRITE);
  }

  static Operand update(Buffer buffer) {
    return new Operand(buffer, Access.UPDATE);
  }
}
