package dev.topknot.runtime.cuda;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Whether this process can use an NVIDIA GPU, asked once: a binding that failed to load fails in
 * another way, and says less, each further time.
 *
 * @param state what holds
 * @param found what was found, in words
 * @param devices all devices, in the driver's order, too old ones too; empty where none can be used
 */
public record Probe(State state, String found, List<Driver.Properties> devices) {
  /** Smallest major number of a compute capability: what mma.sync with bf16 and cp.async need. */
  static final int CAPABILITY = 8;

  /** Smallest version of the driver's interface, as {@code 1000 major + 10 minor}. */
  static final int VERSION = 12_000;

  private static final int SUCCESS = 0;
  private static final int STUB_LIBRARY = 34;
  private static final int NO_DEVICE = 100;

  /** What can be. */
  public enum State {
    /** There is a device that can be used. */
    FINE("nothing is to be done"),
    /** The library of the driver is not there. */
    NO_DRIVER(
        "install NVIDIA's driver (package nvidia-driver or cuda-drivers; in a container, run it with"
            + " the NVIDIA container toolkit and --gpus all)"),
    /** The driver sees no device. */
    NO_DEVICE(
        "look at nvidia-smi: the machine has no NVIDIA GPU, CUDA_VISIBLE_DEVICES hides it, or the"
            + " container was not given it"),
    /** The binding's own library is not there or does not fit this machine. */
    NATIVES_MISSING(
        "put org.jcuda:jcuda-natives:12.6.0 with the classifier linux-x86_64 on the class path; CUDA"
            + " devices are supported on 64-bit Linux"),
    /** Driver or device lack what the kernels need. */
    TOO_OLD(
        "use a driver of CUDA 12.0 or later (525) and a GPU of compute capability 8.0 or later"
            + " (Ampere)"),
    /** The driver does not work. */
    FAILING(
        "look at nvidia-smi and the kernel's log; a driver that was updated works after a reboot");

    private final String remedy;

    State(String remedy) {
      this.remedy = remedy;
    }

    /** What a user can do. */
    public String remedy() {
      return remedy;
    }
  }

  /** Copies the list. */
  public Probe {
    devices = List.copyOf(devices);
  }

  /** What holds in this process. */
  public static Probe result() {
    return Once.RESULT;
  }

  /** Whether a device is of a capability that the kernels need. */
  static boolean usable(Driver.Properties device) {
    return device.major() >= CAPABILITY;
  }

  /** State, findings and remedy in a sentence. */
  public String message() {
    return state == State.FINE ? found : found + ": " + state.remedy();
  }

  /** What the binding of the driver offers a probe. */
  interface Binding {
    /**
     * Loads the binding.
     *
     * @throws LinkageError if it or the driver's library is not there
     * @throws IOException if its library cannot be unpacked
     */
    void load() throws IOException;

    /** Starts the driver and returns its code: 0 is fine. */
    int initialise();

    /** Version of the driver's interface, as {@code 1000 major + 10 minor}. */
    int driverVersion();

    /** How many devices there are. */
    int devices();

    /** What a device is. */
    Driver.Properties device(int index);
  }

  /** Asks a binding. */
  static Probe of(Binding binding) {
    try {
      binding.load();
    } catch (LinkageError e) {
      return unloaded(String.valueOf(e.getMessage()));
    } catch (IOException e) {
      return none(
          State.NATIVES_MISSING,
          "the natives of JCuda cannot be unpacked (" + e.getMessage() + ")");
    }
    try {
      return loaded(binding);
    } catch (CudaException e) {
      return none(State.FAILING, e.getMessage());
    }
  }

  /**
   * The driver's library first: when it is missing, the message speaks of the binding's as well.
   */
  private static Probe unloaded(String message) {
    if (message.contains("libcuda.so.1")) {
      return none(State.NO_DRIVER, "there is no libcuda.so.1, which is the NVIDIA driver");
    }
    String line = message.lines().findFirst().orElse("");
    return none(State.NATIVES_MISSING, "the natives of JCuda cannot be loaded (" + line + ")");
  }

  private static Probe loaded(Binding binding) {
    int code = binding.initialise();
    if (code == NO_DEVICE) {
      return none(State.NO_DEVICE, "the NVIDIA driver sees no device");
    }
    if (code == STUB_LIBRARY) {
      return none(
          State.NO_DRIVER, "libcuda.so.1 is the stub of a CUDA toolkit and not the NVIDIA driver");
    }
    if (code != SUCCESS) {
      return none(State.FAILING, "the NVIDIA driver refuses to start with code " + code);
    }
    int version = binding.driverVersion();
    String driver =
        String.format(
            Locale.ROOT, "NVIDIA driver for CUDA %d.%d", version / 1000, version % 1000 / 10);
    if (version < VERSION) {
      return none(State.TOO_OLD, driver);
    }
    List<Driver.Properties> devices = new ArrayList<>();
    StringBuilder found = new StringBuilder(driver);
    for (int i = 0; i < binding.devices(); i++) {
      Driver.Properties device = binding.device(i);
      devices.add(device);
      found.append(
          String.format(
              Locale.ROOT,
              ", device %d: %s of capability %d.%d",
              i,
              device.name(),
              device.major(),
              device.minor()));
    }
    if (devices.isEmpty()) {
      return none(State.NO_DEVICE, driver + " sees no device");
    }
    boolean usable = devices.stream().anyMatch(Probe::usable);
    return new Probe(usable ? State.FINE : State.TOO_OLD, found.toString(), devices);
  }

  private static Probe none(State state, String found) {
    return new Probe(state, found, List.of());
  }

  /** The answer for this process. */
  private static final class Once {
    static final Probe RESULT = of(new JCuda());
  }
}
