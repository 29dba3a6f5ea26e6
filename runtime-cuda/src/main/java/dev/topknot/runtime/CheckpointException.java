package dev.topknot.runtime;

import java.io.IOException;

/** A file is not in the safetensors format, or does not fit the model that was to load it. */
public final class CheckpointException extends IOException {
  private static final long serialVersionUID = 1;

  /** Says what is wrong with which file. */
  public CheckpointException(String message) {
    super(message);
  }

  /** Says what is wrong with which file, and what found it. */
  public CheckpointException(String message, Throwable cause) {
    super(message, cause);
  }
}
