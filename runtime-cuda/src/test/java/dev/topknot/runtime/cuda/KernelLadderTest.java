package dev.topknot.runtime.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class KernelLadderTest {
  private static final String TEXT =
      """
      #include "topknot/device.cuh"
      TOPKNOT_KERNEL(32) twice(float* a) { a[threadIdx.x] *= 2.0f; }
      """;
  private static final Driver.Properties HOPPER =
      new Driver.Properties("hopper", 9, 0, 132, 1L << 36, 227 << 10);

  @TempDir private Path root;

  private final Map<String, byte[]> resources = new HashMap<>();
  private final List<String> loaded = new ArrayList<>();
  private final List<String> refused = new ArrayList<>();
  private final Compiler nvrtc = new Compiler("NVRTC");
  private final Compiler nvcc = new Compiler("nvcc");

  private static final class Compiler implements KernelCompiler {
    private final String name;
    private String version = "1.0";
    private Set<String> unknown = Set.of();
    private int compiled;

    Compiler(String name) {
      this.name = name;
    }

    @Override
    public String name() {
      return name;
    }

    @Override
    public String version() {
      if (version == null) {
        throw new CudaException("there is no " + name);
      }
      return version;
    }

    @Override
    public byte[] compile(KernelSource source, String architecture) {
      if (unknown.contains(architecture)) {
        throw new CudaException(architecture + " is unknown");
      }
      compiled++;
      return bytes(name + " " + version + " " + architecture);
    }
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  @BeforeEach
  void source() {
    resources.put(".cu", bytes(TEXT));
  }

  private KernelSource kernels() {
    return new KernelSource(
        "Spec",
        extension -> {
          byte[] bytes = resources.get(extension);
          return bytes == null ? null : new ByteArrayInputStream(bytes);
        });
  }

  private String load(Driver.Properties device) {
    KernelCache cache = new KernelCache(root.resolve("cache"));
    new KernelLadder(cache, List.of(nvrtc, nvcc)).load(kernels(), device, this::take);
    return loaded.get(loaded.size() - 1);
  }

  private long take(byte[] image) {
    String text = new String(image, StandardCharsets.UTF_8);
    if (refused.contains(text)) {
      throw new CudaException("loading kernels: CUDA_ERROR_NO_BINARY_FOR_GPU");
    }
    loaded.add(text);
    return loaded.size();
  }

  @Test
  void whatWasBuiltAheadComesFirst() {
    resources.put(".sm_90a.cubin", bytes("own"));
    resources.put(".sm_90.cubin", bytes("plain"));
    resources.put(".compute_80.ptx", bytes("ptx"));
    assertThat(load(HOPPER)).isEqualTo("own");
    resources.remove(".sm_90a.cubin");
    assertThat(load(HOPPER)).isEqualTo("plain");
    refused.add("plain");
    assertThat(load(HOPPER)).as("with the zero at its end").isEqualTo("ptx\0");
    assertThat(nvrtc.compiled + nvcc.compiled).isZero();
  }

  @Test
  void aCubinOfAnotherArchitectureIsNotTried() {
    resources.put(".sm_80.cubin", bytes("ampere"));
    resources.put(".sm_120a.cubin", bytes("blackwell"));
    assertThat(load(HOPPER)).isEqualTo("NVRTC 1.0 sm_90a");
    assertThat(load(new Driver.Properties("a", 8, 6, 1, 1, 1))).isEqualTo("ampere");
  }

  @Test
  void whatWasCompiledOnceIsKept() {
    assertThat(load(HOPPER)).isEqualTo("NVRTC 1.0 sm_90a");
    assertThat(load(HOPPER)).isEqualTo("NVRTC 1.0 sm_90a");
    assertThat(nvrtc.compiled).isEqualTo(1);
    nvrtc.version = "1.1";
    assertThat(load(HOPPER)).isEqualTo("NVRTC 1.1 sm_90a");
    assertThat(load(new Driver.Properties("a", 8, 6, 1, 1, 1))).isEqualTo("NVRTC 1.1 sm_86");
    resources.put(".cu", bytes(TEXT + "// changed\n"));
    assertThat(load(HOPPER)).isEqualTo("NVRTC 1.1 sm_90a");
    assertThat(nvrtc.compiled).isEqualTo(4);
    assertThat(nvcc.compiled).isZero();
  }

  @Test
  void theNextCompilerIsAskedWhenOneCannot() {
    nvrtc.version = null;
    assertThat(load(HOPPER)).isEqualTo("nvcc 1.0 sm_90a");
  }

  @Test
  void compilersOlderThanTheDeviceMakePtx() {
    nvrtc.unknown = Set.of("sm_90a");
    assertThat(load(HOPPER)).as("nvcc knows the device").isEqualTo("nvcc 1.0 sm_90a");
    nvcc.version = "1.1";
    nvcc.unknown = Set.of("sm_90a");
    assertThat(load(HOPPER)).isEqualTo("NVRTC 1.0 compute_80\0");
    assertThat(load(HOPPER)).as("from the cache").isEqualTo("NVRTC 1.0 compute_80\0");
    assertThat(nvrtc.compiled).isEqualTo(1);
    refused.add("NVRTC 1.0 compute_80\0");
    assertThat(load(HOPPER)).isEqualTo("nvcc 1.1 compute_80\0");
    nvcc.unknown = Set.of("sm_90a", "compute_80");
    nvcc.version = "1.2";
    assertThatExceptionOfType(CudaException.class)
        .isThrownBy(() -> load(HOPPER))
        .withMessageContainingAll(
            "NVRTC for sm_90a: sm_90a is unknown",
            "nvcc for sm_90a: sm_90a is unknown",
            "NVRTC for compute_80: loading kernels",
            "nvcc for compute_80: compute_80 is unknown");
  }

  @Test
  void ptxThatABuildCachedIsThatOfTheLadder() {
    nvrtc.version = null;
    nvcc.unknown = Set.of("sm_90a");
    String key = KernelLadder.key(kernels(), "compute_80", "nvcc 1.0");
    new KernelCache(root.resolve("cache")).write(key, bytes("built"));
    assertThat(load(HOPPER)).isEqualTo("built\0");
    assertThat(nvcc.compiled).isZero();
  }

  @Test
  void theErrorNamesEveryStepAndWhatItLacked() {
    nvrtc.version = null;
    nvcc.version = null;
    resources.put(".compute_80.ptx", bytes("ptx"));
    refused.add("ptx\0");
    assertThatExceptionOfType(CudaException.class)
        .isThrownBy(() -> load(HOPPER))
        .withMessageContainingAll(
            "Spec",
            "hopper (sm_90a)",
            "in the jar: refused .compute_80.ptx",
            "in the cache " + root.resolve("cache"),
            "NVRTC: there is no NVRTC",
            "nvcc: there is no nvcc")
        .satisfies(e -> assertThat(e.getMessage().split("there is no nvcc", -1)).hasSize(2));
  }

  @Test
  void aSourceNamesTheHeadersItNeeds() {
    assertThat(kernels().headers()).containsOnlyKeys("topknot/device.cuh");
    resources.put(".cu", bytes("#include \"topknot/run.cuh\"\n"));
    assertThat(kernels().headers()).containsOnlyKeys("topknot/run.cuh", "topknot/device.cuh");
    resources.put(".cu", bytes("#include \"topknot/none.cuh\"\n"));
    assertThatExceptionOfType(CudaException.class)
        .isThrownBy(this::kernels)
        .withMessageContaining("topknot/none.cuh");
    resources.remove(".cu");
    assertThatExceptionOfType(CudaException.class)
        .isThrownBy(this::kernels)
        .withMessageContaining("kernels of Spec are missing");
  }

  @Test
  void withoutNvccOnThePath() {
    assertThatExceptionOfType(CudaException.class)
        .isThrownBy(() -> new Nvcc(root.toString()).version())
        .withMessageContaining("not on the PATH");
  }

  @Test
  void nvccBuildsACubinWhereItIsInstalled() {
    Nvcc compiler = new Nvcc();
    try {
      compiler.version();
    } catch (CudaException e) {
      assumeTrue(false, "nvcc: " + e.getMessage());
    }
    byte[] image = compiler.compile(kernels(), "sm_90a");
    assertThat(image).startsWith((byte) 0x7f, (byte) 'E', (byte) 'L', (byte) 'F');
    assertThat(new String(compiler.compile(kernels(), "compute_80"), StandardCharsets.UTF_8))
        .contains(".target sm_80")
        .doesNotContain("\0");
    resources.put(".cu", bytes("this is not C++\n"));
    assertThatExceptionOfType(CudaException.class)
        .isThrownBy(() -> compiler.compile(kernels(), "sm_90a"))
        .withMessageContaining("kernels.cu(1): error");
  }

  @Test
  void nvrtcBuildsWhatIsGeneratedWhereItIsInstalled() throws IOException {
    Nvrtc compiler = new Nvrtc();
    try {
      compiler.version();
    } catch (CudaException e) {
      assertThat(e).hasMessageContaining("libnvrtc.so");
      System.err.println("SKIPPED: no NVRTC compiled a generated source: " + e.getMessage());
      assumeTrue(false, "NVRTC: " + e.getMessage());
    }
    for (String golden : List.of("Experts.cu", "Model.cu", "ModelBf16.cu")) {
      resources.put(".cu", Files.readAllBytes(Path.of("../processor/src/test/golden", golden)));
      for (String architecture : List.of("sm_80", "sm_90a")) {
        assertThat(compiler.compile(kernels(), architecture))
            .startsWith((byte) 0x7f, (byte) 'E', (byte) 'L', (byte) 'F');
      }
      assertThat(new String(compiler.compile(kernels(), "compute_80"), StandardCharsets.UTF_8))
          .contains(".target sm_80")
          .doesNotContain("\0");
    }
    resources.put(".cu", bytes("this is not C++\n"));
    assertThatExceptionOfType(CudaException.class)
        .isThrownBy(() -> compiler.compile(kernels(), "sm_90a"))
        .withMessageContaining("error");
  }
}
