package quickstart;

import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.Schedule;
import dev.topknot.runtime.Step;

/** Trains a model of characters on a few lines of William Blake until it can recite them. */
public final class Main {
  static final String TEXT =
      """
      Tyger Tyger, burning bright,
      In the forests of the night;
      What immortal hand or eye,
      Could frame thy fearful symmetry?
      """;

  private Main() {}

  /** Runs it. */
  public static void main(String[] arguments) {
    try (TinyModel model = TopknotTinyModel.on(Device.best(), 1)) {
      train(model, 300);
      System.out.println(recite(model, "Tyger Tyger", 100));
    }
  }

  /** Trains, and prints how it goes. */
  static void train(TinyModel model, int steps) {
    Schedule schedule = Schedule.warmupInverseSqrt(0.01, 20).withClip(1);
    for (int n = 0; n < steps; n++) {
      Step step = model.train(batch(n), schedule.at(n));
      if (n % 50 == 0) {
        System.out.printf("step %3d, loss %.3f, %s%n", n, step.loss(), step.balance());
      }
    }
  }

  /** A prompt, and the most probable characters behind it. */
  static String recite(TinyModel model, String prompt, int length) {
    StringBuilder text = new StringBuilder(prompt);
    model.generate(prompt.chars().toArray(), length, 0).forEach(c -> text.append((char) c));
    return text.toString();
  }

  /** Batch n: eight readers of the text beside each other, each at another place in it. */
  private static Batch batch(int n) {
    int[] inputs = new int[TopknotTinyModel.TOKENS];
    int[] targets = new int[TopknotTinyModel.TOKENS];
    for (int i = 0; i < inputs.length; i++) {
      int time = n * TopknotTinyModel.TIMESTEPS + i / TopknotTinyModel.BATCH;
      int reader = i % TopknotTinyModel.BATCH;
      int at = time + reader * TEXT.length() / TopknotTinyModel.BATCH;
      inputs[i] = TEXT.charAt(at % TEXT.length());
      targets[i] = TEXT.charAt((at + 1) % TEXT.length());
    }
    return Batch.full(inputs, targets);
  }
}
