package dev.topknot.processor.plan;

import java.util.List;

/**
 * A step of a program: a method of an op and its operands in the method's order.
 *
 * @param result the operand in which a fault of the call shows: its main output
 */
public record Call(Op op, String method, List<Operand> operands, Buffer result) {
  /** Copies the operands. */
  public Call {
    operands = List.copyOf(operands);
  }

  static Call of(Op op, String method, Operand... operands) {
    return new Call(op, method, List.of(operands), operands[operands.length - 1].buffer());
  }

  Call resultIn(Buffer output) {
    return new Call(op, method, operands, output);
  }

  /** Its kernels on a CUDA device, in the order of their launch; empty if there are none. */
  public List<Kernel> kernels() {
    return op.kernels(method);
  }

  /** What it costs when every token is valid. */
  public Cost cost() {
    return new Cost(op.flops(method), bytes(1));
  }

  /**
   * Bytes between the memory and the cache of a CPU when every token is valid: as {@link #cost},
   * but a line that is only written is fetched first.
   */
  public long traffic() {
    return bytes(2);
  }

  private long bytes(int passesOfWrite) {
    double bytes = 0;
    for (Operand operand : operands) {
      Buffer buffer = operand.buffer();
      boolean weights = buffer.region() == Region.PARAMETERS || buffer.region() == Region.GRADIENTS;
      int passes =
          switch (operand.access()) {
            case READ -> 1;
            case WRITE -> passesOfWrite;
            case UPDATE -> 2;
          };
      bytes += buffer.bytes() * passes * (weights ? op.touched() : op.share());
    }
    return Math.round(bytes);
  }
}
