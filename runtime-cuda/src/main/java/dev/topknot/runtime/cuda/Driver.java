package dev.topknot.runtime.cuda;

import java.nio.ByteBuffer;

/**
 * One device as the runtime sees it. Addresses are plain numbers. Writes, copies, fills and
 * launches happen in the order of the calls and may still be under way when a call returns; {@link
 * #read} and {@link #synchronize} wait for all of them. Calls from several threads are fine: each
 * is whole.
 *
 * <p>Every failure is a {@link CudaException} saying what was refused; memory that cannot be had is
 * an {@link OutOfMemoryError} naming the bytes wanted.
 */
public interface Driver {
  /** What the device is. */
  Properties properties();

  /** Bytes of device memory that nobody has taken, in this process or another. */
  long freeBytes();

  /** Takes device memory, aligned to 256 bytes, of any content; at least one byte. */
  long allocate(long bytes);

  /** Gives device memory back. */
  void free(long address);

  /**
   * Takes memory of the host, in native order, that copies to and from the device run fast with.
   */
  ByteBuffer allocateHost(int bytes);

  /** Gives memory of {@link #allocateHost} back. */
  void freeHost(ByteBuffer buffer);

  /**
   * Copies what remains of a direct buffer to the device.
   *
   * @param to address of the first byte
   * @param from unchanged until {@link #read} or {@link #synchronize} has returned
   */
  void write(long to, ByteBuffer from);

  /** Fills what remains of a direct buffer from the device, after all that was asked for before. */
  void read(ByteBuffer to, long from);

  /** Copies within the device. */
  void copy(long to, long from, long bytes);

  /** Sets so many 32-bit words. */
  void fill(long address, int word, long words);

  /** Loads the kernels of a specification and returns a handle of the module. */
  long load(KernelSource source);

  /** Forgets a module and its kernels. */
  void unload(long module);

  /** A handle of one kernel of a module. */
  long kernel(long module, String name);

  /**
   * Starts a kernel.
   *
   * @param kernel handle
   * @param gridX blocks
   * @param gridY blocks
   * @param gridZ blocks
   * @param threads of a block
   * @param sharedBytes dynamic shared memory of a block
   * @param parameters 8 bytes each: addresses and constants
   */
  void launch(
      long kernel,
      int gridX,
      int gridY,
      int gridZ,
      int threads,
      int sharedBytes,
      long... parameters);

  /**
   * Records launches, copies and fills instead of doing them, and returns a handle of the graph.
   */
  long capture(Runnable calls);

  /** Does what a graph recorded. */
  void replay(long graph);

  /** Forgets a graph. */
  void release(long graph);

  /** Waits until everything asked for is done. */
  void synchronize();

  /**
   * What a device is.
   *
   * @param name for people
   * @param major of its compute capability
   * @param minor of its compute capability
   * @param multiprocessors how many
   * @param memory bytes
   * @param sharedBytes most dynamic shared memory of a block
   */
  record Properties(
      String name, int major, int minor, int multiprocessors, long memory, int sharedBytes) {}
}
