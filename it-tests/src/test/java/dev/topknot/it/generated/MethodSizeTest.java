package dev.topknot.it.generated;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.spi.ToolProvider;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** HotSpot does not compile methods of 8000 bytes and more; a deep model must have none. */
class MethodSizeTest {
  private static final int LIMIT = 8000;
  private static final int BLOCKS = 40;
  private static final Pattern INSTRUCTION = Pattern.compile("^ +(\\d+): [a-z]");

  @TempDir Path directory;

  @Test
  void methodsOfADeepModelStayUnderTheLimit() throws IOException {
    Path classes = compile("Deep", deepModel());
    List<String> arguments = new ArrayList<>(List.of("-c", "-p"));
    try (Stream<Path> files = Files.walk(classes)) {
      files
          .filter(file -> file.getFileName().toString().endsWith(".class"))
          .forEach(file -> arguments.add(file.toString()));
    }
    StringWriter listing = new StringWriter();
    ToolProvider javap = ToolProvider.findFirst("javap").orElseThrow();
    PrintWriter output = new PrintWriter(listing, true);
    int status = javap.run(output, output, arguments.toArray(String[]::new));
    assertThat(status).isZero();

    int largest = 0;
    int instructions = 0;
    for (String line : listing.toString().split("\n", -1)) {
      Matcher instruction = INSTRUCTION.matcher(line);
      if (instruction.find()) {
        instructions++;
        largest = Math.max(largest, Integer.parseInt(instruction.group(1)));
      }
    }
    assertThat(instructions).as("instructions listed").isGreaterThan(5_000);
    assertThat(largest).as("offset of the last instruction of any method").isLessThan(LIMIT);
  }

  /** Four layers a block: far more parameters, fields and steps than a person would write. */
  private static String deepModel() {
    StringBuilder source = new StringBuilder();
    source.append("import dev.topknot.dsl.*;\nimport dev.topknot.runtime.*;\n");
    source.append("@MoEModel(batch = 2, timesteps = 3)\n");
    source.append("public interface Deep extends LanguageModel {\n");
    source.append("  @Embedding(vocabulary = 50, width = 8) Layer words();\n");
    for (int i = 0; i < BLOCKS; i++) {
      source.append("  @Lstm(units = 8) @Dropout(0.1) @Residual Layer lstm%d();\n".formatted(i));
      source.append(
          "  @MoELayer(experts = 4, k = 2) @Expert(hidden = 16) MoE experts%d();\n".formatted(i));
      source.append("  @Dense(units = 8) Layer dense%d();\n".formatted(i));
      source.append(
          "  @MoELayer(experts = 1, k = 1) @Expert(hidden = 16) MoE plain%d();\n".formatted(i));
    }
    source.append("  @Softmax(vocabulary = 50) Layer next();\n}\n");
    return source.toString();
  }

  private Path compile(String name, String source) throws IOException {
    Path file = Files.writeString(directory.resolve(name + ".java"), source);
    Path classes = Files.createDirectory(directory.resolve("classes"));
    Compiling.into(classes, file, "-Xlint:all,-processing,-path,-classfile", "-Werror");
    return classes;
  }
}
