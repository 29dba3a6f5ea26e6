package dev.topknot.it.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What the kernels' sources must not say, wherever they are compiled. */
class KernelSourceTest {

  private static final Path KERNELS = Path.of("../runtime-cuda/src/main/resources/topknot");
  private static final Pattern COMMENT = Pattern.compile("//[^\n]*|/\\*.*?\\*/", Pattern.DOTALL);
  private static final Pattern INCLUDE = Pattern.compile("#\\s*include\\s*(\\S+)");
  private static final Pattern PTX = Pattern.compile("\\basm\\b");
  private static final Pattern SHARED = Pattern.compile("(\\w+\\s+)?\\b__shared__\\b");

  /** Approximations, atomics in floating point, and meetings without a mask. */
  private static final Pattern BANNED =
      Pattern.compile(
          "\\b(__expf|__logf|__log2f|__sinf|__cosf|__tanf|__powf|__fdividef|__frcp_r.|use_fast_math"
              + "|atomicAdd_block|atomicAdd_system|atomicExch|atomicCAS"
              + "|__shfl|__shfl_xor|__shfl_up|__shfl_down|__ballot|__any|__all)\\b");

  /** A function's definition, and what stands before its name. */
  private static final Pattern FUNCTION =
      Pattern.compile(
          "^ *(\\w[\\w:<>*& ]* )(?!if\\b|for\\b|while\\b|switch\\b)\\w+\\([^;{}]*\\)\\s*(const\\s*)?\\{",
          Pattern.MULTILINE);

  static Stream<Path> sources() throws IOException {
    try (Stream<Path> files = Files.list(KERNELS)) {
      return files.sorted().toList().stream();
    }
  }

  private static String code(Path source) throws IOException {
    return COMMENT.matcher(Files.readString(source)).replaceAll(" ");
  }

  private static List<String> found(Pattern pattern, String text, int group) {
    return pattern.matcher(text).results().map((MatchResult match) -> match.group(group)).toList();
  }

  @ParameterizedTest
  @MethodSource("sources")
  void nothingIsIncludedButOurOwn(Path source) throws IOException {
    assertThat(found(INCLUDE, code(source), 1))
        .allSatisfy(
            name -> {
              assertThat(name).matches("\"topknot/\\w+\\.cuh\"");
              assertThat(KERNELS.resolveSibling(name.replace("\"", ""))).exists();
            });
  }

  @ParameterizedTest
  @MethodSource("sources")
  void instructionsAreOnlyInOneFile(Path source) throws IOException {
    boolean device = source.endsWith("device.cuh");
    assertThat(PTX.matcher(code(source)).find()).isEqualTo(device);
  }

  @ParameterizedTest
  @MethodSource("sources")
  void sharedMemoryIsDynamic(Path source) throws IOException {
    assertThat(found(SHARED, code(source), 0))
        .isEqualTo(source.endsWith("device.cuh") ? List.of("extern __shared__") : List.of());
  }

  @ParameterizedTest
  @MethodSource("sources")
  void nothingApproximatesOrDependsOnOrder(Path source) throws IOException {
    assertThat(found(BANNED, code(source), 0)).isEmpty();
  }

  /** To NVRTC a function that does not say so is one of the host, which it does not compile. */
  @ParameterizedTest
  @MethodSource("sources")
  void everyFunctionIsOneOfTheDevice(Path source) throws IOException {
    assertThat(found(FUNCTION, code(source), 1))
        .isNotEmpty()
        .allSatisfy(before -> assertThat(before).containsPattern("TOPKNOT_DEVICE|__device__"));
  }
}
