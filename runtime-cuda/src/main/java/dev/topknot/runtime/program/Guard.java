package dev.topknot.runtime.program;

/**
 * Lets one thread at a time into an instance, and nobody after it was closed. Entering again on the
 * thread that is inside is fine.
 */
final class Guard {
  private final String instance;
  private Thread inside;
  private int depth;
  private boolean closed;

  Guard(String instance) {
    this.instance = instance;
  }

  /** Enters; {@link #leave} must follow. */
  synchronized void enter() {
    requireOpen();
    Thread current = Thread.currentThread();
    if (inside != null && inside != current) {
      throw new IllegalStateException(
          String.format(
              "thread \"%s\" called %s while thread \"%s\" is inside: an instance belongs to one"
                  + " thread at a time; use inference() for another",
              current.getName(), instance, inside.getName()));
    }
    inside = current;
    depth++;
  }

  synchronized void leave() {
    depth--;
    if (depth == 0) {
      inside = null;
    }
  }

  /** Fails when closed. */
  synchronized void requireOpen() {
    if (closed) {
      throw new IllegalStateException(instance + " is closed");
    }
  }

  /** Closes; true for the first time, false when it was closed. */
  synchronized boolean close() {
    if (closed) {
      return false;
    }
    if (inside != null) {
      throw new IllegalStateException(
          String.format(
              "%s cannot be closed while thread \"%s\" is inside", instance, inside.getName()));
    }
    closed = true;
    return true;
  }
}
