package dev.topknot.samples.lm;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParseException;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import dev.topknot.runtime.Balance;
import dev.topknot.text.Metrics;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.HashMap;
import java.util.Map;

/**
 * What came of one run of a sweep: {@value #FILE} in its directory. What does not exist is NaN.
 *
 * @param model what was trained
 * @param parameters as [S17] table 7 counts them, n-grams of the n-gram model
 * @param operations multiply-adds of one token's forward pass, counted likewise
 * @param tokens seen in training
 * @param seconds of training
 * @param perplexity on all held-out text after the last step
 * @param bestPerplexity the lowest one at the end of a pass
 * @param bestTokens tokens seen by then
 * @param trained balance over the last steps of training
 * @param heldOut balance over all held-out text
 */
record SweepResult(
    String model,
    long parameters,
    double operations,
    long tokens,
    double seconds,
    double perplexity,
    double bestPerplexity,
    long bestTokens,
    Evenness trained,
    Evenness heldOut) {

  static final String FILE = "result.json";

  private static final String SETTINGS = "settings";

  /**
   * How evenly the tokens are spread over the experts.
   *
   * @param importanceCv CV of the importance
   * @param loadCv CV of the load
   * @param maxOverMean the largest load over the mean
   */
  record Evenness(double importanceCv, double loadCv, double maxOverMean) {
    static final Evenness NONE = new Evenness(Double.NaN, Double.NaN, Double.NaN);

    static Evenness of(Balance balance) {
      return new Evenness(balance.importanceCv(), balance.loadCv(), balance.maxOverMeanLoad());
    }

    static Evenness of(Metrics row) {
      return new Evenness(row.importanceCv(), row.loadCv(), row.maxOverMeanLoad());
    }
  }

  /** Whether a pass before the last one was better: the model has begun to fit too well. */
  boolean overfitted() {
    return bestPerplexity < perplexity;
  }

  /**
   * Writes the file, in one piece.
   *
   * @param settings to know it by, not read again
   */
  void save(Path directory, Map<String, String> settings) throws IOException {
    Files.createDirectories(directory);
    Path temporary = directory.resolve(FILE + ".tmp");
    try (JsonGenerator json =
        new JsonFactory().createGenerator(Files.newBufferedWriter(temporary))) {
      json.useDefaultPrettyPrinter().writeStartObject();
      json.writeStringField("model", model);
      json.writeNumberField("parameters", parameters);
      write(json, "operations", operations);
      json.writeNumberField("tokens", tokens);
      write(json, "seconds", seconds);
      write(json, "perplexity", perplexity);
      write(json, "bestPerplexity", bestPerplexity);
      json.writeNumberField("bestTokens", bestTokens);
      write(json, "trained", trained);
      write(json, "heldOut", heldOut);
      json.writeObjectFieldStart(SETTINGS);
      for (Map.Entry<String, String> setting : settings.entrySet()) {
        json.writeStringField(setting.getKey(), setting.getValue());
      }
      json.writeEndObject();
      json.writeEndObject();
    }
    Files.move(temporary, directory.resolve(FILE), StandardCopyOption.REPLACE_EXISTING);
  }

  private static void write(JsonGenerator json, String name, Evenness evenness) throws IOException {
    write(json, name + "ImportanceCv", evenness.importanceCv);
    write(json, name + "LoadCv", evenness.loadCv);
    write(json, name + "MaxOverMean", evenness.maxOverMean);
  }

  private static void write(JsonGenerator json, String name, double value) throws IOException {
    if (!Double.isNaN(value)) {
      json.writeNumberField(name, value);
    }
  }

  static SweepResult load(Path directory) throws IOException {
    Path file = directory.resolve(FILE);
    Map<String, String> values = new HashMap<>();
    try (JsonParser json = new JsonFactory().createParser(file.toFile())) {
      for (JsonToken token = json.nextToken();
          token != null && !SETTINGS.equals(json.currentName());
          token = json.nextToken()) {
        if (token.isScalarValue()) {
          values.put(json.currentName(), json.getText());
        }
      }
      return new SweepResult(
          required(values, "model"),
          Long.parseLong(required(values, "parameters")),
          number(values, "operations"),
          Long.parseLong(required(values, "tokens")),
          number(values, "seconds"),
          Double.parseDouble(required(values, "perplexity")),
          Double.parseDouble(required(values, "bestPerplexity")),
          Long.parseLong(required(values, "bestTokens")),
          evenness(values, "trained"),
          evenness(values, "heldOut"));
    } catch (JsonParseException | IllegalArgumentException e) {
      throw new IOException(file + " is damaged: " + e.getMessage(), e);
    }
  }

  private static Evenness evenness(Map<String, String> values, String name) {
    return new Evenness(
        number(values, name + "ImportanceCv"),
        number(values, name + "LoadCv"),
        number(values, name + "MaxOverMean"));
  }

  private static String required(Map<String, String> values, String name) {
    String value = values.get(name);
    if (value == null) {
      throw new IllegalArgumentException("it has no " + name);
    }
    return value;
  }

  private static double number(Map<String, String> values, String name) {
    return values.containsKey(name) ? Double.parseDouble(values.get(name)) : Double.NaN;
  }
}
