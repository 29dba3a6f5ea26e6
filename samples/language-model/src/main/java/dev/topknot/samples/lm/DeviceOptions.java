package dev.topknot.samples.lm;

import dev.topknot.runtime.Device;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;
import picocli.CommandLine.TypeConversionException;

/** Where to compute. */
final class DeviceOptions {
  @Option(
      names = "--device",
      paramLabel = "NAME",
      defaultValue = "best",
      converter = NameConverter.class,
      description =
          "best, cpu, cuda or cuda:N, the GPU with that number; lm info lists them. Default:"
              + " ${DEFAULT-VALUE}.")
  private String name;

  @Option(
      names = "--threads",
      paramLabel = "N",
      description = "Threads of the CPU device; the results are the same. Default: one a core.")
  private Integer threads;

  Device device() {
    if (threads != null) {
      if (name.startsWith("cuda")) {
        throw new IllegalArgumentException("--threads is for the CPU, got --device " + name);
      }
      return Device.cpu(threads);
    }
    return switch (name) {
      case "best" -> Device.best();
      case "cpu" -> Device.cpu();
      case "cuda" -> Device.cuda(0);
      default -> Device.cuda(Integer.parseInt(name.substring("cuda:".length())));
    };
  }

  /** Refuses what names no device. */
  static final class NameConverter implements ITypeConverter<String> {
    @Override
    public String convert(String value) {
      if (!value.matches("best|cpu|cuda(:\\d{1,4})?")) {
        throw new TypeConversionException("expected best, cpu, cuda or cuda:N, got " + value);
      }
      return value;
    }
  }
}
