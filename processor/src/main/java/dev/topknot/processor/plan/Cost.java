package dev.topknot.processor.plan;

/**
 * What a call costs when every token is valid.
 *
 * @param flops floating-point operations, a multiply-add counted as two
 * @param bytes bytes read and written, each operand counted once a pass
 */
public record Cost(long flops, long bytes) {
  /** Both added. */
  public Cost plus(Cost other) {
    return new Cost(flops + other.flops, bytes + other.bytes);
  }
}
