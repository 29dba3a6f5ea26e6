package dev.topknot.runtime.cuda;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The kernels of one specification: its source, the headers the source includes, and what was built
 * of it ahead.
 */
public final class KernelSource {
  /** Extension of the file that says of which source the images beside it were built. */
  static final String BUILT = ".built";

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

  /** SHA-256 of source and headers, in hexadecimal. */
  String digest() {
    List<String> parts = new ArrayList<>(List.of(text));
    new TreeMap<>(headers).forEach((name, header) -> parts.addAll(List.of(name, header)));
    return digest(parts);
  }

  /** Whether what lies beside the source was built of another one. */
  boolean isStale() {
    return resource(BUILT)
        .filter(bytes -> !new String(bytes, StandardCharsets.UTF_8).strip().equals(digest()))
        .isPresent();
  }

  /** SHA-256 of parts, in hexadecimal. */
  static String digest(List<String> parts) {
    try {
      MessageDigest sha = MessageDigest.getInstance("SHA-256");
      for (String part : parts) {
        byte[] bytes = part.getBytes(StandardCharsets.UTF_8);
        // With its length, so that nothing can move from one part to the next.
        sha.update((bytes.length + ":").getBytes(StandardCharsets.UTF_8));
        sha.update(bytes);
      }
      return HexFormat.of().formatHex(sha.digest());
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }
}
