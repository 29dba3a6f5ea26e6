package dev.topknot.samples.lm;

import dev.topknot.runtime.NonFiniteException;
import dev.topknot.runtime.cuda.CudaException;
import dev.topknot.text.CorpusException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileSystemException;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/** The command line. */
@Command(
    name = "lm",
    description =
        "Trains, compares, evaluates, samples and inspects language models compiled by Topknot.",
    mixinStandardHelpOptions = true,
    version = "Topknot 0.1",
    synopsisSubcommandLabel = "COMMAND",
    subcommands = {
      TrainCommand.class,
      CompareCommand.class,
      EvalCommand.class,
      GenerateCommand.class,
      NgramCommand.class,
      SweepCommand.class,
      InspectCommand.class,
      InfoCommand.class
    })
final class Lm {
  private Lm() {}

  public static void main(String[] arguments) {
    System.setProperty("java.awt.headless", "true");
    int code = commandLine().execute(arguments);
    // Not after Ctrl-C, when the JVM waits for this thread to end by itself.
    if (code != 0) {
      System.exit(code);
    }
  }

  static CommandLine commandLine() {
    CommandLine commandLine =
        new CommandLine(new Lm())
            .setCaseInsensitiveEnumValuesAllowed(true)
            .setExecutionExceptionHandler((e, command, parsed) -> explain(e, command));
    commandLine
        .getSubcommands()
        .values()
        .forEach(command -> command.getCommandSpec().mixinStandardHelpOptions(true));
    return commandLine;
  }

  /** What a user can mend is told in one line, the rest with its stack trace. */
  private static int explain(Exception e, CommandLine command) {
    Throwable told = e instanceof UncheckedIOException ? e.getCause() : e;
    if (told instanceof FileSystemException) {
      command.getErr().println("error: " + told);
    } else if (told instanceof IOException
        || told instanceof CorpusException
        || told instanceof NonFiniteException
        || told instanceof CudaException
        || told.getClass() == IllegalStateException.class
        || told.getClass() == IllegalArgumentException.class) {
      command.getErr().println("error: " + told.getMessage());
    } else {
      told.printStackTrace(command.getErr());
    }
    return command.getCommandSpec().exitCodeOnExecutionException();
  }
}
