package dev.topknot.samples.lm;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.FileSystemAlreadyExistsException;
import java.nio.file.FileSystems;
import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;

/** The text that comes with the sample: public-domain sentences, listed in its WORKS.tsv. */
final class BundledText {
  private static final String FOLDER = "gutenberg";

  private BundledText() {}

  /** Its directory, in the jar or, before there is one, among the class files. */
  static Path path() {
    try {
      URI uri =
          Objects.requireNonNull(BundledText.class.getResource(FOLDER + "/WORKS.tsv")).toURI();
      if (uri.getScheme().equals("jar")) {
        open(uri);
      }
      return Path.of(uri).getParent();
    } catch (URISyntaxException e) {
      throw new IllegalStateException("a resource's address is a URI", e);
    }
  }

  /** Makes the jar's content a file system, which stays open as long as the JVM runs. */
  private static void open(URI uri) {
    try {
      FileSystems.newFileSystem(uri, Map.of());
    } catch (FileSystemAlreadyExistsException e) {
      // Opened by an earlier call.
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
