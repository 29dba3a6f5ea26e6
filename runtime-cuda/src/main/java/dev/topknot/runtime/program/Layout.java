package dev.topknot.runtime.program;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.regex.Pattern;

/**
 * Where every parameter of a compiled specification lies in its parameter arena. Gradients lie at
 * the same offsets of an arena of their own; a {@link Moment} knows where it lies.
 */
public final class Layout {
  private static final long ALIGNMENT = 64;

  /** Where the number of a copy stands in a name. */
  private static final Pattern NUMBER = Pattern.compile("(?:(\\d+)\\+)?\\*");

  private final String spec;
  private final List<Entry> entries;
  private final List<Slice> slices;
  private final List<String> layers;
  private final long size;
  private final long[] rowsBefore;
  private final long[] columnsBefore;
  private final String hash;

  private Layout(String spec, List<Entry> entries) {
    this.spec = spec;
    this.entries = List.copyOf(entries);
    List<Slice> all = new ArrayList<>();
    LinkedHashSet<String> names = new LinkedHashSet<>();
    LinkedHashSet<String> layerNames = new LinkedHashSet<>();
    this.rowsBefore = new long[entries.size() + 1];
    this.columnsBefore = new long[entries.size() + 1];
    long end = 0;
    for (int e = 0; e < this.entries.size(); e++) {
      Entry entry = this.entries.get(e);
      if (entry.offset() < end || entry.offset() % ALIGNMENT != 0) {
        throw new IllegalArgumentException(
            String.format(
                "offset of %s must be a multiple of %d and at least %d, but is %d",
                entry.fullName(0), ALIGNMENT, end, entry.offset()));
      }
      end = Math.addExact(entry.offset(), entry.size());
      rowsBefore[e + 1] = rowsBefore[e] + entry.copies() * entry.rows();
      columnsBefore[e + 1] = columnsBefore[e] + entry.copies() * entry.columns();
      layerNames.add(entry.layer());
      for (int copy = 0; copy < entry.copies(); copy++) {
        Slice slice = new Slice(e, copy, entry);
        if (!names.add(slice.name())) {
          throw new IllegalArgumentException("two parameters are named " + slice.name());
        }
        all.add(slice);
      }
    }
    this.slices = List.copyOf(all);
    this.layers = List.copyOf(layerNames);
    this.size = Math.addExact(end, ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    this.hash = digest(all);
  }

  /**
   * A layout.
   *
   * @param spec simple name of the annotated interface
   * @param entries in the order of the layers, at ascending offsets that are multiples of 64 floats
   * @throws IllegalArgumentException for overlapping or unaligned entries, or repeated names
   */
  public static Layout of(String spec, List<Entry> entries) {
    return new Layout(spec, entries);
  }

  /** Simple name of the annotated interface. */
  public String spec() {
    return spec;
  }

  /** The entries in the order of the layers. */
  public List<Entry> entries() {
    return entries;
  }

  /** Every single parameter tensor: entries in order, and the copies of an entry in order. */
  public List<Slice> slices() {
    return slices;
  }

  /** Names of the layers that have parameters, in order; one empty name for a layer alone. */
  public List<String> layers() {
    return layers;
  }

  /** Floats of the arena, padding included. */
  public long size() {
    return size;
  }

  /**
   * Rows of all copies of the entries before one.
   *
   * @param entry index in {@link #entries()}, or their number for the rows of all
   */
  public long rowsBefore(int entry) {
    return rowsBefore[entry];
  }

  /** Columns of all copies of the entries before one, as {@link #rowsBefore}. */
  public long columnsBefore(int entry) {
    return columnsBefore[entry];
  }

  /** Number of parameters, padding excluded. */
  public long parameters() {
    return entries.stream().mapToLong(Entry::size).sum();
  }

  /** SHA-256 over names, shapes and order, in lower-case hexadecimal. */
  public String hash() {
    return hash;
  }

  private static String digest(List<Slice> slices) {
    MessageDigest sha;
    try {
      sha = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
    for (Slice slice : slices) {
      String line = slice.name() + " " + slice.shapeText() + "\n";
      sha.update(line.getBytes(StandardCharsets.UTF_8));
    }
    return HexFormat.of().formatHex(sha.digest());
  }

  /**
   * One parameter of a layer, or the parameter of the same name of all its experts.
   *
   * @param layer name of the layer; empty for a layer that stands alone
   * @param name name within the layer; of several copies with a {@code *} for the copy's number, or
   *     with {@code 48+*} where they are numbered from 48 on
   * @param copies how many tensors of this shape lie one after the other
   * @param rows rows (outputs) of one; a bias has one row
   * @param columns columns (inputs) of one
   * @param offset of the first, in floats from the start of the arena
   * @param init where its first values come from
   * @param streamLayer number of the layer in noise streams
   */
  public record Entry(
      String layer,
      String name,
      int copies,
      long rows,
      long columns,
      long offset,
      Init init,
      int streamLayer) {

    /** Checks that the sizes are positive and that copies can be told apart. */
    public Entry {
      if (copies < 1 || rows < 1 || columns < 1 || offset < 0) {
        throw new IllegalArgumentException(
            String.format(
                "%s.%s must have positive sizes, but has %d copies of [%d, %d] at %d",
                layer, name, copies, rows, columns, offset));
      }
      if (copies > 1 && name.indexOf('*') < 0) {
        throw new IllegalArgumentException(
            "the name of " + copies + " copies must hold a *, but is " + name);
      }
    }

    /** Floats of all copies. */
    public long size() {
      return Math.multiplyExact(copies, Math.multiplyExact(rows, columns));
    }

    /** Offset of one copy, in floats. */
    public long offset(int copy) {
      return offset + copy * rows * columns;
    }

    /** Name of one copy with its layer, such as {@code experts.experts.3.w1}. */
    public String fullName(int copy) {
      String own =
          NUMBER
              .matcher(name)
              .replaceFirst(
                  found -> {
                    String first = found.group(1);
                    return Integer.toString(copy + (first == null ? 0 : Integer.parseInt(first)));
                  });
      return layer.isEmpty() ? own : layer + "." + own;
    }
  }

  /**
   * One parameter tensor.
   *
   * @param entry index of its entry in {@link Layout#entries()}
   * @param copy its number among the copies of the entry
   * @param of the entry
   */
  public record Slice(int entry, int copy, Entry of) {
    /** Name of the layer. */
    public String layer() {
      return of.layer();
    }

    /** Name with the layer, such as {@code below.inputWeights}. */
    public String name() {
      return of.fullName(copy);
    }

    /** [rows, columns], and [columns] for a bias. */
    public long[] shape() {
      boolean bias =
          of.rows() == 1 && of.name().toLowerCase(java.util.Locale.ROOT).endsWith("bias");
      return bias ? new long[] {of.columns()} : new long[] {of.rows(), of.columns()};
    }

    /** Floats from the start of the arena. */
    public long offset() {
      return of.offset(copy);
    }

    /** Number of floats. */
    public long size() {
      return of.rows() * of.columns();
    }

    String shapeText() {
      return java.util.Arrays.toString(shape());
    }
  }
}
