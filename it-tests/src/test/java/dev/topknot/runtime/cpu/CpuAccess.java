package dev.topknot.runtime.cpu;

import dev.topknot.runtime.Balance;
import dev.topknot.runtime.Options;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.program.Layout;
import dev.topknot.runtime.program.Program;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/** Lets the numerical tests set up what otherwise only the runtime does. */
public final class CpuAccess {
  private CpuAccess() {}

  /** A context for operations that are handed all their memory. */
  public static CpuContext context(int threads, Options options, Layout layout) {
    return new CpuContext(Cpu.of(threads), options, layout, null, null, Map.of(), null, null);
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

  /**
   * A model that lets somebody look at the training program's workspace after each forward, while
   * what the backward needs is there.
   */
  public static CpuModel watched(CpuContext shared, CpuModel model, Consumer<CpuContext> watching) {
    return new CpuModel(shared) {
      @Override
      protected long workspace(Program program) {
        return model.workspace(program);
      }

      @Override
      protected long state(Program program) {
        return model.state(program);
      }

      @Override
      protected CpuProgram train(CpuContext context) {
        return watched(model.train(context), () -> watching.accept(context));
      }

      @Override
      protected CpuProgram evaluate(CpuContext context) {
        return model.evaluate(context);
      }

      @Override
      protected CpuProgram generate(CpuContext context) {
        return model.generate(context);
      }
    };
  }

  private static CpuProgram watched(CpuProgram program, Runnable afterForward) {
    return new CpuProgram() {
      @Override
      public void forward(Run run) {
        program.forward(run);
        afterForward.run();
      }

      @Override
      public void backward(Run run) {
        program.backward(run);
      }

      @Override
      public void norm(Run run) {
        program.norm(run);
      }

      @Override
      public void update(Run run) {
        program.update(run);
      }

      @Override
      public void commit(Run run) {
        program.commit(run);
      }

      @Override
      public List<Balance> balances(Run run) {
        return program.balances(run);
      }
    };
  }
}
