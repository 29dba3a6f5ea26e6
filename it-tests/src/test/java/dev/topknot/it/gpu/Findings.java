package dev.topknot.it.gpu;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * What a phase finds, in {@code PHASE.json}: written anew after each finding, so that whatever ends
 * the process leaves what was found before.
 */
final class Findings {
  static final ObjectMapper JSON = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

  private final Path folder;
  private final String phase;
  private final ObjectNode content = JSON.createObjectNode();
  private int failures;

  /** Starts a phase that has found nothing yet. */
  Findings(Path folder, String phase) {
    this.folder = folder;
    this.phase = phase;
    content.putArray("checks");
    content.putArray("rows");
    save();
  }

  /** Where the phase may leave more than its findings. */
  Path folder() {
    return folder;
  }

  /** Keeps whether something is as it must be. */
  void check(String name, boolean fine, String detail) {
    failures += fine ? 0 : 1;
    content.withArray("checks").addObject().put("name", name).put("fine", fine).put("said", detail);
    System.out.printf("%s: %s: %s (%s)%n", phase, name, fine ? "fine" : "FAILED", detail);
    save();
  }

  /** Keeps a fact about machine or phase. */
  void fact(String name, String value) {
    content.withObject("/facts").put(name, value);
    System.out.printf("%s: %s: %s%n", phase, name, value);
    save();
  }

  /** Keeps a row of figures. */
  void row(ObjectNode row) {
    content.withArray("rows").add(row);
    System.out.printf("%s: %s%n", phase, row);
    save();
  }

  /** How many checks failed. */
  int failures() {
    return failures;
  }

  private void save() {
    try {
      Files.createDirectories(folder);
      JSON.writeValue(folder.resolve(phase + ".json").toFile(), content);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
