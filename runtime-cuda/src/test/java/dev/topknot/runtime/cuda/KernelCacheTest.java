package dev.topknot.runtime.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class KernelCacheTest {
  private static final String KEY = "k".repeat(64);
  private static final byte[] IMAGE = new byte[5000];

  static {
    new Random(1).nextBytes(IMAGE);
  }

  @TempDir private Path root;

  private KernelCache cache() {
    return new KernelCache(root.resolve("topknot").resolve("kernels"));
  }

  @Test
  void keepsEntriesInADirectoryOfItsOwn() throws IOException {
    assertThat(cache().read(KEY)).isEmpty();
    cache().write(KEY, IMAGE);
    assertThat(cache().read(KEY)).hasValue(IMAGE);
    assertThat(cache().read("l".repeat(64))).isEmpty();
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(cache().where())))
        .isEqualTo("rwx------");
    assertThat(files()).hasSize(1);
  }

  @Test
  void anEntryThatWasCutOrChangedIsMadeAgain() throws IOException {
    cache().write(KEY, IMAGE);
    Path file = files().get(0);
    byte[] whole = Files.readAllBytes(file);
    byte[] changed = whole.clone();
    changed[whole.length / 2] ^= 1;
    for (byte[] damaged :
        List.of(changed, Arrays.copyOf(whole, whole.length / 2), new byte[7], new byte[0])) {
      Files.write(file, damaged);
      assertThat(cache().read(KEY)).isEmpty();
      assertThat(files()).isEmpty();
      cache().write(KEY, IMAGE);
      assertThat(cache().read(KEY)).hasValue(IMAGE);
    }
  }

  @Test
  void withoutAPlaceNothingIsKeptAndNothingFails() throws IOException {
    Path file = Files.createFile(root.resolve("file"));
    KernelCache nowhere = new KernelCache(file.resolve("topknot").resolve("kernels"));
    nowhere.write(KEY, IMAGE);
    assertThat(nowhere.read(KEY)).isEmpty();
  }

  @Test
  void aDirectoryThatOthersWriteToIsNotTrusted() throws IOException {
    cache().write(KEY, IMAGE);
    Files.setPosixFilePermissions(cache().where(), PosixFilePermissions.fromString("rwxrwxrwx"));
    assertThat(cache().read(KEY)).isEmpty();
    cache().write("l".repeat(64), IMAGE);
    assertThat(files()).hasSize(1);
  }

  @Test
  void aLinkIsNotAnEntry() throws IOException {
    cache().write(KEY, IMAGE);
    Path elsewhere = Files.move(files().get(0), root.resolve("elsewhere"));
    Files.createSymbolicLink(cache().where().resolve(KEY + ".cubin"), elsewhere);
    assertThat(cache().read(KEY)).isEmpty();
  }

  @Test
  void processesMayReadAndWriteTheSameEntry() throws Exception {
    List<Process> processes = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      processes.add(
          new ProcessBuilder(
                  Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                  "-Xshare:auto",
                  "-XX:TieredStopAtLevel=1",
                  "-cp",
                  System.getProperty("java.class.path"),
                  Writer.class.getName(),
                  cache().where().toString())
              .inheritIO()
              .start());
    }
    for (Process process : processes) {
      assertThat(process.waitFor()).isZero();
    }
    assertThat(cache().read(KEY)).hasValue(IMAGE);
    assertThat(files()).hasSize(1);
  }

  /** Another process: writes, damages and reads, and ends with 1 if it ever reads anything else. */
  static final class Writer {
    private Writer() {}

    public static void main(String[] arguments) throws IOException {
      KernelCache cache = new KernelCache(Path.of(arguments[0]));
      for (int i = 0; i < 200; i++) {
        cache.write(KEY, IMAGE);
        if (cache.read(KEY).filter(image -> !Arrays.equals(image, IMAGE)).isPresent()) {
          System.exit(1);
        }
      }
    }
  }

  private List<Path> files() throws IOException {
    try (Stream<Path> files = Files.list(cache().where())) {
      return files.toList();
    }
  }
}
