package dev.topknot.it.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.cuda.CudaDevice;
import dev.topknot.runtime.cuda.CudaException;
import dev.topknot.runtime.cuda.Driver;
import dev.topknot.runtime.cuda.KernelSource;
import dev.topknot.runtime.cuda.Probe;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.JCudaDriver;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The way through JCuda, its natives and a {@code libcuda.so.1} that stands in for NVIDIA's, in
 * processes of their own: addresses, copies, parameters, graphs and errors as they cross over.
 */
class DriverTest {
  private static final String KERNELS =
      """
      #include "topknot/device.cuh"
      TOPKNOT_KERNEL(32) add(float* a, long long b) { a[threadIdx.x] += b; }
      TOPKNOT_KERNEL(32) place(double* to, long long a, long long b, long long c) {
        float* shared = sharedMemory<float>();
        shared[16000 + threadIdx.x] = threadIdx.x;
        __syncthreads();
        if (threadIdx.x == 0) *to = a * 1e6 + b * 1e3 + c + shared[16031];
      }
      """;

  @TempDir private Path folder;

  @BeforeEach
  void build() throws Exception {
    EmulatorBuild.require();
    run(
        Map.of(),
        "g++",
        "-shared",
        "-fPIC",
        "-O1",
        "-Wall",
        "-Werror",
        "src/test/cuda/libcuda.cpp",
        "-o",
        folder.resolve("libcuda.so.1").toString(),
        "-ldl");
  }

  @Test
  void everythingCrossesOver() throws Exception {
    String kernels = EmulatorBuild.library(KERNELS).toAbsolutePath().toString();
    assertThat(java(Map.of(), kernels)).contains("all is fine");
  }

  @Test
  void aDriverWithoutADevice() throws Exception {
    assertThat(java(Map.of("TOPKNOT_NO_DEVICE", "1"), "probe")).contains("state=NO_DEVICE");
  }

  private String java(Map<String, String> more, String argument) throws Exception {
    return run(
        more,
        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
        "-cp",
        System.getProperty("java.class.path"),
        Child.class.getName(),
        argument);
  }

