package dev.topknot.processor.write.java;

import static javax.lang.model.element.Modifier.FINAL;
import static javax.lang.model.element.Modifier.PRIVATE;
import static javax.lang.model.element.Modifier.STATIC;

import com.palantir.javapoet.ClassName;
import com.palantir.javapoet.CodeBlock;
import com.palantir.javapoet.FieldSpec;
import com.palantir.javapoet.MethodSpec;
import com.palantir.javapoet.TypeSpec;
import dev.topknot.processor.plan.Buffer;
import dev.topknot.processor.plan.Call;
import dev.topknot.processor.plan.Constant;
import dev.topknot.processor.plan.LayerPlan;
import dev.topknot.processor.plan.Memory;
import dev.topknot.processor.plan.Op;
import dev.topknot.processor.plan.Operand;
import dev.topknot.processor.plan.Plan;
import dev.topknot.processor.plan.ProgramPlan;
import dev.topknot.processor.plan.Region;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;

/**
 * Writes one layer of one program: its ops, its views of memory, its steps.
 *
 * <pre>{@code
 * private static final class TrainBelow {
 *   private final Lstm lstm;
 *   private final Matrix x;
 *
 *   TrainBelow(CpuContext context) {
 *     lstm = new Lstm(context, "below", 32, 20, 128, 128);
 *     x = context.workspace().matrix(0L, 640L, 128L);
 *   }
 *
 *   void forward(Run run) {
 *     lstm.forward(run, x, inputWeights, recurrentWeights, bias, h0, c0, gates, cells, y);
 *     run.produced("below.y", y);
 *   }
 * }
 * }</pre>
 */
final class LayerWriter {
  private final Plan plan;
  private final ProgramPlan program;
  private final LayerPlan layer;
  private final ClassName self;
  private final Map<String, Constant> constants = new LinkedHashMap<>();
  private final Map<Op, String> ops = new LinkedHashMap<>();

  LayerWriter(Plan plan, ProgramPlan program, LayerPlan layer, ClassName self) {
    this.plan = plan;
    this.program = program;
    this.layer = layer;
    this.self = self;
    Stream.of(layer.forward(), layer.backward(), layer.commit())
        .flatMap(List::stream)
        .map(Call::op)
        .distinct()
        .forEach(op -> ops.put(op, Literals.decapitalised(op.type())));
    for (Op op : ops.keySet()) {
      for (Constant constant : op.constants()) {
        constants.putIfAbsent(constant.name(), constant);
      }
    }
  }

  TypeSpec write() {
    TypeSpec.Builder type =
        TypeSpec.classBuilder(self).addJavadoc(javadoc()).addModifiers(PRIVATE, STATIC, FINAL);
    for (Constant constant : constants.values()) {
      if (constant.value() instanceof Integer value) {
        type.addField(
            FieldSpec.builder(int.class, constantName(constant), PRIVATE, STATIC, FINAL)
                .initializer(Literals.integer(value))
                .build());
      }
    }
    ops.forEach((op, field) -> type.addField(RuntimeNames.cpu(op.type()), field, PRIVATE, FINAL));
    layer
        .locals()
        .forEach(
            (local, buffer) -> {
              if (buffer.region() != Region.CALL) {
                type.addField(view(buffer), local, PRIVATE, FINAL);
              }
            });
    type.addMethod(constructor());
    type.addMethod(steps("forward", layer.forward()));
    if (!layer.backward().isEmpty()) {
      type.addMethod(steps("backward", layer.backward()));
    }
    if (!layer.commit().isEmpty()) {
      type.addMethod(steps("commit", layer.commit()));
    }
    layer.balance().ifPresent(source -> type.addMethod(balance(source)));
    return type.build();
  }

  private static ClassName view(Buffer buffer) {
    return buffer.integers() ? RuntimeNames.INTS : RuntimeNames.MATRIX;
  }

