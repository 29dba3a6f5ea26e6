package dev.topknot.it.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.cuda.CudaDevice;
import dev.topknot.runtime.cuda.CudaException;
import dev.topknot.runtime.cuda.KernelSource;
import java.io.ByteArrayInputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class EmulatedDriverTest {
  private static final String SOURCE =
      """
      #include "topknot/device.cuh"
      TOPKNOT_KERNEL(32) add(float* a, long long b) { a[threadIdx.x] += b; }
      TOPKNOT_KERNEL(32) set(float* a, long long b) { a[threadIdx.x] = b; }
      """;

  private final KernelSource source =
      new KernelSource(
          "Test",
          extension ->
              extension.equals(".cu")
                  ? new ByteArrayInputStream(SOURCE.getBytes(StandardCharsets.UTF_8))
                  : null);

  private EmulatedDriver driver;

  @BeforeEach
  void start() {
    EmulatorBuild.require();
    driver = new EmulatedDriver();
  }

  @Test
  void tensorsLieOnTheDevice() {
    float[] values = new float[12];
    try (Tensor tensor = CudaDevice.of(driver).tensor(3, 4)) {
      tensor.copyTo(values);
      assertThat(values).containsOnly(0);
      tensor.fill(2);
      tensor.set(5, 1, 2);
      tensor.copyTo(values);
      assertThat(values).containsExactly(2, 2, 2, 2, 2, 2, 5, 2, 2, 2, 2, 2);
      assertThat(tensor.get(1, 2)).isEqualTo(5);
    }
    assertThat(driver.open()).isZero();
  }

  @Test
  void whatWasRecordedIsDoneAtEachReplay() {
    long a = driver.allocate(128);
    driver.fill(a, 0, 32);
    long module = driver.load(source);
    long kernel = driver.kernel(module, "add");
    long graph = driver.capture(() -> driver.launch(kernel, 1, 1, 1, 32, 0, a, 3));
    assertThat(first(a)).isZero();
    driver.replay(graph);
    driver.replay(graph);
    assertThat(first(a)).isEqualTo(6);
    driver.release(graph);
    driver.unload(module);
    driver.free(a);
    assertThat(driver.open()).isZero();
  }

  @Test
  void whatIsWrittenIsReadWhenItIsWaitedFor() {
    long a = driver.allocate(4);
    ByteBuffer host = driver.allocateHost(4);
    host.putFloat(0, 1);
    driver.write(a, host);
    host.putFloat(0, 2);
    assertThat(first(a)).isEqualTo(2);
  }

  @Test
  void anOverrunNamesTheKernel() {
    long a = driver.allocate(128);
    long kernel = driver.kernel(driver.load(source), "set");
    driver.launch(kernel, 1, 1, 1, 33, 0, a, 3);
    assertThatExceptionOfType(CudaException.class)
        .isThrownBy(driver::synchronize)
        .withMessageContaining("set");
  }

  private float first(long address) {
    ByteBuffer value = ByteBuffer.allocateDirect(4).order(ByteOrder.nativeOrder());
    driver.read(value, address);
    return value.getFloat(0);
  }
}
