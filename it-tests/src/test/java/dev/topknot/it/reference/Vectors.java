package dev.topknot.it.reference;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;

/** A file of golden vectors: a configuration and named arrays. */
record Vectors(JsonNode root) {
  static Vectors load(String name) {
    String path = "/vectors/" + name + ".json";
    try (InputStream in = Vectors.class.getResourceAsStream(path)) {
      if (in == null) {
        throw new IllegalArgumentException("no resource " + path);
      }
      return new Vectors(new ObjectMapper().readTree(in));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  JsonNode config() {
    return root.get("config");
  }

  double total() {
    return root.get("total").asDouble();
  }

  boolean hasInput(String name) {
    return root.get("inputs").has(name);
  }

  /** An input, all dimensions but the last folded into rows. */
  Matrix input(String name) {
    return array("inputs", name);
  }

  Matrix output(String name) {
    return array("outputs", name);
  }

  Matrix gradient(String name) {
    return array("gradients", name);
  }

  List<String> gradients() {
    List<String> result = new ArrayList<>();
    Iterator<String> names = root.get("gradients").fieldNames();
    names.forEachRemaining(result::add);
    return result;
  }

  private Matrix array(String section, String name) {
    JsonNode array = root.get(section).get(name);
    JsonNode shape = array.get("shape");
    int columns = shape.get(shape.size() - 1).asInt();
    double[] data = new double[array.get("data").size()];
    for (int i = 0; i < data.length; i++) {
      data[i] = array.get("data").get(i).asDouble();
    }
    return Matrix.of(data.length / columns, columns, data);
  }
}
