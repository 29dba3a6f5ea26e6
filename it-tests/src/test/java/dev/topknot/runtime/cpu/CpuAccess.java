package dev.topknot.runtime.cpu;

import dev.topknot.runtime.Options;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.program.Layout;
import java.util.BitSet;

/** Lets the numerical tests set up what otherwise only the runtime does. */
public final class CpuAccess {
  private CpuAccess() {}

  /** A context for operations that are handed all their memory. */
  public static CpuContext context(int threads, Options options, Layout layout) {
    return new CpuContext(Cpu.of(threads), options, layout, null, null, null, null, null, null);
  }

  /** A run of a program of so many tokens with nothing frozen. */
  public static Run run(int tokens, Layout layout) {
    return new Run(tokens, layout, new BitSet());
  }

  /** Makes the run one of training. */
  public static void train(Run run, int valid, int step, long seed, int firstToken) {
    run.train(valid, step, seed, firstToken);
  }

  /** Makes the run one of evaluation. */
  public static void infer(Run run, int valid) {
    run.infer(valid);
  }

  /** Sets the operands of a model's run. */
  public static void operands(Run run, Ints inputs, Ints targets) {
    run.operands(inputs, targets);
  }

  /** Decides whether backward adds to the gradients. */
  public static void add(Run run, boolean add) {
    run.add(add);
  }

  /** Sets the optimizer's constants. */
  public static void update(Run run, Update update, int step) {
    run.update(update, step);
  }
}
