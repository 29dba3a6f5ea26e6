package dev.topknot.runtime.cuda;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The kernels of one specification: its source, the headers the source includes, and what was built
 * of it ahead.
 */
public final class KernelSource {
  private static final Pattern INCLUDE =
      Pattern.compile("^\\s*#\\s*include\\s+\"(topknot/[\\w.]+)\"", Pattern.MULTILINE);

  private final String spec;
  private final Function<String, InputStream> resources;
  private final String text;
  private final Map<String, String> headers;

  /**
   * Reads source and headers.
   *
   * @param spec name of the specification
   * @param resources opens what lies beside the generated class by its extension, such as {@code
   *     .cu} or {@code .sm_90a.cubin}; null where there is no such thing
   */
  public KernelSource(String spec, Function<String, InputStream> resources) {
    this.spec = spec;
    this.resources = resources;
    this.text =
        resource(".cu")
            .map(bytes -> new String(bytes, StandardCharsets.UTF_8))
            .orElseThrow(
                () ->
                    new CudaException(
                        "the kernels of "
                            + spec
                            + " are missing: the .cu that was generated beside its classes is not"
                            + " on the class path; are resources of the build's class folder left"
                            + " out of the jar?"));
    Map<String, String> found = new LinkedHashMap<>();
    include(text, found);
    this.headers = Map.copyOf(found);
  }

  private static void include(String text, Map<String, String> found) {
    Matcher matcher = INCLUDE.matcher(text);
    while (matcher.find()) {
      String name = matcher.group(1);
      if (!found.containsKey(name)) {
        String header = header(name);
        found.put(name, header);
        include(header, found);
      }
    }
  }

  private static String header(String name) {
    try (InputStream in = KernelSource.class.getResourceAsStream("/" + name)) {
      if (in == null) {
        throw new CudaException("the runtime has no header " + name);
      }
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Name of the specification. */
  public String spec() {
    return spec;
  }

  /** The source text. */
  public String text() {
    return text;
  }

  /** All headers that the source needs, by the name under which they are included. */
  public Map<String, String> headers() {
    return headers;
  }

  /** What was built ahead and lies beside the source, such as {@code .sm_90a.cubin}. */
  public Optional<byte[]> resource(String extension) {
    try (InputStream in = resources.apply(extension)) {
      return in == null ? Optional.empty() : Optional.of(in.readAllBytes());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
