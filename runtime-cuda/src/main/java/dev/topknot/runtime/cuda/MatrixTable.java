package dev.topknot.runtime.cuda;

import dev.topknot.runtime.program.Layout;
import java.nio.ByteBuffer;
import java.util.List;

/**
 * {@code struct Matrices} of adam_factored.cuh: the matrices of each entry of a layout in tiles.
 */
final class MatrixTable {
  private MatrixTable() {}

  /** Uploads a table, freed with the rest of the memory, and returns its address. */
  static long upload(CudaMemory memory, Layout layout, long tileRows, long tileColumns) {
    List<Layout.Entry> entries = layout.entries();
    long[] fields = new long[8 * (entries.size() + 1)];
    long tile = 0;
    long slice = 0;
    long rowSums = 0;
    long columnSums = 0;
    int next = 0;
    for (int e = 0; e <= entries.size(); e++) {
      fields[next++] = tile;
      fields[next++] = slice;
      fields[next++] = layout.rowsBefore(e);
      fields[next++] = layout.columnsBefore(e);
      fields[next++] = rowSums;
      fields[next++] = columnSums;
      if (e < entries.size()) {
        Layout.Entry entry = entries.get(e);
        fields[next++] = entry.rows();
        fields[next++] = entry.columns();
        long down = (entry.rows() + tileRows - 1) / tileRows;
        long across = (entry.columns() + tileColumns - 1) / tileColumns;
        tile += entry.copies() * down * across;
        slice += entry.copies();
        rowSums += entry.copies() * across * entry.rows();
        columnSums += entry.copies() * down * entry.columns();
      }
    }
    int words = Math.toIntExact(2L * fields.length);
    ByteBuffer host = memory.host(Integer.BYTES * words);
    host.asLongBuffer().put(fields);
    long address = memory.allocate(words).at(0);
    memory.driver.write(address, host.clear());
    memory.driver.synchronize();
    return address;
  }
}
