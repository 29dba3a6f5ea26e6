package dev.topknot.samples.lm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Options;
import dev.topknot.runtime.Schedule;
import dev.topknot.runtime.cuda.Probe;
import dev.topknot.text.Corpus;
import dev.topknot.text.Progress;
import dev.topknot.text.Trainer;
import dev.topknot.text.TrainingListener;
import dev.topknot.text.TrainingLog;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The command line and the trainer with the models that the processor compiled. */
class LmTest {
  @TempDir Path folder;

  private Path text;

  @BeforeEach
  void writeText() throws IOException {
    StringBuilder sentences = new StringBuilder();
    for (int i = 0; i < 600; i++) {
      sentences.append("the cat number %d sat on mat %d .%n".formatted(i % 7, i % 11));
    }
    text = Files.writeString(folder.resolve("text.txt"), sentences);
  }

  @Test
  void aResumedRunGoesOnToTheSameBits() throws IOException {
    Path unbroken = folder.resolve("unbroken");
    train(unbroken, 13, false);
    Path broken = folder.resolve("broken");
    train(broken, 4, false);
    train(broken, 13, true);
    assertThat(tensors(broken)).isEqualTo(tensors(unbroken));
    assertThat(TrainingLog.read(broken).metrics().stream().map(row -> row.step()))
        .containsExactly(3L, 4L, 6L, 9L, 12L, 13L);
  }

  /** Epochs of 9 steps: the first stop is within the first, where state is carried over. */
  private void train(Path directory, long stopAt, boolean resume) throws IOException {
    Trainer[] trainer = new Trainer[1];
    try (LanguageModel model = ModelKind.MOE.on(Device.cpu(2), 5, Options.defaults())) {
      trainer[0] =
          Trainer.of(model, Corpus.at(text).read(model.vocabulary()))
              .schedule(Schedule.warmupInverseSqrt(0.01, 5).withClip(1))
              .epochs(2)
              .measureEvery(3)
              .checkpoints(directory)
              .resume(resume)
              .listener(
                  new TrainingListener() {
                    @Override
                    public void stepped(Progress progress) {
                      if (progress.position() == stopAt) {
                        trainer[0].stop();
                      }
                    }
                  })
              .build();
      try (Trainer running = trainer[0]) {
        assertThat(running.run().step()).isEqualTo(stopAt);
      }
    }
  }

  /** Parameters, moments and carried state: the file without its header, which has the time. */
  private static byte[] tensors(Path run) throws IOException {
    ByteBuffer file = ByteBuffer.wrap(Files.readAllBytes(run.resolve(Trainer.MODEL_FILE)));
    long header = file.order(ByteOrder.LITTLE_ENDIAN).getLong();
    byte[] data = new byte[file.position((int) (8 + header)).remaining()];
    file.get(data);
    return data;
  }

  @Test
  void trainsEvaluatesAndGenerates() throws IOException {
    Path run = folder.resolve("run");
    String trained =
        lm(
            "train",
            "--data",
            text,
            "--epochs",
            9,
            "--steps",
            30,
            "--rate",
            0.01,
            "--out",
            run,
            "--threads",
            2);
    assertThat(trained).contains("Held-out perplexity", "unigram model's is", "Report: " + run);
    assertThat(Files.readString(run.resolve("report.html")))
        .contains("data:image/png;base64,", "above twice the unigram model's perplexity")
        .doesNotContain("could not be drawn", "http://", "https://");

    String evaluated = lm("eval", "--run", run);
    assertThat(evaluated).contains("after 30 steps: perplexity");
    assertThat(number("perplexity ([0-9.]+) on", evaluated))
        .as("eval finds what training found")
        .isCloseTo(number("perplexity ([0-9.]+) on", trained), within(0.06));

    assertThat(lm("generate", "--run", run, "--prompt", "the cat", "--count", 8))
        .startsWith("the cat ");
    inspects(run);
    assertThat(lm("train", "--out", run, "--resume", "--steps", 31)).contains("Trained 31 steps");

    String settings = Files.readString(run.resolve("run.properties"));
    StringWriter errors = new StringWriter();
    assertThat(run(new StringWriter(), errors, "train", "--data", text, "--out", run)).isEqualTo(1);
    assertThat(errors.toString()).contains("holds a checkpoint already");
    assertThat(run.resolve("run.properties"))
        .as("a run that is refused changes nothing")
        .hasContent(settings);

    Files.writeString(run.resolve("run.properties"), "model=MOE\n");
    assertThat(run(new StringWriter(), errors, "eval", "--run", run)).isEqualTo(1);
    assertThat(errors.toString()).contains("run.properties is damaged: it has no seed");
  }

