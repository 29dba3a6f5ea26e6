package dev.topknot.runtime.cuda;

import com.sun.jna.Memory;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.IntByReference;
import com.sun.jna.ptr.LongByReference;
import com.sun.jna.ptr.PointerByReference;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

/** NVIDIA's compiler as a library, of any version that is installed. */
final class Nvrtc implements KernelCompiler {
  private static final List<String> NAMES =
      List.of("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so");

  private final List<Path> directories;
  private NativeLibrary library;

  /** Looks where toolkits are. */
  Nvrtc() {
    this(toolkits());
  }

  /**
   * Looks in some directories, then where the system looks.
   *
   * @param directories that may hold the library
   */
  Nvrtc(List<Path> directories) {
    this.directories = List.copyOf(directories);
  }

  private static List<Path> toolkits() {
    Set<Path> found = new LinkedHashSet<>();
    for (String variable : List.of("CUDA_HOME", "CUDA_PATH")) {
      String home = System.getenv(variable);
      if (home != null && !home.isEmpty()) {
        found.add(Path.of(home, "lib64"));
      }
    }
    for (String bin : System.getenv().getOrDefault("PATH", "").split(File.pathSeparator, -1)) {
      if (!bin.isEmpty() && Files.isExecutable(Path.of(bin, "nvcc"))) {
        found.add(Path.of(bin).resolveSibling("lib64"));
      }
    }
    found.add(Path.of("/usr/local/cuda/lib64"));
    return new ArrayList<>(found);
  }

  @Override
  public String name() {
    return "NVRTC";
  }

  @Override
  public synchronized String version() {
    IntByReference major = new IntByReference();
    IntByReference minor = new IntByReference();
    call("nvrtcVersion", major, minor);
    return major.getValue() + "." + minor.getValue();
  }

  @Override
  public synchronized byte[] compile(KernelSource source, String architecture) {
    List<String> names = new ArrayList<>(source.headers().keySet());
    List<Memory> texts = names.stream().map(name -> text(source.headers().get(name))).toList();
    List<Memory> headerNames = names.stream().map(Nvrtc::text).toList();
    PointerByReference program = new PointerByReference();
    call(
        "nvrtcCreateProgram",
        program,
        text(source.text()),
        text(source.spec() + ".cu"),
        names.size(),
        texts.toArray(Pointer[]::new),
        headerNames.toArray(Pointer[]::new));
    try {
      List<String> options = new ArrayList<>(KernelLadder.OPTIONS);
      options.add("--gpu-architecture=" + architecture);
      Pointer[] arguments = options.stream().map(Nvrtc::text).toArray(Pointer[]::new);
      int code = invoke("nvrtcCompileProgram", program.getValue(), arguments.length, arguments);
      if (code != 0) {
        throw new CudaException(
            "it ended with code "
                + code
                + ": "
                + new String(text(program.getValue(), "nvrtcGetProgramLog"), StandardCharsets.UTF_8)
                    .strip());
      }
      return KernelLadder.isPtx(architecture)
          ? text(program.getValue(), "nvrtcGetPTX")
          : result(program.getValue(), "nvrtcGetCUBIN");
    } finally {
      invoke("nvrtcDestroyProgram", program);
    }
  }

  /** What a pair of functions returns, of which one says the size. */
  private byte[] result(Pointer program, String function) {
    LongByReference size = new LongByReference();
    call(function + "Size", program, size);
    Memory memory = new Memory(Math.max(1, size.getValue()));
    call(function, program, memory);
    return memory.getByteArray(0, Math.toIntExact(size.getValue()));
  }

  /** Such a result without the zero at its end. */
  private byte[] text(Pointer program, String function) {
    byte[] text = result(program, function);
    return Arrays.copyOf(text, Math.max(0, text.length - 1));
  }

  private static Memory text(String text) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    Memory memory = new Memory(bytes.length + 1L);
    memory.write(0, bytes, 0, bytes.length);
    memory.setByte(bytes.length, (byte) 0);
    return memory;
  }

  private void call(String function, Object... arguments) {
    int code = invoke(function, arguments);
    if (code != 0) {
      throw new CudaException(function + " ended with code " + code);
    }
  }

  private int invoke(String function, Object... arguments) {
    return library().getFunction(function).invokeInt(arguments);
  }

  private NativeLibrary library() {
    if (library != null) {
      return library;
    }
    for (Path directory : directories) {
      builtins(directory);
      for (String name : NAMES) {
        Path file = directory.resolve(name);
        if (Files.exists(file) && open(file.toString())) {
          return library;
        }
      }
    }
    for (String name : NAMES) {
      if (open(name)) {
        return library;
      }
    }
    throw new CudaException(
        "there is no "
            + String.join(", ", NAMES)
            + " in "
            + directories
            + " or where the system looks");
  }

  /** The library looks for its other half where the system looks; it is found when it is loaded. */
  private static void builtins(Path directory) {
    if (!Files.isDirectory(directory)) {
      return;
    }
    try (Stream<Path> files = Files.list(directory)) {
      for (Path file : files.toList()) {
        if (file.getFileName().toString().startsWith("libnvrtc-builtins.so")) {
          NativeLibrary.getInstance(file.toString());
        }
      }
    } catch (IOException | UnsatisfiedLinkError e) {
      throw new CudaException("its other half in " + directory + " cannot be loaded: " + e, e);
    }
  }

  private boolean open(String name) {
    try {
      library = NativeLibrary.getInstance(name);
      return true;
    } catch (UnsatisfiedLinkError e) {
      return false;
    }
  }
}
