package dev.topknot.runtime.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;

import dev.topknot.runtime.Device;
import java.io.IOException;
import java.util.List;
import org.junit.jupiter.api.Test;

class ProbeTest {
  private static final Driver.Properties OLD = device("old", 7, 5, 100);
  private static final Driver.Properties SMALL = device("small", 8, 6, 20);
  private static final Driver.Properties LARGE = device("large", 9, 0, 132);

  private static Driver.Properties device(String name, int major, int minor, int processors) {
    return new Driver.Properties(name, major, minor, processors, 1L << 34, 99 << 10);
  }

  /** A binding that answers as it is told. */
  private static final class Fake implements Probe.Binding {
    private Error error;
    private IOException exception;
    private int code;
    private int version = 12_060;
    private List<Driver.Properties> devices = List.of(SMALL);

    @Override
    public void load() throws IOException {
      if (error != null) {
        throw error;
      }
      if (exception != null) {
        throw exception;
      }
    }

    @Override
    public int initialise() {
      return code;
    }

    @Override
    public int driverVersion() {
      if (version < 0) {
        throw new CudaException("reading the driver's version: CUDA_ERROR_UNKNOWN");
      }
      return version;
    }

    @Override
    public int devices() {
      return devices.size();
    }

    @Override
    public Driver.Properties device(int index) {
      return devices.get(index);
    }
  }

  @Test
  void withoutTheDriver() {
    Fake fake = new Fake();
    fake.error =
        new UnsatisfiedLinkError(
            "Error while loading native library\n no JCudaDriver-12.6.0 in java.library.path\n"
                + " libcuda.so.1: cannot open shared object file");
    Probe probe = Probe.of(fake);
    assertThat(probe.state()).isEqualTo(Probe.State.NO_DRIVER);
    assertThat(probe.message()).contains("libcuda.so.1", "install NVIDIA's driver");
  }

  @Test
  void withTheStubOfAToolkit() {
    Fake fake = new Fake();
    fake.code = 34;
    assertThat(Probe.of(fake).state()).isEqualTo(Probe.State.NO_DRIVER);
  }

  @Test
  void withoutTheNatives() {
    Fake fake = new Fake();
    fake.error = new UnsatisfiedLinkError("no JCudaDriver-12.6.0-linux-x86_64\nand more");
    Probe probe = Probe.of(fake);
    assertThat(probe.state()).isEqualTo(Probe.State.NATIVES_MISSING);
    assertThat(probe.message()).contains("no JCudaDriver", "jcuda-natives").doesNotContain("more");
    fake.error = new NoClassDefFoundError("jcuda/driver/JCudaDriver");
    assertThat(Probe.of(fake).state()).isEqualTo(Probe.State.NATIVES_MISSING);
    fake.error = null;
    fake.exception = new IOException("No space left on device");
    assertThat(Probe.of(fake).message()).contains("No space left");
  }

  @Test
  void withoutADevice() {
    Fake fake = new Fake();
    fake.code = 100;
    assertThat(Probe.of(fake).state()).isEqualTo(Probe.State.NO_DEVICE);
    fake.code = 0;
    fake.devices = List.of();
    assertThat(Probe.of(fake).state()).isEqualTo(Probe.State.NO_DEVICE);
  }

  @Test
  void withADriverThatFails() {
    Fake fake = new Fake();
    fake.code = 803;
    assertThat(Probe.of(fake).state()).isEqualTo(Probe.State.FAILING);
    assertThat(Probe.of(fake).message()).contains("803", "nvidia-smi");
    fake.code = 0;
    fake.version = -1;
    assertThat(Probe.of(fake).state()).isEqualTo(Probe.State.FAILING);
  }

  @Test
  void withWhatIsTooOld() {
    Fake fake = new Fake();
    fake.version = 11_080;
    Probe driver = Probe.of(fake);
    assertThat(driver.state()).isEqualTo(Probe.State.TOO_OLD);
    assertThat(driver.message()).contains("CUDA 11.8", "8.0 or later");
    fake.version = 12_060;
    fake.devices = List.of(OLD);
    Probe device = Probe.of(fake);
    assertThat(device.state()).isEqualTo(Probe.State.TOO_OLD);
    assertThat(device.message()).contains("old of capability 7.5");
    assertThat(CudaDevice.largest(device)).isEqualTo(-1);
  }

  @Test
  void choosesAmongTheDevicesThatCanBeUsed() {
    Fake fake = new Fake();
    fake.devices = List.of(OLD, SMALL, LARGE);
    Probe probe = Probe.of(fake);
    assertThat(probe.state()).isEqualTo(Probe.State.FINE);
    assertThat(probe.message()).contains("CUDA 12.6", "device 2: large");
    assertThat(CudaDevice.largest(probe)).isEqualTo(2);
    assertThat(CudaDevice.require(1, probe)).isEqualTo(SMALL);
    assertThatIllegalArgumentException()
        .isThrownBy(() -> CudaDevice.require(3, probe))
        .withMessageContaining("in 0..2, got 3");
    assertThatIllegalStateException()
        .isThrownBy(() -> CudaDevice.require(0, probe))
        .withMessageContaining("old of compute capability 7.5");
  }

  /** Whatever this machine has: asking again gives the same, and the best device works. */
  @Test
  void onThisMachine() {
    Probe probe = Probe.result();
    assertThat(Probe.result()).isSameAs(probe);
    if (probe.state() == Probe.State.FINE) {
      assertThat(Device.best()).isInstanceOf(CudaDevice.class);
      assertThat(Device.cuda(CudaDevice.largest(probe))).isSameAs(Device.best());
    } else {
      assertThat(Device.best()).isSameAs(Device.cpu());
      assertThatIllegalStateException()
          .isThrownBy(() -> Device.cuda(0))
          .withMessageContaining(probe.state().remedy());
    }
  }
}
