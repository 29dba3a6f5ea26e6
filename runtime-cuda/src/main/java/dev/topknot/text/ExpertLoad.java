package dev.topknot.text;

import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/**
 * How many tokens selected each expert of one layer over some steps: one row of {@code load.csv}.
 *
 * @param step updates done
 * @param layer name of the gated layer
 * @param tokens tokens of each expert since the row before
 */
public record ExpertLoad(long step, String layer, List<Long> tokens) {
  static final String HEADER = "step,layer,tokens_of_expert_0...";

  /** Copies the list. */
  public ExpertLoad {
    tokens = List.copyOf(tokens);
  }

  static ExpertLoad of(long step, String layer, long[] tokens) {
    return new ExpertLoad(step, layer, Arrays.stream(tokens).boxed().toList());
  }

  String toCsv() {
    return step
        + ","
        + layer
        + ","
        + tokens.stream().map(String::valueOf).collect(Collectors.joining(","));
  }

  static ExpertLoad fromCsv(String line) {
    String[] cells = line.split(",", -1);
    if (cells.length < 3) {
      throw new NumberFormatException("expected at least 3 values, got " + cells.length);
    }
    return new ExpertLoad(
        Long.parseLong(cells[0]),
        cells[1],
        Arrays.stream(cells).skip(2).map(Long::valueOf).toList());
  }
}
