package dev.topknot.processor.write.java;

import static javax.lang.model.element.Modifier.FINAL;
import static javax.lang.model.element.Modifier.PRIVATE;
import static javax.lang.model.element.Modifier.STATIC;

import com.palantir.javapoet.ClassName;
import com.palantir.javapoet.CodeBlock;
import com.palantir.javapoet.MethodSpec;
import com.palantir.javapoet.TypeSpec;
import dev.topknot.processor.plan.Buffer;
import dev.topknot.processor.plan.Call;
import dev.topknot.processor.plan.LayerPlan;
import dev.topknot.processor.plan.Memory;
import dev.topknot.processor.plan.Plan;
import dev.topknot.processor.plan.ProgramPlan;
import dev.topknot.processor.plan.Region;
import java.util.List;
import java.util.Locale;

/**
 * Writes one layer of one program: what it holds, and its steps. What a step looks like is the
 * device's.
 */
abstract class LayerWriter {
  final Plan plan;
  final ProgramPlan program;
  final LayerPlan layer;
  private final ClassName self;

  LayerWriter(Plan plan, ProgramPlan program, LayerPlan layer, ClassName self) {
    this.plan = plan;
    this.program = program;
    this.layer = layer;
    this.self = self;
  }

  final TypeSpec write() {
    TypeSpec.Builder type =
        TypeSpec.classBuilder(self).addJavadoc(javadoc()).addModifiers(PRIVATE, STATIC, FINAL);
    members(type);
    return type.build();
  }

  /** Adds fields, constructor and methods. */
  abstract void members(TypeSpec.Builder type);

  /** A method that makes these calls. */
  abstract MethodSpec method(String method, List<Call> calls);

  /** Adds the methods that a program calls, which the layer has something to do in. */
  final void steps(TypeSpec.Builder type, List<Call> forward) {
    type.addMethod(method("forward", forward));
    if (!layer.backward().isEmpty()) {
      type.addMethod(method("backward", layer.backward()));
    }
    if (!layer.commit().isEmpty()) {
      type.addMethod(method("commit", layer.commit()));
    }
  }

  final long offset(Buffer buffer) {
    return switch (buffer.region()) {
      case PARAMETERS, GRADIENTS -> plan.offset(buffer);
      case WORKSPACE -> program.workspace().offset(buffer);
      case STATE -> program.state().offset(buffer);
      case FIRST_MOMENTS, SECOND_MOMENTS, ROW_MEANS, COLUMN_MEANS, CALL ->
          throw new IllegalArgumentException(buffer + " is no buffer of a layer");
    };
  }

  /** What the layer is, and a table of its buffers. */
  private CodeBlock javadoc() {
    CodeBlock.Builder doc =
        CodeBlock.builder()
            .add(
                "$L for $L: $L.\n\n<pre>\n",
                layer.name().isEmpty() ? "The layer" : "Layer {@code " + layer.name() + "}",
                program.program().activity(),
                layer.title());
    layer.locals().forEach((local, buffer) -> doc.add("$L\n", line(local, buffer)));
    return doc.add("</pre>\n").build();
  }

  private String line(String local, Buffer buffer) {
    String region = buffer.region().name().toLowerCase(Locale.ROOT);
    String shape = "[" + buffer.rows() + ", " + buffer.columns() + "]";
    return padded(local, 24) + " " + padded(region, 10) + " " + shape + lifetime(buffer);
  }

  private static String padded(String text, int columns) {
    return text + " ".repeat(Math.max(0, columns - text.length()));
  }

  private String lifetime(Buffer buffer) {
    if (buffer.region() != Region.WORKSPACE) {
      return "";
    }
    for (Memory.Placement placement : program.workspace().placements()) {
      if (placement.buffer().equals(buffer)) {
        return ", steps " + placement.first() + " to " + placement.last();
      }
    }
    return "";
  }
}