  private MethodSpec constructor() {
    MethodSpec.Builder constructor =
        MethodSpec.constructorBuilder().addParameter(RuntimeNames.CPU_CONTEXT, "context");
    ops.forEach(
        (op, field) -> {
          CodeBlock.Builder arguments = CodeBlock.builder().add("context, $S", layer.name());
          for (Constant constant : op.constants()) {
            arguments.add(",$W$L", argument(constant));
          }
          constructor.addStatement(
              "$N = new $T($L)", field, RuntimeNames.cpu(op.type()), arguments.build());
        });
    layer
        .locals()
        .forEach(
            (local, buffer) -> {
              if (buffer.region() == Region.CALL) {
                return;
              }
              String arena = buffer.region().name().toLowerCase(Locale.ROOT);
              if (buffer.integers()) {
                constructor.addStatement(
                    "$N = context.$N().ints($L, $L)",
                    local,
                    arena,
                    Literals.longInteger(offset(buffer)),
                    Literals.longInteger(buffer.size()));
              } else {
                constructor.addStatement(
                    "$N = context.$N().matrix($L, $L, $L)",
                    local,
                    arena,
                    Literals.longInteger(offset(buffer)),
                    Literals.longInteger(buffer.rows()),
                    Literals.longInteger(buffer.columns()));
              }
            });
    return constructor.build();
  }

  /** Two ops of a layer may mean different sizes by one name; then the second writes its own. */
  private CodeBlock argument(Constant constant) {
    Object value = constant.value();
    if (value instanceof Integer number) {
      return Objects.equals(constants.get(constant.name()), constant)
          ? CodeBlock.of("$L", constantName(constant))
          : Literals.integer(number);
    }
    return value instanceof Enum<?> choice
        ? CodeBlock.of("$T.$L", choice.getDeclaringClass(), choice.name())
        : CodeBlock.of("$L", value);
  }

  private static String constantName(Constant constant) {
    return constant.name().replaceAll("([A-Z])", "_$1").toUpperCase(Locale.ROOT);
  }

  private long offset(Buffer buffer) {
    return switch (buffer.region()) {
      case PARAMETERS, GRADIENTS -> plan.offset(buffer);
      case WORKSPACE -> program.workspace().offset(buffer);
      case STATE -> program.state().offset(buffer);
      case CALL -> throw new IllegalArgumentException(buffer + " is handed in");
    };
  }

  private MethodSpec steps(String method, List<Call> calls) {
    MethodSpec.Builder steps =
        MethodSpec.methodBuilder(method).addParameter(RuntimeNames.RUN, "run");
    for (Call call : calls) {
      CodeBlock.Builder arguments = CodeBlock.builder().add("run");
      for (Operand operand : call.operands()) {
        arguments.add(",$W$L", value(operand.buffer()));
      }
      steps.addStatement("$N.$L($L)", ops.get(call.op()), call.method(), arguments.build());
      if (method.equals("forward") && !call.result().integers()) {
        steps.addStatement("run.produced($S, $L)", call.result().name(), value(call.result()));
      }
    }
    return steps.build();
  }

  private CodeBlock value(Buffer buffer) {
    return buffer.region() == Region.CALL
        ? CodeBlock.of("run.$N()", buffer.name())
        : CodeBlock.of("$N", layer.local(buffer));
  }

  private MethodSpec balance(LayerPlan.BalanceSource source) {
    return MethodSpec.methodBuilder("balance")
        .returns(RuntimeNames.BALANCE)
        .addParameter(RuntimeNames.RUN, "run")
        .addStatement(
            "return $N.balance(run, $S, $L, $L, $L)",
            ops.get(source.gate()),
            layer.name(),
            value(source.importance()),
            value(source.load()),
            value(source.offsets()))
        .build();
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
    layer
        .locals()
        .forEach(
            (local, buffer) ->
                doc.add(
                    "$L\n",
                    String.format(
                            Locale.ROOT,
                            "%-24s %-10s [%d, %d]%s",
                            local,
                            buffer.region().name().toLowerCase(Locale.ROOT),
                            buffer.rows(),
                            buffer.columns(),
                            lifetime(buffer))
                        .stripTrailing()));
    return doc.add("</pre>\n").build();
  }

  private String lifetime(Buffer buffer) {
    if (buffer.region() != Region.WORKSPACE) {
      return "";
    }
    for (Memory.Placement placement : program.workspace().placements()) {
      if (placement.buffer().equals(buffer)) {
        return ", steps %d to %d".formatted(placement.first(), placement.last());
      }
    }
    return "";
  }
}
