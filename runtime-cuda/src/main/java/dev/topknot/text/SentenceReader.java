package dev.topknot.text;

import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipException;

/** Reads one file of sentences, one a line, words apart by white space, plain or gzipped. */
final class SentenceReader {
  private static final char BYTE_ORDER_MARK = '\uFEFF';

  /** What takes the words in order. */
  interface Sink {
    void word(String word);

    void endOfSentence();
  }

  private final Path file;
  private final Sink sink;
  private final CharsetDecoder decoder =
      StandardCharsets.UTF_8
          .newDecoder()
          .onMalformedInput(CodingErrorAction.REPORT)
          .onUnmappableCharacter(CodingErrorAction.REPORT);
  private byte[] bytes = new byte[1 << 12];
  private int length;
  private CharBuffer chars = CharBuffer.allocate(1 << 12);
  private long line;
  private long words;

  private SentenceReader(Path file, Sink sink) {
    this.file = file;
    this.sink = sink;
  }

  /**
   * Hands every word of a file to the sink; blank lines are no sentences.
   *
   * @throws CorpusException naming file and line if the text is not UTF-8, or there is no word
   */
  static void read(Path file, Sink sink) {
    new SentenceReader(file, sink).read();
  }

  private void read() {
    try (InputStream in = open()) {
      byte[] block = new byte[1 << 16];
      for (int n = in.read(block); n >= 0; n = in.read(block)) {
        int start = 0;
        for (int i = 0; i < n; i++) {
          if (block[i] == '\n') {
            append(block, start, i);
            endLine();
            start = i + 1;
          }
        }
        append(block, start, n);
      }
      if (length > 0) {
        endLine();
      }
    } catch (ZipException | EOFException e) {
      throw new CorpusException(
          file, line + 1, "the gzipped data is damaged: " + e.getMessage(), e);
    } catch (IOException e) {
      throw new UncheckedIOException("cannot read " + file, e);
    }
    if (words == 0) {
      throw new CorpusException(
          file,
          Math.max(1, line),
          line == 0 ? "the file is empty" : "the file ends here without a word");
    }
  }

  private InputStream open() throws IOException {
    InputStream raw = new BufferedInputStream(Files.newInputStream(file), 1 << 16);
    if (!file.getFileName().toString().endsWith(".gz")) {
      return raw;
    }
    try {
      return new GZIPInputStream(raw, 1 << 16);
    } catch (IOException e) {
      raw.close();
      throw e;
    }
  }

  private void append(byte[] block, int from, int to) {
    int more = to - from;
    if (length + more > bytes.length) {
      bytes = Arrays.copyOf(bytes, Math.max(length + more, 2 * bytes.length));
    }
    System.arraycopy(block, from, bytes, length, more);
    length += more;
  }

  private void endLine() {
    line++;
    String text = decode();
    length = 0;
    int end = text.length();
    int at = line == 1 && end > 0 && text.charAt(0) == BYTE_ORDER_MARK ? 1 : 0;
    long before = words;
    while (at < end) {
      while (at < end && Character.isWhitespace(text.charAt(at))) {
        at++;
      }
      int start = at;
      while (at < end && !Character.isWhitespace(text.charAt(at))) {
        at++;
      }
      if (at > start) {
        sink.word(text.substring(start, at));
        words++;
      }
    }
    if (words > before) {
      sink.endOfSentence();
    }
  }

  private String decode() {
    ByteBuffer in = ByteBuffer.wrap(bytes, 0, length);
    if (chars.capacity() < length) {
      chars = CharBuffer.allocate(bytes.length);
    }
    chars.clear();
    decoder.reset();
    CoderResult result = decoder.decode(in, chars, true);
    if (result.isError()) {
      int at = in.position();
      String bad = HexFormat.of().withUpperCase().formatHex(bytes, at, at + result.length());
      throw new CorpusException(
          file,
          line,
          "byte %d of the line (0x%s) is not UTF-8; convert the file, for example with iconv -t UTF-8"
              .formatted(at + 1, bad));
    }
    decoder.flush(chars);
    return chars.flip().toString();
  }
}
