package dev.topknot.runtime.cuda;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Finds the machine code of a specification's kernels for a device: a cubin or PTX in the jar, a
 * cubin in the cache on disk, one compiled by NVRTC, one compiled by nvcc. Compilers that are older
 * than the device make PTX in its place. What a step finds but the device refuses counts as not
 * found.
 */
final class KernelLadder {
  private static final Logger LOG = LoggerFactory.getLogger(KernelLadder.class);

  /** What compilers are called with; part of the cache's key. */
  static final List<String> OPTIONS = List.of("--std=c++17");

  /** What every compiler knows and the driver compiles for every device. */
  private static final String PTX = "compute_" + Probe.CAPABILITY + "0";

  private final KernelCache cache;
  private final List<KernelCompiler> compilers;

  KernelLadder(KernelCache cache, List<KernelCompiler> compilers) {
    this.cache = cache;
    this.compilers = List.copyOf(compilers);
  }

  /** Gives machine code to a device. */
  interface Loader {
    /**
     * Loads a cubin, or PTX that ends with a zero.
     *
     * @return a handle
     * @throws CudaException if the device refuses
     */
    long load(byte[] image);
  }

  /**
   * Loads the kernels by the first step that can.
   *
   * @throws CudaException naming every step and what it lacked
   */
  long load(KernelSource source, Driver.Properties device, Loader loader) {
    List<String> lacked = new ArrayList<>();
    Long module = ahead(source, device, loader, lacked);
    if (module == null) {
      module = compiled(source, device, loader, lacked);
    }
    if (module == null) {
      throw new CudaException(
          "no kernels of "
              + source.spec()
              + " for "
              + device.name()
              + " ("
              + architecture(device)
              + "). Build them ahead with nvcc, or put nvcc on the PATH:\n- "
              + String.join("\n- ", lacked));
    }
    return module;
  }

  /** The architecture of a device with its own instructions, which no other device runs. */
  static String architecture(Driver.Properties device) {
    return "sm_" + device.major() + device.minor() + (device.major() >= 9 ? "a" : "");
  }

  /** Whether it names PTX, which the driver compiles for what is newer, and no machine code. */
  static boolean isPtx(String architecture) {
    return architecture.startsWith("compute_");
  }

  /** What an image that was built ahead ends in: {@code .sm_90a.cubin}, {@code .compute_80.ptx}. */
  static String extension(String architecture) {
    return "." + architecture + (isPtx(architecture) ? ".ptx" : ".cubin");
  }

  /** What a device may run of what was built ahead, the best first. */
  private static List<String> architectures(Driver.Properties device) {
    Set<String> names = new LinkedHashSet<>(List.of(architecture(device)));
    for (int minor = device.minor(); minor >= 0; minor--) {
      names.add("sm_" + device.major() + minor);
    }
    for (int major = device.major(); major >= Probe.CAPABILITY; major--) {
      for (int minor = major == device.major() ? device.minor() : 9; minor >= 0; minor--) {
        names.add("compute_" + major + minor);
      }
    }
    return List.copyOf(names);
  }

  private static Long ahead(
      KernelSource source, Driver.Properties device, Loader loader, List<String> lacked) {
    if (source.isStale()) {
      lacked.add("in the jar: kernels that were built of another source; build them again");
      return null;
    }
    List<String> refused = new ArrayList<>();
    for (String architecture : architectures(device)) {
      String name = extension(architecture);
      Optional<byte[]> image = source.resource(name);
      if (image.isPresent()) {
        try {
          return load(image.get(), architecture, loader);
        } catch (CudaException e) {
          refused.add(name + " (" + e.getMessage() + ")");
        }
      }
    }
    lacked.add(
        "in the jar: "
            + (refused.isEmpty()
                ? "neither a cubin for the device nor PTX"
                : "refused " + String.join(", ", refused)));
    return null;
  }

  private Long compiled(
      KernelSource source, Driver.Properties device, Loader loader, List<String> lacked) {
    lacked.add("in the cache " + cache.where() + ": nothing that a compiler of this machine made");
    Set<String> failures = new LinkedHashSet<>(); // a compiler that is not there says so once
    for (String architecture : List.of(architecture(device), PTX)) {
      for (KernelCompiler compiler : compilers) {
        String step = compiler.name();
        try {
          String version = compiler.version();
          step += " for " + architecture;
          return compiled(source, architecture, compiler, version, loader);
        } catch (CudaException e) {
          failures.add(step + ": " + e.getMessage());
        }
      }
    }
    lacked.addAll(failures);
    return null;
  }

  private long compiled(
      KernelSource source,
      String architecture,
      KernelCompiler compiler,
      String version,
      Loader loader) {
    String key = key(source, architecture, compiler.name() + " " + version);
    Optional<byte[]> cached = cache.read(key);
    if (cached.isPresent()) {
      return load(cached.get(), architecture, loader);
    }
    long start = System.nanoTime();
    byte[] image = compiler.compile(source, architecture);
    LOG.info(
        "{} compiled the kernels of {} for {} in {} ms",
        compiler.name(),
        source.spec(),
        architecture,
        (System.nanoTime() - start) / 1_000_000);
    long module = load(image, architecture, loader);
    cache.write(key, image);
    return module;
  }

  private static long load(byte[] image, String architecture, Loader loader) {
    return loader.load(isPtx(architecture) ? Arrays.copyOf(image, image.length + 1) : image);
  }

  /** SHA-256 over all that the machine code depends on. */
  static String key(KernelSource source, String architecture, String compiler) {
    List<String> parts = new ArrayList<>(List.of(source.digest(), architecture, compiler));
    parts.addAll(OPTIONS);
    return KernelSource.digest(parts);
  }
}
