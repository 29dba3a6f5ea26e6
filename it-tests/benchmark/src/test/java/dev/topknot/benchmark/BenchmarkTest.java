package dev.topknot.benchmark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The harness, on shapes so small that its figures mean nothing. */
class BenchmarkTest {
  @TempDir Path folder;

  @Test
  void comparesAndMeasuresAllSides() throws IOException {
    JsonNode report = measure("--workloads", "TINY,TINY-LM");
    assertThat(texts(report.get("versions")))
        .extracting(version -> version.replaceAll(" [0-9.]+$", ""))
        .containsExactly("DJL", "ONNX Runtime", "libtorch");
    JsonNode rows = report.get("rows");
    assertThat(rows).hasSize(3);
    assertThat(peers(rows.get(0))).containsExactly("DJL", "LIBTORCH", "ONNX_RUNTIME");
    assertThat(peers(rows.get(1))).containsExactly("DJL", "LIBTORCH");
    assertThat(peers(rows.get(2))).containsExactly("DJL");
    for (JsonNode row : rows) {
      boolean forward = row.get("task").asText().equals("FORWARD");
      assertThat(row.get("planned").asLong()).isBetween(10_000L, 1_000_000L);
      for (JsonNode comparison : row.get("comparisons")) {
        assertThat(comparison.get("tensors").asInt()).isGreaterThan(forward ? 0 : 10);
        assertThat(comparison.get("difference").asDouble()).isBetween(0.0, Benchmark.TOLERANCE);
        assertThat(comparison.get("topknot")).hasSize(3);
        assertThat(comparison.get("other")).hasSize(3);
        assertThat(comparison.get("topknotPeak").asLong()).isPositive();
        assertThat(comparison.get("otherPeak").asLong()).isPositive();
      }
    }
  }

  @Test
  void stepsStandBesideTheirFloors() throws IOException {
    JsonNode floors = measure("--workloads", "TINY", "--peers", "onnx_runtime").get("floors");
    assertThat(floors).hasSize(1);
    assertThat(floors.get(0).get("programs")).hasSize(2);
    for (JsonNode program : floors.get(0).get("programs")) {
      assertThat(program.get("steps"))
          .hasSizeGreaterThan(3)
          .allSatisfy(step -> assertThat(step.get("seconds").asDouble()).isPositive());
    }
    assertThat(ImageIO.read(picture().toFile()).getWidth()).isGreaterThan(1000);
  }

  @Test
  void peersAreChosen() throws IOException {
    JsonNode rows = measure("--workloads", "TINY,TINY-LM", "--peers", "onnx_runtime").get("rows");
    assertThat(rows).hasSize(1);
    assertThat(rows.get(0).get("task").asText()).isEqualTo("FORWARD");
    assertThat(peers(rows.get(0))).containsExactly("ONNX_RUNTIME");
  }

  private JsonNode measure(String... options) throws IOException {
    Path json = folder.resolve("figures").resolve("benchmark.json");
    List<String> line = new ArrayList<>(List.of(options));
    line.addAll(List.of("--rounds", "3", "--turn", "1", "--json", json.toString()));
    line.addAll(List.of("--roofline", picture().toString()));
    assertThat(Benchmark.commandLine().execute(line.toArray(String[]::new))).isZero();
    return new ObjectMapper().readTree(json.toFile());
  }

  private Path picture() {
    return folder.resolve("figures").resolve("roofline.png");
  }

  private static List<String> peers(JsonNode row) {
    return row.get("comparisons").findValuesAsText("peer");
  }

  private static List<String> texts(JsonNode array) {
    List<String> texts = new ArrayList<>();
    array.forEach(text -> texts.add(text.asText()));
    return texts;
  }

  @Test
  void theFastestWayIsTaken() {
    assertThat(Fastest.of(List.of(20, 0, 40), BenchmarkTest::sleep)).isZero();
  }

  private static void sleep(int millis) {
    try {
      Thread.sleep(millis);
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  @Test
  void theBestPeerCounts() {
    Row row =
        new Row(
            "A",
            "",
            Task.FORWARD,
            1,
            0,
            List.of(comparison(Side.DJL, 2, 8), comparison(Side.LIBTORCH, 3, 4)));
    assertThat(row.best().peer()).isEqualTo(Side.LIBTORCH);
    assertThat(row.best().ratio()).isEqualTo(0.75);
    assertThat(row.topknotSummary()).isEqualTo(new Summary(2.5, 2, 3));
    assertThat(row.with(Side.ONNX_RUNTIME)).isEmpty();
  }

  private static Comparison comparison(Side peer, double topknot, double other) {
    return new Comparison(peer, "", List.of(topknot), List.of(other), 1, 0, 0, 0, 0);
  }

  @Test
  void differencesAreFound() throws IOException {
    Path a = folder.resolve("a");
    Path b = folder.resolve("b");
    write(a, 3, 4, 0);
    write(b, 3, 4, 5);
    assertThat(Results.compare(a, b).difference()).isEqualTo(Math.sqrt(0.5));
    write(a, Float.NaN, 4, 5);
    assertThat(Results.compare(a, b).difference()).isInfinite();
    write(a, 3, 4);
    assertThatThrownBy(() -> Results.compare(a, b)).hasMessageContaining("got 2 and 3");
  }

  private static void write(Path file, float... values) throws IOException {
    try (Results.Writer out = new Results.Writer(file)) {
      out.write("y", values);
      out.write("later", 1);
    }
  }

  @Test
  void summaries() {
    assertThat(Summary.of(3, 1, 2)).isEqualTo(new Summary(2, 1, 3));
    assertThat(Summary.of(4, 1, 2, 3)).isEqualTo(new Summary(2.5, 1, 4));
  }
}
