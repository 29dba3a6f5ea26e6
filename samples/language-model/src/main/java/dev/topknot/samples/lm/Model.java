package dev.topknot.samples.lm;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Options;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** A model that this sample compiles; {@link Object#toString} is what the command line calls it. */
interface Model {
  /** The annotated interface. */
  Class<? extends LanguageModel> spec();

  /** An instance, as the generated class makes it. */
  LanguageModel on(Device device, long seed, Options options);

  /** The report that the processor wrote beside the specification's class file. */
  default String report() throws IOException {
    Class<?> type = spec();
    String name =
        type.getName().substring(type.getPackageName().length() + 1).replace('$', '_')
            + ".topknot.md";
    try (InputStream in = type.getResourceAsStream(name)) {
      if (in == null) {
        throw new IOException("the processor wrote no " + name + "; was it switched off?");
      }
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
  }

  /** A number of the report's first table, from the row that begins so. */
  default long reported(String row) throws IOException {
    Matcher matcher =
        Pattern.compile("^\\| " + Pattern.quote(row) + "[^|]*\\| ([0-9,]+) \\|$", Pattern.MULTILINE)
            .matcher(report());
    if (!matcher.find()) {
      throw new IOException("the report of " + this + " has no row: " + row);
    }
    return Long.parseLong(matcher.group(1).replace(",", ""));
  }

  /**
   * The model called so.
   *
   * @throws IllegalArgumentException if there is none
   */
  static Model named(String name) {
    String asked = name.toLowerCase(Locale.ROOT).replace('_', '-');
    return Stream.concat(Arrays.stream(ModelKind.values()), SweptModel.all())
        .filter(model -> model.toString().equals(asked))
        .findFirst()
        .orElseThrow(() -> new IllegalArgumentException("no model is called " + name));
  }
}
