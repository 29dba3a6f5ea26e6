package dev.topknot.it.cuda;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;

/**
 * Compiles CUDA sources with g++ for the emulator. What was built from the same text, headers and
 * compiler before is taken from {@code target/emulator}, also by other processes.
 */
public final class EmulatorBuild {

  /** What watches the kernels while they run. */
  public enum Variant {
    /** The emulator's own checks. */
    PLAIN,
    /** AddressSanitizer as well: accesses outside of allocations. */
    ADDRESS,
    /** ThreadSanitizer as well: races between CUDA threads. */
    THREAD;

    private List<String> options() {
      return switch (this) {
        case PLAIN -> List.of("-O2");
        case ADDRESS -> List.of("-O1", "-g", "-fsanitize=address,bounds,shift");
        case THREAD -> List.of("-O1", "-g", "-fsanitize=thread");
      };
    }
  }

  private static final Path EMULATOR = Path.of("src/test/cuda");
  private static final Path BUILT = Path.of("target/emulator");

  private static final List<String> OPTIONS =
      List.of(
          "-std=c++20",
          "-ffp-contract=off",
          "-mtls-dialect=gnu2", // as fast as initial-exec, of which a process has little
          "-fPIC",
          "-fvisibility=hidden",
          "-fno-gnu-unique",
          "-Wall",
          "-Wextra",
          "-Wno-unknown-pragmas", // #pragma unroll
          "-Werror",
          "-Wno-unknown-pragmas", // unroll
          "-DTOPKNOT_HOST",
          "-I" + EMULATOR);

  /**
   * For kernels alone: what C++ leaves undefined is reported by the emulator (see {@code
   * undefined.cpp}), and variables without a value get one that shows.
   */
  private static final List<String> KERNEL_OPTIONS =
      List.of(
          "-fsanitize=alignment,null,integer-divide-by-zero,signed-integer-overflow",
          "-fno-sanitize-recover=all",
          "-static-libubsan",
          "-ftrivial-auto-var-init=pattern",
          "-include",
          "host.h");

  private static final Optional<String> COMPILER = compiler();

  /** The folder of {@code topknot/*.cuh}; {@link Mutations} compiles changed copies. */
  private static volatile Path kernels = Path.of("../runtime-cuda/src/main/resources");

  private EmulatorBuild() {}

  /** Takes the kernels from another folder from now on; returns the one before. */
  static Path useKernels(Path folder) {
    Path before = kernels;
    kernels = folder;
    return before;
  }

  /** Whether there is a g++ for x86-64 Linux. */
  public static boolean available() {
    return COMPILER.isPresent();
  }

  /** Aborts the calling test, and says so on standard error, where nothing can be compiled. */
  public static void require() {
    if (!available()) {
      String reason = "SKIPPED: no g++ for x86-64 Linux on the PATH: no CUDA source was run";
      System.err.println(reason);
      Assumptions.abort(reason);
    }
  }

  /**
   * A library with the kernels of a source, for {@link Emulator}.
   *
   * @param source CUDA C++ that includes {@code topknot/*.cuh}
   * @throws IllegalStateException with g++'s messages, if it does not compile
   */
  public static Path library(String source) {
    return build(
        source,
        "kernels.so",
        Variant.PLAIN,
        List.of("-x", "c++"),
        List.of("-shared", "-Wl,-Bsymbolic"));
  }

  /**
   * A program that replays a {@link Recording} with the kernels of a source: {@code replayer
   * recording output}.
   *
   * @throws IllegalStateException with g++'s messages, if it does not compile
   */
  public static Path replayer(String source, Variant variant) {
    return build(
        source,
        "replayer",
        variant,
        List.of(EMULATOR.resolve("replay.cpp").toString(), "-x", "c++"),
        List.of("-rdynamic"));
  }

