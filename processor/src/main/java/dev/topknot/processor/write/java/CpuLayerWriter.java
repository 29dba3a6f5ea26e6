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
import dev.topknot.processor.plan.Op;
import dev.topknot.processor.plan.Operand;
import dev.topknot.processor.plan.Plan;
import dev.topknot.processor.plan.ProgramPlan;
import dev.topknot.processor.plan.Region;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;

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
 *     run.begin(1);
 *     lstm.forward(run, x, inputWeights, recurrentWeights, bias, h0, c0, gates, cells, y);
 *     run.produced("below.y", y);
 *   }
 * }
 * }</pre>
 */
final class CpuLayerWriter extends LayerWriter {
  private final Map<String, Constant> constants = new LinkedHashMap<>();
  private final Map<Op, String> ops = new LinkedHashMap<>();

  /** The numbers of the program's steps: each call's place in it. */
  private final IdentityHashMap<Call, Integer> steps = new IdentityHashMap<>();

  CpuLayerWriter(Plan plan, ProgramPlan program, LayerPlan layer, ClassName self) {
    super(plan, program, layer, self);
    program.calls().forEach(call -> steps.put(call, steps.size()));
    for (Call call : layer.calls()) {
      if (!ops.containsKey(call.op())) {
        ops.put(call.op(), field(call.op()));
      }
    }
    for (Op op : ops.keySet()) {
      for (Constant constant : op.constants()) {
        constants.putIfAbsent(constant.name(), constant);
      }
    }
  }

  /** Named after its type, the second of that type with a number. */
  private String field(Op op) {
    String type = Literals.decapitalised(op.type());
    String field = type;
    for (int i = 2; ops.containsValue(field) || layer.locals().containsKey(field); i++) {
      field = type + i;
    }
    return field;
  }

  @Override
  void members(TypeSpec.Builder type) {
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
    type.addMethod(phases());
    steps(type, layer.forward());
    layer.balance().ifPresent(source -> type.addMethod(balance(source)));
    layer.routing().ifPresent(source -> type.addMethod(routing(source)));
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

  private MethodSpec phases() {
    PhaseWriter phases = new PhaseWriter();
    for (Call call : layer.calls()) {
      phases.add(steps.get(call), call);
    }
    return phases.method();
  }

  @Override
  MethodSpec method(String method, List<Call> calls) {
    MethodSpec.Builder body =
        MethodSpec.methodBuilder(method).addParameter(RuntimeNames.RUN, "run");
    for (Call call : calls) {
      body.addStatement("run.begin($L)", steps.get(call));
      CodeBlock.Builder arguments = CodeBlock.builder().add("run");
      for (Operand operand : call.operands()) {
        arguments.add(",$W$L", value(operand.buffer()));
      }
      body.addStatement("$N.$L($L)", ops.get(call.op()), call.method(), arguments.build());
      if (method.equals("forward") && !call.result().integers()) {
        body.addStatement("run.produced($S, $L)", call.result().name(), value(call.result()));
      }
    }
    return body.build();
  }

  private CodeBlock value(Buffer buffer) {
    return buffer.region() == Region.CALL
        ? CodeBlock.of("run.$N()", buffer.name())
        : CodeBlock.of("$N", layer.local(buffer));
  }

  private MethodSpec balance(LayerPlan.BalanceSource source) {
    CodeBlock.Builder buffers = CodeBlock.builder();
    source.buffers().forEach(buffer -> buffers.add(", $L", value(buffer)));
    return MethodSpec.methodBuilder("balance")
        .returns(RuntimeNames.BALANCE)
        .addParameter(RuntimeNames.RUN, "run")
        .addStatement(
            "return $N.balance(run, $S$L)", ops.get(source.gate()), layer.name(), buffers.build())
        .build();
  }

  private MethodSpec routing(LayerPlan.RoutingSource source) {
    return MethodSpec.methodBuilder("routing")
        .returns(RuntimeNames.ROUTING)
        .addParameter(RuntimeNames.RUN, "run")
        .addStatement(
            "return run.routing($S, $L, $L, $L)",
            layer.name(),
            source.k(),
            value(source.chosen()),
            value(source.gates()))
        .build();
  }
}
