package dev.topknot.text;

import dev.topknot.runtime.LanguageModel;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;

/** A text as vocabulary ids, four bytes a token, {@link Vocabulary#END} after each sentence. */
public final class Tokens {
  private static final int BITS = 20;
  private static final int MASK = (1 << BITS) - 1;

  private final List<int[]> chunks;
  private final long size;

  private Tokens(List<int[]> chunks, long size) {
    this.chunks = chunks;
    this.size = size;
  }

  /** The given ids, copied. */
  public static Tokens of(int... ids) {
    Builder builder = new Builder();
    for (int id : ids) {
      builder.add(id);
    }
    return builder.build();
  }

  /** Number of tokens: words and sentence ends. */
  public long size() {
    return size;
  }

  /** The id at a position from 0 to {@code size() - 1}. */
  public int get(long index) {
    if (index < 0 || index >= size) {
      throw new IndexOutOfBoundsException("token " + index + " of " + size);
    }
    return chunks.get((int) (index >>> BITS))[(int) index & MASK];
  }

  /** How often each id below {@code ids} occurs. */
  public long[] counts(int ids) {
    long[] counts = new long[ids];
    for (long i = 0; i < size; i++) {
      counts[get(i)]++;
    }
    return counts;
  }

  /** The tokens cut into batches of the model's shape. */
  public Batches batches(LanguageModel model) {
    return batches(model.batch(), model.timesteps());
  }

  /** The tokens cut into batches of {@code batch} sequences by {@code timesteps}. */
  public Batches batches(int batch, int timesteps) {
    return new Batches(this, batch, timesteps);
  }

  /** Sixteen hexadecimal digits of the SHA-256 of all ids: another text has another one. */
  public String fingerprint() {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      ByteBuffer bytes = ByteBuffer.allocate(4 * (MASK + 1));
      for (int c = 0; c < chunks.size(); c++) {
        int used = (int) Math.min(MASK + 1, size - ((long) c << BITS));
        bytes.clear();
        bytes.asIntBuffer().put(chunks.get(c), 0, used);
        digest.update(bytes.limit(4 * used));
      }
      return HexFormat.of().formatHex(digest.digest(), 0, 8);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }

  /** A part of the tokens, copied. */
  Tokens slice(long from, long to) {
    Builder builder = new Builder();
    for (long i = from; i < to; i++) {
      builder.add(get(i));
    }
    return builder.build();
  }

  /** Replaces each id by {@code ids[id]}, in place: for whoever has not handed the tokens out. */
  Tokens relabel(int[] ids) {
    for (long i = 0; i < size; i++) {
      int[] chunk = chunks.get((int) (i >>> BITS));
      int at = (int) i & MASK;
      chunk[at] = ids[chunk[at]];
    }
    return this;
  }

  @Override
  public String toString() {
    return size + " tokens";
  }

  /** Collects tokens one by one. */
  static final class Builder {
    private final List<int[]> chunks = new ArrayList<>();
    private long size;

    void add(int id) {
      int at = (int) size & MASK;
      if (at == 0) {
        chunks.add(new int[MASK + 1]);
      }
      chunks.get(chunks.size() - 1)[at] = id;
      size++;
    }

    Tokens build() {
      return new Tokens(List.copyOf(chunks), size);
    }
  }
}
