package dev.topknot.samples.lm;

import dev.topknot.runtime.Options;
import dev.topknot.runtime.Schedule;
import java.io.IOException;
import java.io.Reader;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;

/**
 * Everything that decides how a run goes. It is kept in the run's directory, so that resuming,
 * evaluating and generating find the same model and text again. Null means: as annotated, as
 * bundled, or without limit.
 */
record Settings(
    Model model,
    Text text,
    long seed,
    double rate,
    long warmup,
    double clip,
    Double importanceLoss,
    Double loadLoss,
    Double dropout,
    long epochs,
    Long steps,
    Double minutes) {

  static final Settings DEFAULTS =
      new Settings(ModelKind.MOE, Text.BUNDLED, 1, 0.004, 400, 1, null, null, null, 1, null, null);

  private static final String FILE = "run.properties";

  Schedule schedule() {
    return Schedule.warmupInverseSqrt(rate, warmup).withClip(clip);
  }

  Options options() {
    Options options = Options.defaults();
    options = importanceLoss == null ? options : options.withImportanceLoss(importanceLoss);
    options = loadLoss == null ? options : options.withLoadLoss(loadLoss);
    return dropout == null ? options : options.withDropout(dropout);
  }

  Settings withModel(Model kind) {
    return new Settings(
        kind,
        text,
        seed,
        rate,
        warmup,
        clip,
        importanceLoss,
        loadLoss,
        dropout,
        epochs,
        steps,
        minutes);
  }

  Settings withText(Text other) {
    return new Settings(
        model,
        other,
        seed,
        rate,
        warmup,
        clip,
        importanceLoss,
        loadLoss,
        dropout,
        epochs,
        steps,
        minutes);
  }

  Settings withLosses(Double importance, Double load) {
    return new Settings(
        model, text, seed, rate, warmup, clip, importance, load, dropout, epochs, steps, minutes);
  }

  Settings withLimits(Long maxSteps, Double maxMinutes) {
    return new Settings(
        model,
        text,
        seed,
        rate,
        warmup,
        clip,
        importanceLoss,
        loadLoss,
        dropout,
        epochs,
        maxSteps,
        maxMinutes);
  }

  /** By name; what is null has none. */
  Map<String, String> properties() {
    Map<String, String> properties = new TreeMap<>();
    put(properties, "model", model);
    put(properties, "data", text.data() == null ? null : text.data().toAbsolutePath());
    put(properties, "shards", text.shards());
    put(properties, "heldOutShards", text.heldOutShards());
    put(properties, "seed", seed);
    put(properties, "rate", rate);
    put(properties, "warmup", warmup);
    put(properties, "clip", clip);
    put(properties, "importanceLoss", importanceLoss);
    put(properties, "loadLoss", loadLoss);
    put(properties, "dropout", dropout);
    put(properties, "epochs", epochs);
    put(properties, "steps", steps);
    put(properties, "minutes", minutes);
    return properties;
  }

  void save(Path run) throws IOException {
    Properties properties = new Properties();
    properties.putAll(properties());
    StringWriter text = new StringWriter();
    properties.store(text, null);
    Files.createDirectories(run);
    Path temporary = Files.writeString(run.resolve(FILE + ".tmp"), text.toString());
    Files.move(temporary, run.resolve(FILE), StandardCopyOption.REPLACE_EXISTING);
  }

  private static void put(Map<String, String> properties, String name, Object value) {
    if (value != null) {
      properties.put(name, value.toString());
    }
  }

  static Settings load(Path run) throws IOException {
    if (!Files.exists(run.resolve(FILE))) {
      throw new IOException(run + " is not the directory of a run: it has no " + FILE);
    }
    Properties properties = new Properties();
    try (Reader in = Files.newBufferedReader(run.resolve(FILE))) {
      properties.load(in);
    }
    try {
      return of(properties);
    } catch (IllegalArgumentException e) {
      throw new IOException(run.resolve(FILE) + " is damaged: " + e.getMessage(), e);
    }
  }

  private static Settings of(Properties properties) {
    String data = properties.getProperty("data");
    return new Settings(
        Model.named(required(properties, "model")),
        new Text(
            data == null ? null : Path.of(data),
            integer(properties, "shards"),
            integer(properties, "heldOutShards")),
        Long.parseLong(required(properties, "seed")),
        Double.parseDouble(required(properties, "rate")),
        Long.parseLong(required(properties, "warmup")),
        Double.parseDouble(required(properties, "clip")),
        number(properties, "importanceLoss"),
        number(properties, "loadLoss"),
        number(properties, "dropout"),
        Long.parseLong(required(properties, "epochs")),
        number(properties, "steps") == null ? null : Long.valueOf(properties.getProperty("steps")),
        number(properties, "minutes"));
  }

  private static String required(Properties properties, String name) {
    String value = properties.getProperty(name);
    if (value == null) {
      throw new IllegalArgumentException("it has no " + name);
    }
    return value;
  }

  private static Double number(Properties properties, String name) {
    String value = properties.getProperty(name);
    return value == null ? null : Double.valueOf(value);
  }

  private static Integer integer(Properties properties, String name) {
    String value = properties.getProperty(name);
    return value == null ? null : Integer.valueOf(value);
  }
}
