package dev.topknot.samples.lm;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.cuda.Probe;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

@Command(
    name = "info",
    description =
        "Prints what the processor says of a model, parameters, operations for each word, memory;"
            + " and what devices there are.")
final class InfoCommand implements Callable<Integer> {
  @Option(
      names = "--model",
      paramLabel = "NAME",
      defaultValue = "moe",
      description = "${COMPLETION-CANDIDATES}. Default: ${DEFAULT-VALUE}.")
  private ModelKind kind;

  @Spec private CommandSpec spec;

  @Override
  public Integer call() throws IOException {
    PrintWriter out = spec.commandLine().getOut();
    out.print(kind.report());
    Probe probe = Probe.result();
    out.println();
    out.println("## Devices");
    out.println();
    out.println("- cpu: " + Device.cpu());
    for (int i = 0; i < probe.devices().size(); i++) {
      out.println("- cuda:%d: %s".formatted(i, probe.devices().get(i).name()));
    }
    String usable = probe.state() == Probe.State.FINE ? "CUDA: " : "CUDA cannot be used: ";
    out.println("- " + usable + probe.message());
    out.flush();
    return 0;
  }
}
