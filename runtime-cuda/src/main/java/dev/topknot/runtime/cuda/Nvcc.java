package dev.topknot.runtime.cuda;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** The compiler driver of a CUDA toolkit, found on the PATH. */
final class Nvcc implements KernelCompiler {
  private final String path;

  /** Looks on the PATH of this process. */
  Nvcc() {
    this(System.getenv().getOrDefault("PATH", ""));
  }

  Nvcc(String path) {
    this.path = path;
  }

  @Override
  public String name() {
    return "nvcc";
  }

  @Override
  public String version() {
    return run(List.of(find().toString(), "--version"));
  }

  @Override
  public byte[] compile(KernelSource source, String architecture) {
    try {
      Path directory = Files.createTempDirectory("topknot-nvcc");
      try {
        Path text = Files.writeString(directory.resolve("kernels.cu"), source.text());
        for (Map.Entry<String, String> header : source.headers().entrySet()) {
          Path file = directory.resolve(header.getKey());
          Files.createDirectories(file.getParent());
          Files.writeString(file, header.getValue());
        }
        Path image = directory.resolve("image");
        String kind = KernelLadder.isPtx(architecture) ? "--ptx" : "--cubin";
        List<String> command = new ArrayList<>(List.of(find().toString(), kind));
        command.addAll(KernelLadder.OPTIONS);
        command.addAll(List.of("-arch=" + architecture, "-I" + directory, "-o"));
        command.addAll(List.of(image.toString(), text.toString()));
        run(command);
        return Files.readAllBytes(image);
      } finally {
        delete(directory);
      }
    } catch (IOException e) {
      throw new CudaException("files for it cannot be written: " + e, e);
    }
  }

  private Path find() {
    for (String directory : path.split(File.pathSeparator, -1)) {
      Path file = Path.of(directory, "nvcc");
      if (!directory.isEmpty() && Files.isExecutable(file)) {
        return file;
      }
    }
    throw new CudaException("it is not on the PATH");
  }

  private static String run(List<String> command) {
    try {
      Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
      process.getOutputStream().close();
      String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      int status = process.waitFor();
      if (status != 0) {
        throw new CudaException("it ended with status " + status + ": " + said.strip());
      }
      return said.strip();
    } catch (IOException e) {
      throw new CudaException("it cannot be run: " + e, e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new CudaException("it was interrupted", e);
    }
  }

  private static void delete(Path directory) throws IOException {
    try (Stream<Path> files = Files.walk(directory)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(file);
      }
    }
  }
}
