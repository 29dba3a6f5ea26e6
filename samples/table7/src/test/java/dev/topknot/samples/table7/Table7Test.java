package dev.topknot.samples.table7;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The reports of the compiled specifications beside the figures of [S17] table 7. */
class Table7Test {
  private static final Path PAGE = Path.of("README.md");

  /** The optimizer and whether hidden layers are computed again, as in the reports. */
  private static final List<String> CHOICES =
      List.of("ADAM | no", "ADAM | yes", "ADAM_FACTORED | no", "ADAM_FACTORED | yes");

  /** What the processor says of a model. */
  private record Report(String name, List<String> lines) {
    static Report of(String model) throws IOException {
      Path file =
          Path.of(
              "target/classes/dev/topknot/samples/table7/Table7_%s.topknot.md".formatted(model));
      return new Report(model, Files.readAllLines(file));
    }

    /** A cell of the first line of a table that has these words. */
    private String cell(String words, int cell) {
      String line = lines.stream().filter(it -> it.contains(words)).findFirst().orElseThrow();
      return line.split("\\|", -1)[cell].strip();
    }

    private double number(String words, int cell) {
      return Double.parseDouble(cell(words, cell).replace(",", ""));
    }

    double millions(String words) {
      return number(words, 2) / 1e6;
    }

    double bytes(String choice) {
      return number("| " + choice + " |", 3);
    }

    private String device(String choice) {
      return cell("| " + choice + " |", 5);
    }

    String row() {
      return Stream.concat(
              Stream.of(
                  name,
                  String.format(Locale.ROOT, "%.2f", millions("ops/timestep")),
                  String.format(Locale.ROOT, "%.1f", millions("table 7")),
                  String.format(Locale.ROOT, "%,.0f", millions("| parameters"))),
              CHOICES.stream()
                  .map(
                      it -> String.format(Locale.ROOT, "%.1f GB: %s", bytes(it) / 1e9, device(it))))
          .collect(Collectors.joining(" | ", "| ", " |"));
    }
  }

  private static List<Report> reports() throws IOException {
    List<Report> reports = new ArrayList<>();
    for (Class<?> model : Table7.class.getDeclaredClasses()) {
      reports.add(Report.of(model.getSimpleName()));
    }
    reports.sort(
        Comparator.comparingDouble((Report it) -> it.millions("ops/timestep") > 9.5 ? 1 : 0)
            .thenComparing(it -> it.millions("table 7"))
            .thenComparing(Report::name));
    return reports;
  }

  @ParameterizedTest
  @CsvSource({
    "Lstm2048Projected512, 9.4, 9.4",
    "FourLstm512, 8.4, 8.4",
    "MoE1Wide, 8.4, 8.4",
    "MoE1Deep, 8.4, 8.4",
    "MoE4, 8.4, 8.4",
    "MoE32, 8.4, 37.8",
    "MoE256, 8.6, 272.9",
    "MoE256Hierarchical, 8.4, 272.9",
    "MoE1024Hierarchical, 8.5, 1079.0",
    "MoE4096Hierarchical, 8.9, 4303.4",
    "MoE34M, 33.8, 4313.9",
    "MoE143M, 142.7, 4371.0",
  })
  void opsAndParameters(String model, double opsPerTimestep, double parameters) throws IOException {
    Report report = Report.of(model);
    // some are cut there and some rounded
    assertThat(report.millions("ops/timestep")).isCloseTo(opsPerTimestep, within(0.055));
    assertThat(report.millions("table 7")).isCloseTo(parameters, within(0.05));
  }

  /** The page shows what the reports say; {@code -Dtopknot.golden=write} writes it anew. */
  @Test
  void thePageShowsTheReports() throws IOException {
    List<String> table = new ArrayList<>();
    table.add(
        "| model | M ops/timestep | M params | all, M | ADAM | ADAM, recompute | ADAM_FACTORED |"
            + " ADAM_FACTORED, recompute |");
    table.add("|---|---:|---:|---:|---|---|---|---|");
    for (Report report : reports()) {
      table.add(report.row());
    }
    String page = Files.readString(PAGE);
    int from = page.indexOf("| model |");
    int to = page.indexOf("\n\n", from);
    String current = page.substring(0, from) + String.join("\n", table) + page.substring(to);
    if (System.getProperty("topknot.golden", "").equals("write")) {
      Files.writeString(PAGE, current);
      return;
    }
    assertThat(page).isEqualTo(current);
  }

  /** [S17] appendix D: what the factored moments are for. */
  @Test
  void fourBillionParametersTrainInEightyGigabytes() throws IOException {
    Report report = Report.of("MoE4096Hierarchical");
    assertThat(report.millions("table 7")).isGreaterThan(4300);
    assertThat(report.bytes("ADAM_FACTORED | no")).isLessThan(79e9);
    assertThat(report.bytes("ADAM | no")).isGreaterThan(80e9);
  }
}