  private String run(Map<String, String> more, String... command) throws Exception {
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    builder.environment().put("LD_LIBRARY_PATH", folder.toString());
    builder.environment().putAll(more);
    Process process = builder.start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor()).as(said).isZero();
    return said;
  }

  /** What runs in the other process. */
  static final class Child {
    private Child() {}

    public static void main(String[] arguments) throws IOException {
      if (arguments[0].equals("probe")) {
        System.out.println(Probe.result());
        return;
      }
      assertThat(Probe.result().message())
          .isEqualTo("NVIDIA driver for CUDA 12.4, device 0: host of capability 8.6");
      Device device = Device.best();
      assertThat(device).isSameAs(Device.cuda(0)).hasToString("host");
      tensors(device);
      Driver driver = ((CudaDevice) device).driver();
      launches(driver, arguments[0]);
      System.out.println("all is fine");
    }

    private static void tensors(Device device) {
      int size = (1 << 20) + 3; // more than one piece
      try (Tensor tensor = device.tensor(size)) {
        float[] values = new float[size];
        for (int i = 0; i < size; i++) {
          values[i] = i;
        }
        tensor.copyFrom(values);
        float[] back = new float[size];
        tensor.copyTo(back);
        assertThat(java.util.Arrays.equals(back, values)).isTrue();
        tensor.fill(2.5f);
        tensor.set(7, size - 1);
        tensor.read(size - 2, back, 1, 2);
        assertThat(back[1]).isEqualTo(2.5f);
        assertThat(back[2]).isEqualTo(7);
      }
      assertThatExceptionOfType(OutOfMemoryError.class)
          .isThrownBy(() -> device.tensor(1L << 40))
          .withMessageContaining("4,398,046,511,104 bytes wanted on host");
    }

    private static void launches(Driver driver, String library) {
      String image = library + "\nadd 2\nplace 4\n\0";
      KernelSource source =
          new KernelSource(
              "Test",
              extension ->
                  switch (extension) {
                    case ".cu" -> stream("");
                    case ".sm_86.cubin" -> stream(image);
                    default -> null;
                  });
      long module = driver.load(source);
      long add = driver.kernel(module, "add");
      long place = driver.kernel(module, "place");
      assertThat(driver.freeBytes()).isEqualTo(driver.properties().memory());
      long a = driver.allocate(32 * Float.BYTES);
      ByteBuffer host = driver.allocateHost(64 * Float.BYTES);

      driver.fill(a, Float.floatToRawIntBits(1), 32);
      host.putFloat(0, 10).putFloat(4, 20);
      driver.write(a, host.clear().limit(8));
      driver.launch(add, 1, 1, 1, 32, 0, a, 5);
      driver.read(host.clear().position(128), a);
      List<Float> floats = List.of(host.getFloat(128), host.getFloat(132), host.getFloat(252));
      assertThat(floats).containsExactly(15f, 25f, 6f);

      long graph =
          driver.capture(
              () -> {
                driver.launch(add, 1, 1, 1, 32, 0, a, 1);
                driver.copy(a, a + 4, 4);
                driver.launch(place, 1, 1, 1, 32, 64_128, a + 64, 1, 2, 3);
              });
      driver.replay(graph);
      driver.replay(graph);
      driver.read(host.clear().limit(128), a);
      assertThat(host.getFloat(0)).isEqualTo(27);
      assertThat(host.getDouble(64)).isEqualTo(1_002_034);
      driver.release(graph);
      recordings(driver, add, a, host);

      assertThatExceptionOfType(CudaException.class)
          .isThrownBy(() -> driver.kernel(module, "none"))
          .withMessage("looking for it: CUDA_ERROR_NOT_FOUND");
      assertThatExceptionOfType(CudaException.class)
          .isThrownBy(() -> driver.launch(place, 1, 1, 1, 32, 200_000, a, 1, 2, 3))
          .withMessageContaining("CUDA_ERROR_INVALID_VALUE");
      assertThatExceptionOfType(CudaException.class)
          .isThrownBy(() -> driver.launch(add, 1, 1, 1, 32, 0, 8, 1))
          .withMessage(
              "launching: CUDA_ERROR_LAUNCH_FAILED;"
                  + " this process cannot use the device any more: start it again");
      driver.freeHost(host);
      driver.free(a);
      driver.unload(module);
    }

    /**
     * What others do on the default stream is not recorded, and a recording takes no harm of it.
     */
    private static void recordings(Driver driver, long add, long a, ByteBuffer host) {
      driver.fill(a, Float.floatToRawIntBits(1), 32);
      Runnable foreign = () -> fillOnTheDefaultStream(a + 4, Float.floatToRawIntBits(8));
      long graph =
          driver.capture(
              () -> {
                foreign.run();
                driver.launch(add, 1, 1, 1, 32, 0, a, 3);
              });
      driver.read(host.clear().limit(8), a);
      assertThat(List.of(host.getFloat(0), host.getFloat(4))).containsExactly(1f, 8f);
      driver.replay(graph);
      driver.read(host.clear().limit(8), a);
      assertThat(List.of(host.getFloat(0), host.getFloat(4))).containsExactly(4f, 11f);
      driver.replay(graph);
      foreign.run();
      driver.read(host.clear().limit(8), a);
      assertThat(List.of(host.getFloat(0), host.getFloat(4)))
          .as("in the order of the calls")
          .containsExactly(7f, 8f);
      driver.release(graph);

      assertThatExceptionOfType(CudaException.class)
          .as("nothing is done yet that could be waited for")
          .isThrownBy(() -> driver.capture(driver::synchronize))
          .withMessage("waiting for the device: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED");
      driver.fill(a, 0, 32);
      driver.read(host.clear().limit(8), a);
      assertThat(host.getFloat(4)).as("after a recording that failed").isZero();
    }

    private static void fillOnTheDefaultStream(long address, int word) {
      CUdeviceptr to = new CUdeviceptr().withByteOffset(address);
      assertThat(JCudaDriver.cuMemsetD32Async(to, word, 1, null)).isZero();
    }

    private static InputStream stream(String text) {
      return new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8));
    }
  }
}
