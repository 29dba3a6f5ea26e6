package dev.topknot.samples.lm;

import dev.topknot.runtime.Device;
import picocli.CommandLine.Option;

/** Where to compute. */
final class DeviceOptions {
  /** The devices of this version. */
  enum Kind {
    best,
    cpu
  }

  @Option(
      names = "--device",
      paramLabel = "NAME",
      defaultValue = "best",
      description = "${COMPLETION-CANDIDATES}. Default: ${DEFAULT-VALUE}.")
  private Kind kind;

  @Option(
      names = "--threads",
      paramLabel = "N",
      description = "Threads of the CPU device; the results are the same. Default: one a core.")
  private Integer threads;

  Device device() {
    if (threads != null) {
      return Device.cpu(threads);
    }
    return kind == Kind.cpu ? Device.cpu() : Device.best();
  }
}
