package dev.topknot.processor.plan;

/** A parameter of a kernel: 8 bytes each, an address or a constant. */
public sealed interface Argument {
  /** The most parameters of a kernel. */
  int MOST = 24;

  /** {@code const Run*}: what varies from step to step. */
  static Argument run() {
    return new Run();
  }

  /** {@code const LayerOptions*}: what an instance sets in place of the layer's annotations. */
  static Argument options() {
    return new Options();
  }

  /** The operand of the call with this number, from 0. */
  static Argument operand(int index) {
    return operand(index, 0);
  }

  /** Likewise, from one of its elements on. */
  static Argument operand(int index, long from) {
    return new OperandOfCall(index, from);
  }

  /**
   * Memory that lives within one call; within it, the same name is the same memory. The update of
   * the optimizer directly follows its norm and finds what that left at the same offset.
   */
  static Argument scratch(String name, long bytes) {
    return new Scratch(name, bytes);
  }

  /** {@code long long}: always the same. */
  static Argument constant(long value) {
    return new Fixed(value);
  }

  /**
   * {@code long long}: {@code first + i * stride} in the i-th launch of a kernel that is {@link
   * Kernel#repeated repeated}.
   */
  static Argument step(long first, long stride) {
    return new Step(first, stride);
  }

  /** The table of parameter tensors, with what is frozen. */
  static Argument slices() {
    return new Slices();
  }

  /** The table of matrices in tiles of so many rows and columns. */
  static Argument matrices(long tileRows, long tileColumns) {
    return new Matrices(tileRows, tileColumns);
  }

  /** See {@link #run}. */
  record Run() implements Argument {}

  /** See {@link #options}. */
  record Options() implements Argument {}

  /** See {@link #operand}. */
  record OperandOfCall(int index, long from) implements Argument {}

  /** See {@link #scratch}. */
  record Scratch(String name, long bytes) implements Argument {
    /** Refuses what is no size. */
    public Scratch {
      if (bytes <= 0) {
        throw new IllegalArgumentException("scratch " + name + " of " + bytes + " bytes");
      }
    }
  }

  /** See {@link #constant}. */
  record Fixed(long value) implements Argument {}

  /** See {@link #step}. */
  record Step(long first, long stride) implements Argument {}

  /** See {@link #slices}. */
  record Slices() implements Argument {}

  /** See {@link #matrices}. */
  record Matrices(long tileRows, long tileColumns) implements Argument {}
}
