package dev.topknot.runtime.cuda;

import dev.topknot.runtime.Update;
import java.nio.ByteBuffer;

/**
 * The host's view of {@code struct Run} of run.cuh: what varies from one run of a program to the
 * next. The byte offsets below are the struct's; a test holds the two together.
 */
final class RunRecord {
  /** Size of the struct. */
  static final int BYTES = 96;

  /** The status of an evaluation that chose more than there is room for. */
  static final int STATUS_ROOM = 3;

  private static final int SEED = 0;
  private static final int STEP = 8;
  private static final int VALID = 12;
  private static final int FIRST_TOKEN = 16;
  private static final int TRAINING = 20;
  private static final int ADD = 24;
  private static final int STATUS = 28;
  private static final int KEEP_FIRST = 32;
  private static final int ADD_FIRST = 36;
  private static final int KEEP_SECOND = 40;
  private static final int ADD_SECOND = 44;
  private static final int RATE = 48;
  private static final int ROOT_SCALE = 52;
  private static final int EPSILON = 56;
  private static final int GRADIENT_SCALE = 60;
  private static final int CLIP = 64;
  private static final int LOSS = 72;
  private static final int NORM = 80;
  private static final int FROZEN = 88;
  private static final int GUARD = 92;

  private final ByteBuffer bytes;

  /** A view of the first {@link #BYTES} of a buffer of native order; they are set to zero. */
  RunRecord(ByteBuffer bytes) {
    this.bytes = bytes;
    for (int i = 0; i < BYTES; i++) {
      bytes.put(i, (byte) 0);
    }
    bytes.putFloat(GRADIENT_SCALE, 1);
  }

  /** Sets up a training forward. */
  void train(int valid, long updatesDone, long seed, int firstToken) {
    forward(valid, true);
    bytes.putLong(SEED, seed);
    bytes.putInt(STEP, Math.toIntExact(updatesDone));
    bytes.putInt(FIRST_TOKEN, firstToken);
  }

  /** Sets up a forward without noise. */
  void infer(int valid) {
    forward(valid, false);
  }

  private void forward(int valid, boolean training) {
    bytes.putInt(VALID, valid);
    bytes.putInt(TRAINING, training ? 1 : 0);
    bytes.putDouble(LOSS, 0);
    begin(false);
  }

  /**
   * Forgets the status of what ran before.
   *
   * @param guard whether update and commit only happen while the status is fine
   */
  void begin(boolean guard) {
    bytes.putInt(STATUS, 0);
    bytes.putInt(GUARD, guard ? 1 : 0);
  }

  /** Decides whether backward adds to the gradients. */
  void add(boolean add) {
    bytes.putInt(ADD, add ? 1 : 0);
  }

  /** Sets up the optimizer, with the constants of {@code runtime.cpu.Adam}. */
  void update(Update update, long updatesDone, boolean anythingFrozen) {
    double updates = updatesDone + 1.0;
    bytes.putInt(STEP, Math.toIntExact(updatesDone));
    bytes.putFloat(KEEP_FIRST, (float) update.beta1());
    bytes.putFloat(ADD_FIRST, (float) (1 - update.beta1()));
    bytes.putFloat(KEEP_SECOND, (float) update.beta2());
    bytes.putFloat(ADD_SECOND, (float) (1 - update.beta2()));
    bytes.putFloat(RATE, (float) (update.rate() / (1 - Math.pow(update.beta1(), updates))));
    bytes.putFloat(ROOT_SCALE, (float) (1 / Math.sqrt(1 - Math.pow(update.beta2(), updates))));
    bytes.putFloat(EPSILON, (float) Math.max(update.epsilon(), Float.MIN_NORMAL));
    bytes.putDouble(CLIP, update.clip());
    frozen(anythingFrozen);
  }

  /** Says whether the norm must look at what is frozen. */
  void frozen(boolean anything) {
    bytes.putInt(FROZEN, anything ? 1 : 0);
  }

  int valid() {
    return bytes.getInt(VALID);
  }

  /**
   * 0 fine, 1 the loss is not finite, 2 the norm of the gradients is not finite, {@link
   * #STATUS_ROOM}.
   */
  int status() {
    return bytes.getInt(STATUS);
  }

  double loss() {
    return bytes.getDouble(LOSS);
  }

  double norm() {
    return bytes.getDouble(NORM);
  }
}
