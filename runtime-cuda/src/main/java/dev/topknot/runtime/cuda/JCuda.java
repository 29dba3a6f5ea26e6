package dev.topknot.runtime.cuda;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdevice_attribute;
import jcuda.driver.CUresult;

/** What the binding of the driver can say before there is a context. */
final class JCuda implements Probe.Binding {
  private static final String TEMPORARY = "java.io.tmpdir";
  private static final String NATIVES =
      "libJCudaDriver-12.6.0-"
          + System.getProperty("os.name").toLowerCase(Locale.ROOT)
          + "-"
          + System.getProperty("os.arch").replace("amd64", "x86_64")
          + ".so";

  /**
   * {@inheritDoc}
   *
   * <p>JCuda loads its natives from a fixed name in {@code java.io.tmpdir}, where anybody could
   * have put something else, and leaves them there. So we put them into a directory of our own
   * first, name that one for the moment, and delete it afterwards: what is loaded stays loaded.
   * Doing it ourselves also works on the module path, where JCuda does not see the jar of its
   * natives.
   */
  @Override
  public void load() throws IOException {
    Path directory = Files.createTempDirectory("topknot-natives"); // 0700 by its contract
    Path library = directory.resolve(NATIVES);
    String temporary = System.getProperty(TEMPORARY);
    try {
      try (InputStream in = JCuda.class.getClassLoader().getResourceAsStream("lib/" + NATIVES)) {
        if (in == null) {
          throw new UnsatisfiedLinkError("no " + NATIVES + " on the class path");
        }
        Files.copy(in, library);
      }
      System.setProperty(TEMPORARY, directory.toString());
      jcuda.driver.JCudaDriver.setExceptionsEnabled(
          false); // loads; from here on we look at each code
    } finally {
      System.setProperty(TEMPORARY, temporary);
      Files.deleteIfExists(library);
      Files.deleteIfExists(directory);
    }
  }

  @Override
  public int initialise() {
    return jcuda.driver.JCudaDriver.cuInit(0);
  }

  @Override
  public int driverVersion() {
    int[] version = new int[1];
    check("reading the driver's version", jcuda.driver.JCudaDriver.cuDriverGetVersion(version));
    return version[0];
  }

  @Override
  public int devices() {
    int[] count = new int[1];
    check("counting devices", jcuda.driver.JCudaDriver.cuDeviceGetCount(count));
    return count[0];
  }

  @Override
  public Driver.Properties device(int index) {
    CUdevice device = new CUdevice();
    check("opening device " + index, jcuda.driver.JCudaDriver.cuDeviceGet(device, index));
    byte[] name = new byte[256];
    check(
        "naming device " + index,
        jcuda.driver.JCudaDriver.cuDeviceGetName(name, name.length, device));
    int length = 0;
    while (length < name.length && name[length] != 0) {
      length++;
    }
    long[] memory = new long[1];
    check("measuring device " + index, jcuda.driver.JCudaDriver.cuDeviceTotalMem(memory, device));
    return new Driver.Properties(
        new String(name, 0, length, StandardCharsets.UTF_8),
        attribute(device, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR),
        attribute(device, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR),
        attribute(device, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
        memory[0],
        attribute(
            device, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN));
  }

  private static int attribute(CUdevice device, int attribute) {
    int[] value = new int[1];
    check(
        "asking a device", jcuda.driver.JCudaDriver.cuDeviceGetAttribute(value, attribute, device));
    return value[0];
  }

  /**
   * Makes an exception of a code that is not 0.
   *
   * @throws CudaException saying what was done, the code's name and, where it is known, what to do
   */
  static void check(String doing, int code) {
    if (code != CUresult.CUDA_SUCCESS) {
      throw new CudaException(doing + ": " + CUresult.stringFor(code) + remedy(code));
    }
  }

  private static String remedy(int code) {
    return switch (code) {
      case CUresult.CUDA_ERROR_ILLEGAL_ADDRESS,
          CUresult.CUDA_ERROR_MISALIGNED_ADDRESS,
          CUresult.CUDA_ERROR_LAUNCH_FAILED,
          CUresult.CUDA_ERROR_LAUNCH_TIMEOUT,
          CUresult.CUDA_ERROR_HARDWARE_STACK_ERROR,
          CUresult.CUDA_ERROR_ASSERT ->
          "; this process cannot use the device any more: start it again";
      case CUresult.CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES ->
          "; the kernel needs more registers or shared memory than the device has";
      case CUresult.CUDA_ERROR_UNSUPPORTED_PTX_VERSION ->
          "; the driver is older than the compiler that wrote the PTX";
      case CUresult.CUDA_ERROR_NO_BINARY_FOR_GPU -> "; it was built for another architecture";
      default -> "";
    };
  }
}
