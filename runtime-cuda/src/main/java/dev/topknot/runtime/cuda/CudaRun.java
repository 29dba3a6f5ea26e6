package dev.topknot.runtime.cuda;

import dev.topknot.runtime.Batch;
import java.nio.ByteBuffer;

/**
 * What is handed to one program at each run, in one block: {@code struct Run}, and the token ids of
 * a model. A block of the host is set up and uploaded with one copy.
 */
final class CudaRun {
  /** Where the ids begin, in bytes. */
  private static final int IDS = 128;

  private final Driver driver;
  private final int tokens;
  private final ByteBuffer host;
  private final CudaArena block;
  private final RunRecord run;

  /**
   * Takes the memory.
   *
   * @param tokens of a batch; 0 for a layer that stands alone
   */
  CudaRun(CudaMemory memory, int tokens) {
    this.driver = memory.driver;
    this.tokens = tokens;
    int bytes = Math.addExact(IDS, Math.multiplyExact(2 * Integer.BYTES, tokens));
    this.host = memory.host(bytes);
    this.block = memory.zeros(bytes / Integer.BYTES);
    this.run = new RunRecord(host);
    for (int i = IDS; i < bytes; i += Integer.BYTES) {
      host.putInt(i, 0);
    }
  }

  /** What the host sets up and reads. */
  RunRecord record() {
    return run;
  }

  long address() {
    return block.at(0);
  }

  long inputs() {
    return block.at(IDS / Integer.BYTES);
  }

  long targets() {
    return block.at(IDS / Integer.BYTES + tokens);
  }

  /** Sets the valid ids of a batch. */
  void ids(Batch batch) {
    host.clear().position(IDS);
    host.asIntBuffer().put(batch.inputs(), 0, batch.valid());
    host.position(IDS + Integer.BYTES * tokens);
    host.asIntBuffer().put(batch.targets(), 0, batch.valid());
  }

  /** Sets the only id. */
  void id(int token) {
    host.putInt(IDS, token);
  }

  /** Uploads the struct and all ids; they stay as they are until the device has been waited for. */
  void upload() {
    driver.write(address(), host.clear());
  }

  /** Uploads the struct. */
  void uploadRecord() {
    driver.write(address(), host.clear().limit(RunRecord.BYTES));
  }

  /** Waits for the device and reads the struct. */
  void read() {
    driver.read(host.clear().limit(RunRecord.BYTES), address());
  }
}
