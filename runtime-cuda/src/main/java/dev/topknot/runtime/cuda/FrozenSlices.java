package dev.topknot.runtime.cuda;

import dev.topknot.runtime.program.Layout;
import java.nio.ByteBuffer;
import java.util.BitSet;
import java.util.List;

/** The table by which the optimizer's kernels tell where tensors begin and which are frozen. */
final class FrozenSlices {
  private final CudaMemory memory;
  private final BitSet frozen;
  private final int count;
  private final ByteBuffer host;
  private final long address;
  private BitSet uploaded;

  /**
   * Uploads the table.
   *
   * @param frozen bit s is set when slice s of the layout is frozen; shared with the owner
   */
  FrozenSlices(CudaMemory memory, Layout layout, BitSet frozen) {
    this.memory = memory;
    this.frozen = frozen;
    List<Layout.Slice> slices = layout.slices();
    count = slices.size();
    int bytes = Math.addExact(Long.BYTES * (count + 1), Integer.BYTES * count);
    host = memory.host(bytes);
    for (int s = 0; s < count; s++) {
      host.putLong(Long.BYTES * s, slices.get(s).offset());
    }
    host.putLong(Long.BYTES * count, layout.size());
    address = memory.allocate((bytes + Integer.BYTES - 1) / Integer.BYTES).at(0);
    upload();
  }

  long address() {
    return address;
  }

  /** Uploads again if something was frozen or thawed since. */
  void upload() {
    if (frozen.equals(uploaded)) {
      return;
    }
    uploaded = (BitSet) frozen.clone();
    for (int s = 0; s < count; s++) {
      host.putInt(Long.BYTES * (count + 1) + Integer.BYTES * s, frozen.get(s) ? 1 : 0);
    }
    memory.driver.write(address, host.clear());
    memory.driver.synchronize();
  }

  boolean any() {
    return !frozen.isEmpty();
  }
}