  private static void inspects(Path run) {
    assertThat(lm("inspect", "--run", run, "--experts", "0,5", "--top", 2))
        .contains("layer experts of 64 experts, 300 held-out tokens")
        .containsPattern("Expert 0: [0-9]+ tokens, [0-9.]+%")
        .containsPattern("Expert 5: ")
        .doesNotContain("Expert 1: ");
    String busiest = lm("inspect", "--run", run, "--top", 3, "--before", 2, "--after", 0);
    assertThat(busiest.lines().filter(line -> line.startsWith("Expert "))).hasSize(6);
    assertThat(busiest).containsPattern("(?m)^  [01]\\.[0-9]{3}  (\\S+ ){0,2}\\[\\S+\\]$");
    StringWriter errors = new StringWriter();
    assertThat(run(new StringWriter(), errors, "inspect", "--run", run, "--experts", 64))
        .isEqualTo(1);
    assertThat(run(new StringWriter(), errors, "inspect", "--run", run, "--layer", "below"))
        .isEqualTo(1);
    assertThat(errors.toString())
        .contains("--experts: expected 0 to 63, got 64", "--layer: expected one of [experts]");
  }

  /** Killed at its first checkpoint, a run can be resumed. */
  @Test
  void settingsAreThereBeforeTheFirstCheckpoint() throws IOException {
    Path run = folder.resolve("run");
    assertThat(lm("train", "--data", text, "--steps", 1, "--out", run)).contains("Trained 1 ");
    assertThat(run.resolve("run.properties"))
        .satisfies(
            settings ->
                assertThat(Files.getLastModifiedTime(settings))
                    .isLessThanOrEqualTo(
                        Files.getLastModifiedTime(run.resolve("model.safetensors"))));
  }

  @Test
  void comparesTwinsOfTheSameWork() throws IOException {
    for (String moe : List.of("moe", "moe-32", "moe-stacked")) {
      String dense = moe.equals("moe-stacked") ? "dense-stacked" : "dense";
      assertThat(operations(dense) / operations(moe)).as(moe).isBetween(0.98, 1.02);
      Path run = folder.resolve(moe);
      assertThat(lm("compare", "--model", moe, "--data", text, "--steps", 3, "--out", run))
          .contains(moe, dense, "its dense twin's");
      assertThat(Files.readString(run.resolve("report.html"))).contains(moe + " and " + dense);
    }
    StringWriter errors = new StringWriter();
    assertThat(run(new StringWriter(), errors, "compare", "--model", "dense")).isNotZero();
    assertThat(errors.toString()).contains("name a MoE model");
  }

  @Test
  void measuresAnNgramModel() {
    String measured = lm("ngram", "--data", text, "--order", 3);
    assertThat(measured).contains("Model: 3-gram");
    double trigram = number("Held-out perplexity ([0-9.]+)", measured);
    double bigram =
        number("Held-out perplexity ([0-9.]+)", lm("ngram", "--data", text, "--order", 2));
    assertThat(trigram).isLessThan(bigram);
    assertThat(bigram).isLessThan(number("unigram model's is ([0-9.]+)", measured));
  }

  private static double operations(String model) {
    return number("ops/timestep[^0-9]*([0-9,]+)", lm("info", "--model", model));
  }

  @Test
  void tellsInOneLineWhatAUserCanMend() {
    StringWriter errors = new StringWriter();
    assertThat(run(new StringWriter(), errors, "train", "--data", folder.resolve("nowhere")))
        .isEqualTo(1);
    assertThat(errors.toString().lines().toList())
        .isEqualTo(List.of("error: " + folder.resolve("nowhere") + ": no such file or directory"));
  }

  @Test
  void saysWhyThereIsNoGpuAndWhatToDo() {
    Probe probe = Probe.result();
    assertThat(lm("info")).contains("- cpu: ", "- CUDA", probe.message());
    assumeTrue(probe.state() != Probe.State.FINE, "this machine has a GPU");
    StringWriter errors = new StringWriter();
    for (String device : List.of("cuda", "cuda:1")) {
      errors.getBuffer().setLength(0);
      assertThat(run(new StringWriter(), errors, "train", "--device", device)).isEqualTo(1);
      assertThat(errors.toString().lines().toList())
          .isEqualTo(List.of("error: no CUDA device: " + probe.message()));
    }
  }

  @Test
  void refusesWhatIsNoDevice() {
    StringWriter errors = new StringWriter();
    assertThat(run(new StringWriter(), errors, "train", "--device", "cuda:first")).isEqualTo(2);
    assertThat(errors.toString()).contains("expected best, cpu, cuda or cuda:N, got cuda:first");
    errors.getBuffer().setLength(0);
    assertThat(run(new StringWriter(), errors, "train", "--device", "cuda", "--threads", "2"))
        .isEqualTo(1);
    assertThat(errors.toString()).contains("--threads is for the CPU");
  }

  private static double number(String pattern, String in) {
    Matcher matcher = Pattern.compile(pattern).matcher(in);
    assertThat(matcher.find()).as(pattern + " in " + in).isTrue();
    return Double.parseDouble(matcher.group(1).replace(",", ""));
  }

  private static String lm(Object... arguments) {
    StringWriter out = new StringWriter();
    StringWriter errors = new StringWriter();
    assertThat(run(out, errors, arguments)).as(errors.toString()).isZero();
    return out.toString();
  }

  private static int run(StringWriter out, StringWriter errors, Object... arguments) {
    String[] words = Arrays.stream(arguments).map(Object::toString).toArray(String[]::new);
    return Lm.commandLine()
        .setOut(new PrintWriter(out, true))
        .setErr(new PrintWriter(errors, true))
        .execute(words);
  }
}