  private static Path build(
      String source, String name, Variant variant, List<String> before, List<String> after) {
    require();
    List<Path> objects = objects(variant);
    List<String> command = command(variant);
    command.addAll(KERNEL_OPTIONS);
    command.add("-I" + kernels);
    command.addAll(before);
    command.addAll(List.of("kernels.cu", "-x", "none"));
    objects.forEach(object -> command.add(object.toString()));
    command.addAll(after);
    command.addAll(List.of("-o", name, "-ldl", "-lpthread"));
    Path folder = BUILT.resolve(hash(command, source, files(kernels.resolve("topknot"))));
    Path built = folder.resolve(name);
    if (Files.exists(built)) {
      return built;
    }
    return inPrivate(
        folder,
        fresh -> {
          Path text = Files.writeString(fresh.resolve("kernels.cu"), source);
          command.replaceAll(
              word ->
                  word.equals("kernels.cu")
                      ? text.toString()
                      : word.equals(name) ? fresh.resolve(name).toString() : word);
          run(command);
        },
        name);
  }

  /** The emulator itself, compiled once for each variant. */
  private static List<Path> objects(Variant variant) {
    List<Path> sources =
        files(EMULATOR.resolve("emulator")).stream()
            .filter(file -> file.toString().endsWith(".cpp"))
            .toList();
    Path folder = BUILT.resolve(hash(command(variant), "", List.of()));
    List<Path> objects = new ArrayList<>();
    for (Path source : sources) {
      objects.add(folder.resolve(objectName(source)));
    }
    if (!objects.stream().allMatch(Files::exists)) {
      inPrivate(
          folder,
          fresh ->
              sources.parallelStream()
                  .forEach(
                      source -> {
                        List<String> command = command(variant);
                        command.addAll(List.of("-c", source.toString()));
                        command.addAll(List.of("-o", fresh.resolve(objectName(source)).toString()));
                        run(command);
                      }),
          objectName(sources.get(0)));
    }
    return objects;
  }

  private static String objectName(Path source) {
    return source.getFileName().toString().replace(".cpp", ".o");
  }

  private static List<String> command(Variant variant) {
    List<String> command = new ArrayList<>(List.of("g++"));
    command.addAll(OPTIONS);
    command.addAll(variant.options());
    return command;
  }

  /** Work that fills a folder. */
  private interface Filling {
    void into(Path folder) throws IOException;
  }

  /** Fills a private folder and moves its files into place, each at once. */
  private static Path inPrivate(Path folder, Filling filling, String last) {
    try {
      Files.createDirectories(folder);
      Path fresh = Files.createTempDirectory(folder, "building");
      filling.into(fresh);
      for (Path file : files(fresh)) {
        Files.move(
            file,
            folder.resolve(file.getFileName()),
            StandardCopyOption.ATOMIC_MOVE,
            StandardCopyOption.REPLACE_EXISTING);
      }
      Files.delete(fresh);
      return folder.resolve(last);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Of a command, a source, and everything that the source can include. */
  private static String hash(List<String> command, String source, List<Path> headers) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      digest.update(COMPILER.orElseThrow().getBytes(StandardCharsets.UTF_8));
      digest.update(String.join(" ", command).getBytes(StandardCharsets.UTF_8));
      digest.update(source.getBytes(StandardCharsets.UTF_8));
      List<Path> all = new ArrayList<>(files(EMULATOR.resolve("emulator")));
      all.add(EMULATOR.resolve("host.h"));
      all.add(EMULATOR.resolve("replay.cpp"));
      all.addAll(headers);
      for (Path file : all) {
        digest.update(file.toString().getBytes(StandardCharsets.UTF_8));
        digest.update(Files.readAllBytes(file));
      }
      return HexFormat.of().formatHex(digest.digest(), 0, 12);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  private static List<Path> files(Path folder) {
    try (Stream<Path> files = Files.list(folder)) {
      return files.filter(Files::isRegularFile).sorted().toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** g++'s version and machine, if it can build what the emulator needs. */
  private static Optional<String> compiler() {
    try {
      String text = run(List.of("g++", "-v"));
      return text.contains("x86_64") && text.contains("linux")
          ? Optional.of(text)
          : Optional.empty();
    } catch (IllegalStateException | UncheckedIOException e) {
      return Optional.empty();
    }
  }

  /** Runs a command to its end and returns what it said. */
  private static String run(Collection<String> command) {
    try {
      Process process = new ProcessBuilder(List.copyOf(command)).redirectErrorStream(true).start();
      String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      if (process.waitFor() != 0) {
        throw new IllegalStateException(String.join(" ", command) + "\n" + said);
      }
      return said;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted while compiling", e);
    }
  }
}
