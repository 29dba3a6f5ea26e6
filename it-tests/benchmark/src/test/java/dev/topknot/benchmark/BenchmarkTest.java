package dev.topknot.benchmark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** The harness, on shapes so small that its figures mean nothing. */
class BenchmarkTest {
  @TempDir Path folder;

  @Test
  void comparesAndMeasuresBothSides() throws IOException {
    Path json = folder.resolve("figures").resolve("benchmark.json");
    int exit =
        new CommandLine(new Benchmark())
            .execute(
                "--workloads", "TINY,TINY-LM", "--rounds", "3", "--turn", "1", "--json", "" + json);
    assertThat(exit).isZero();
    JsonNode rows = new ObjectMapper().readTree(json.toFile()).get("rows");
    assertThat(rows).hasSize(3);
    for (JsonNode row : rows) {
      assertThat(row.get("tensors").asInt()).isGreaterThan(10);
      assertThat(row.get("difference").asDouble()).isBetween(0.0, Benchmark.TOLERANCE);
      assertThat(row.get("topknot")).hasSize(3);
      assertThat(row.get("djl")).hasSize(3);
    }
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
