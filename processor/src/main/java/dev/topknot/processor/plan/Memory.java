package dev.topknot.processor.plan;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Where each buffer of an arena lies, and during which calls it holds something.
 *
 * @param placements in the order of first use
 * @param size the arena's size in elements
 */
public record Memory(List<Placement> placements, long size) {
  /** Offsets are multiples of this many elements, 256 bytes: what the widest loads like. */
  public static final long ALIGNMENT = 64;

  /** Copies the placements. */
  public Memory {
    placements = List.copyOf(placements);
  }

  /**
   * A buffer's place.
   *
   * @param offset in elements
   * @param first the number of the first call that uses it
   * @param last the number of the last call that uses it
   */
  public record Placement(Buffer buffer, long offset, int first, int last) {
    boolean overlaps(int otherFirst, int otherLast) {
      return first <= otherLast && otherFirst <= last;
    }

    long end() {
      return offset + align(buffer.size());
    }
  }

  /** The offset of a buffer, in elements. */
  public long offset(Buffer buffer) {
    for (Placement placement : placements) {
      if (placement.buffer().equals(buffer)) {
        return placement.offset();
      }
    }
    throw new IllegalArgumentException("not planned: " + buffer);
  }

  /** Rounded up to {@link #ALIGNMENT}. */
  static long align(long elements) {
    return Math.multiplyExact((elements + ALIGNMENT - 1) / ALIGNMENT, ALIGNMENT);
  }

  /** Lays buffers one after the other; none shares memory. */
  static Memory sequence(List<Buffer> buffers, int calls) {
    List<Placement> placements = new ArrayList<>();
    long offset = 0;
    for (Buffer buffer : buffers) {
      placements.add(new Placement(buffer, offset, 0, calls));
      offset = Math.addExact(offset, align(buffer.size()));
    }
    return new Memory(placements, offset);
  }

  /**
   * Lays out a workspace: the largest buffers first, each at the lowest offset at which no buffer
   * lies that lives at the same time.
   *
   * @param calls the program's calls in order
   * @param kept buffers that are read after the last call
   */
  static Memory share(List<Call> calls, List<Buffer> kept) {
    Map<Buffer, int[]> lifetimes = new LinkedHashMap<>();
    for (int i = 0; i < calls.size(); i++) {
      for (Operand operand : calls.get(i).operands()) {
        if (operand.buffer().region() == Region.WORKSPACE) {
          lifetimes.computeIfAbsent(operand.buffer(), b -> new int[2])[1] = i;
        }
      }
    }
    for (int i = calls.size() - 1; i >= 0; i--) {
      for (Operand operand : calls.get(i).operands()) {
        int[] lifetime = lifetimes.get(operand.buffer());
        if (lifetime != null) {
          lifetime[0] = i;
        }
      }
    }
    for (Buffer buffer : kept) {
      lifetimes.get(buffer)[1] = calls.size();
    }
    List<Map.Entry<Buffer, int[]>> largestFirst = new ArrayList<>(lifetimes.entrySet());
    largestFirst.sort(Comparator.comparingLong(e -> -e.getKey().size()));
    List<Placement> placed = new ArrayList<>();
    long size = 0;
    for (Map.Entry<Buffer, int[]> entry : largestFirst) {
      int[] lifetime = entry.getValue();
      long offset = lowestFree(placed, entry.getKey(), lifetime[0], lifetime[1]);
      Placement placement = new Placement(entry.getKey(), offset, lifetime[0], lifetime[1]);
      placed.add(placement);
      size = Math.max(size, placement.end());
    }
    placed.sort(Comparator.comparingInt(Placement::first).thenComparing(p -> p.buffer().name()));
    return new Memory(placed, size);
  }

  private static long lowestFree(List<Placement> placed, Buffer buffer, int first, int last) {
    List<Placement> inTheWay = new ArrayList<>();
    for (Placement placement : placed) {
      if (placement.overlaps(first, last)) {
        inTheWay.add(placement);
      }
    }
    inTheWay.sort(Comparator.comparingLong(Placement::offset));
    long offset = 0;
    for (Placement placement : inTheWay) {
      if (offset + align(buffer.size()) <= placement.offset()) {
        break;
      }
      offset = Math.max(offset, placement.end());
    }
    return offset;
  }
}
