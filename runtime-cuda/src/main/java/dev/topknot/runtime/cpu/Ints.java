package dev.topknot.runtime.cpu;

import java.util.Objects;

/**
 * A run of int32 over a part of an {@link Arena}: token lists, expert offsets, routing. Bulk reads
 * and writes may run on several threads at once where their ranges do not overlap.
 */
public final class Ints {
  private final Region region;
  private final long offset;
  private final long size;

  Ints(Region region, long offset, long size) {
    this.region = region;
    this.offset = offset;
    this.size = size;
  }

  /** How many ints. */
  public long size() {
    return size;
  }

  /** One element. */
  public int get(long i) {
    return region.getInt(offset + Objects.checkIndex(i, size));
  }

  /** Sets one element. */
  public void set(long i, int v) {
    region.setInt(offset + Objects.checkIndex(i, size), v);
  }

  /** Copies {@code count} ints from index {@code from} into {@code to[at..]}. */
  public void read(long from, int[] to, int at, int count) {
    Objects.checkFromIndexSize(from, count, size);
    region.read(offset + from, to, at, count);
  }

  /** Copies {@code count} ints of {@code from[at..]} to index {@code to}. */
  public void write(long to, int[] from, int at, int count) {
    Objects.checkFromIndexSize(to, count, size);
    region.write(offset + to, from, at, count);
  }
}
