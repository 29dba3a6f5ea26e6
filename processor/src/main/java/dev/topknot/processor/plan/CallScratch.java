package dev.topknot.processor.plan;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The scratch memory of one call, from offset 0 of the program's scratch arena.
 *
 * @param offsets by name, in elements
 * @param size in elements
 */
public record CallScratch(Map<String, Long> offsets, long size) {
  /**
   * Lays out what the kernels of one call name.
   *
   * @throws IllegalArgumentException if one name has two sizes
   */
  public static CallScratch of(List<Kernel> kernels) {
    Map<String, Long> offsets = new LinkedHashMap<>();
    Map<String, Long> bytes = new LinkedHashMap<>();
    long size = 0;
    for (Kernel kernel : kernels) {
      for (Argument argument : kernel.arguments()) {
        if (argument instanceof Argument.Scratch scratch) {
          Long before = bytes.putIfAbsent(scratch.name(), scratch.bytes());
          if (before == null) {
            offsets.put(scratch.name(), size);
            long elements = Grid.blocks(scratch.bytes(), Buffer.ELEMENT_BYTES);
            size = Math.addExact(size, Memory.align(elements));
          } else if (before != scratch.bytes()) {
            throw new IllegalArgumentException(
                "scratch %s of %d bytes is %d bytes in %s"
                    .formatted(scratch.name(), before, scratch.bytes(), kernel.name()));
          }
        }
      }
    }
    return new CallScratch(offsets, size);
  }
}
