package dev.topknot.text;

import java.nio.file.Path;

/** Text that cannot be used as it is: bad UTF-8, no words, a missing file, another layout. */
public final class CorpusException extends IllegalArgumentException {
  private static final long serialVersionUID = 1;

  private final transient Path file;
  private final long line;

  CorpusException(Path file, long line, String problem) {
    super(file + (line > 0 ? ":" + line : "") + ": " + problem);
    this.file = file;
    this.line = line;
  }

  CorpusException(Path file, long line, String problem, Throwable cause) {
    this(file, line, problem);
    initCause(cause);
  }

  /** The file or directory at fault. */
  public Path file() {
    return file;
  }

  /** The line at fault, counted from 1, or 0 where the fault is not in a line. */
  public long line() {
    return line;
  }
}
