package dev.topknot.samples.lm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.topknot.runtime.Device;
import dev.topknot.samples.lm.SweepResult.Evenness;
import dev.topknot.samples.lm.sweep.Scale;
import dev.topknot.samples.lm.sweep.SweepModel;
import dev.topknot.text.Corpus;
import dev.topknot.text.Progress;
import dev.topknot.text.TrainingListener;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class SweepTest {
  @TempDir Path folder;

  private Path text;
  private Path runs;

  /** Sentences without sense: all that can be learned of them is what does not come again. */
  @BeforeEach
  void writeText() throws IOException {
    SplittableRandom random = new SplittableRandom(1);
    text =
        Files.writeString(
            folder.resolve("text.txt"),
            Stream.generate(() -> sentence(random)).limit(300).collect(Collectors.joining()));
    runs = folder.resolve("runs");
  }

  private static String sentence(SplittableRandom random) {
    return random
        .ints(6, 0, 40)
        .mapToObj(word -> "w" + word + " ")
        .collect(Collectors.joining("", "", "\n"));
  }

  /** [S17] figure 2, left: only the gate may make a difference, 2 d for each expert. */
  @ParameterizedTest
  @EnumSource
  void modelsOfFigure2LeftDoEquallyManyOperations(Scale scale) throws IOException {
    Model dense = new SweptModel(SweepModel.LSTM_4, scale);
    long operations = dense.reported("ops/timestep");
    long d = Math.round(Math.sqrt(operations / 32.0));
    assertThat(operations).isEqualTo(32 * d * d).isEqualTo(dense.reported("of these counted"));
    for (Sweep.Row row : Sweep.FIGURE2_LEFT.rows()) {
      Model model = new SweptModel(row.model(), scale);
      assertThat(model.reported("ops/timestep"))
          .as(row.label())
          .isEqualTo(operations + 2 * d * choices(row.label()));
      assertThat(Model.named(model.toString())).isEqualTo(model);
    }
  }

  /** Experts and groups that a token is compared with: √n groups and the experts of two of them. */
  private static long choices(String label) {
    Matcher gated = Pattern.compile("MoE-(\\d+)(-h)?").matcher(label);
    if (!gated.matches()) {
      return 0;
    }
    long experts = Long.parseLong(gated.group(1));
    return gated.group(2) == null ? experts : 3 * Math.round(Math.sqrt((double) experts));
  }

  @Test
  void whatIsFinishedIsNotTrainedAgain() throws IOException {
    String first = sweep("figure2-left");
    assertThat(first)
        .contains(
            "Kneser-Ney 5-gram: held-out",
            "4xLSTM: held-out perplexity",
            "MoE-256: held-out perplexity",
            "Report: ");
    Map<Path, Object> results = results();
    assertThat(results).hasSize(1 + Sweep.FIGURE2_LEFT.rows().size());
    assertThat(Files.readString(runs.resolve("figure2-left.html")))
        .contains("<td>Kneser-Ney 5-gram</td>", "<td>MoE-32</td>", "data:image/png;base64,")
        .contains("another corpus", "<td>35.7</td>")
        .doesNotContain("could not be drawn", "http://", "https://");
    assertThat(runs.resolve("figure2-left.png")).isNotEmptyFile();

    assertThat(sweep("figure2-left")).isEqualTo(first);
    assertThat(results()).isEqualTo(results);

    assertThat(sweep("table6"))
        .contains("MoE-256, losses 0.0 and 0.0: held-out", "MoE-256, losses 0.1 and 0.1: held-out");
    assertThat(results()).as("MoE-256 as annotated is shared").containsAllEntriesOf(results);
    assertThat(results()).hasSize(results.size() + Sweep.TABLE6.rows().size() - 1);
    assertThat(Files.readString(runs.resolve("table6.html"))).contains("<td>17.80</td>");

    sweep("figure2-left", "--importance-loss", "0.01", "--load-loss", "0.01");
    assertThat(results())
        .as("dense models have no balance, and MoE-256 with these weights is of table 6")
        .hasSize(results.size() + 5 + 5);
    assertThat(Files.readString(runs.resolve("figure2-left.html")))
        .contains("importance loss 0.01, load loss 0.01");

    sweep("table6-32");
    assertThat(results()).as("two pairs are of figure 2").hasSize(results.size() + 5 + 5 + 4);

    sweep("table6-batch");
    assertThat(results()).as("other batches").hasSize(results.size() + 5 + 5 + 4 + 6);

    sweep("figure2-right", "--seed", "2");
    assertThat(results()).as("another seed").hasSize(results.size() + 5 + 5 + 4 + 6 + 6);
  }

  @Test
  void aRunThatWasBrokenOffGoesOn() throws IOException {
    Corpus corpus = Corpus.at(text).read(Scale.TINY.vocabulary());
    Settings settings =
        Settings.DEFAULTS
            .withModel(new SweptModel(SweepModel.MOE_32, Scale.TINY))
            .withLimits(9L, null);
    SweepRun unbroken = new SweepRun(corpus, folder.resolve("unbroken"), 100);
    SweepResult expected = unbroken.train(settings, Device.cpu(1), new Stop(0)).orElseThrow();

    SweepRun broken = new SweepRun(corpus, runs, 100);
    assertThat(broken.train(settings, Device.cpu(1), new Stop(5))).isEmpty();
    assertThat(Thread.interrupted()).isTrue();
    assertThat(broken.finished(settings)).isFalse();
    Stop counting = new Stop(0);
    SweepResult resumed = broken.train(settings, Device.cpu(1), counting).orElseThrow();
    assertThat(counting.steps).isEqualTo(4);
    assertThat(resumed.perplexity()).isEqualTo(expected.perplexity());
    assertThat(broken.finished(settings)).isTrue();
    assertThat(broken.result(settings)).isEqualTo(resumed);
  }

  /** Interrupts at a step. */
  private static final class Stop implements TrainingListener {
    private final long at;
    private int steps;

    Stop(long at) {
      this.at = at;
    }

    @Override
    public void stepped(Progress progress) {
      steps++;
      if (progress.position() == at) {
        Thread.currentThread().interrupt();
      }
    }
  }

  @Test
  void saysWhenAnEarlierPassWasBetter() throws IOException {
    Corpus corpus = Corpus.at(text).read(Scale.TINY.vocabulary());
    Settings settings =
        new Settings(
            new SweptModel(SweepModel.LSTM_4, Scale.TINY),
            Text.BUNDLED,
            1,
            0.05,
            10,
            1,
            null,
            null,
            0.0,
            25,
            null,
            null);
    SweepRun run = new SweepRun(corpus, runs, 1000);
    SweepResult result = run.train(settings, Device.cpu(1), new Stop(0)).orElseThrow();
    assertThat(result.overfitted()).isTrue();
    assertThat(result.bestPerplexity()).isLessThan(0.9 * result.perplexity());
    assertThat(result.bestTokens())
        .isLessThan(result.tokens())
        .satisfies(tokens -> assertThat(tokens % corpus.training().size()).isZero());
  }

  @Test
  void resultsAreReadAsTheyWereWritten() throws IOException {
    SweepResult result =
        new SweepResult(
            "a model",
            1234567890123L,
            5,
            6,
            0.1,
            44.25,
            43.5,
            3,
            new Evenness(0.125, 0.25, 1.5),
            Evenness.NONE);
    result.save(folder, new TreeMap<>(Map.of("model", "another", "perplexity", "1")));
    assertThat(SweepResult.load(folder)).isEqualTo(result);
    assertThat(result.overfitted()).isTrue();

    Path file = folder.resolve(SweepResult.FILE);
    Files.writeString(file, Files.readString(file).replace("\"tokens\" : 6", "\"tokens\" : true"));
    assertThatThrownBy(() -> SweepResult.load(folder))
        .isInstanceOf(IOException.class)
        .hasMessageContaining(SweepResult.FILE + " is damaged");
    Files.writeString(file, "{\"model\" : ");
    assertThatThrownBy(() -> SweepResult.load(folder)).hasMessageContaining("is damaged");
  }

  @Test
  void refusesWhatWouldSpoilTheComparison() {
    for (String[] arguments :
        new String[][] {
          {"sweep", "figure2-left", "--minutes", "1"},
          {"sweep", "table6", "--importance-loss", "0.5"}
        }) {
      StringWriter errors = new StringWriter();
      assertThat(run(new StringWriter(), errors, arguments)).isEqualTo(2);
      assertThat(errors.toString()).containsAnyOf("equally many tokens", "weights of the losses");
    }
  }

  /** Each result and when it was written. */
  private Map<Path, Object> results() throws IOException {
    Map<Path, Object> results = new TreeMap<>();
    try (Stream<Path> files = Files.walk(runs)) {
      for (Path file : files.filter(it -> it.endsWith(SweepResult.FILE)).toList()) {
        results.put(file, Files.getLastModifiedTime(file));
      }
    }
    return results;
  }

  private String sweep(String what, String... more) {
    StringWriter out = new StringWriter();
    StringWriter errors = new StringWriter();
    String[] arguments =
        Stream.concat(
                Stream.of("sweep", what, "--scale", "tiny", "--data", text.toString(), "--steps"),
                Stream.concat(
                    Stream.of("6", "--out", runs.toString(), "--threads", "1"),
                    Arrays.stream(more)))
            .toArray(String[]::new);
    assertThat(run(out, errors, arguments)).as(errors.toString()).isZero();
    return out.toString();
  }

  private static int run(StringWriter out, StringWriter errors, String... arguments) {
    return Lm.commandLine()
        .setOut(new PrintWriter(out, true))
        .setErr(new PrintWriter(errors, true))
        .execute(arguments);
  }
}
