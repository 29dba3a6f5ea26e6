package dev.topknot.processor.write.java;

import static javax.lang.model.element.Modifier.FINAL;
import static javax.lang.model.element.Modifier.PRIVATE;

import com.palantir.javapoet.ClassName;
import com.palantir.javapoet.CodeBlock;
import com.palantir.javapoet.MethodSpec;
import com.palantir.javapoet.TypeSpec;
import dev.topknot.processor.plan.Argument;
import dev.topknot.processor.plan.Buffer;
import dev.topknot.processor.plan.Call;
import dev.topknot.processor.plan.Constant;
import dev.topknot.processor.plan.DeviceCalls;
import dev.topknot.processor.plan.Kernel;
import dev.topknot.processor.plan.KernelNames;
import dev.topknot.processor.plan.LayerPlan;
import dev.topknot.processor.plan.Plan;
import dev.topknot.processor.plan.ProgramPlan;
import dev.topknot.processor.plan.Region;
import java.util.Collections;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * Writes one layer of one program: its addresses, its launches.
 *
 * <pre>{@code
 * private static final class TrainBelow {
 *   private final long x;
 *
 *   TrainBelow(CudaContext context) {
 *     x = context.workspace().at(0L);
 *   }
 *
 *   void forward(Launches launches) {
 *     launches.launch("below_lstm_forward_input", 8, 5, 1, 256, 12_288, launches.run(), x, ...);
 *     for (long step = 0; step < 20; step++) {
 *       launches.launch("below_lstm_forward_step", 4, 1, 1, 128, 8_192, launches.run(), ..., step);
 *     }
 *     launches.produced("below.y", y, 640L, 128L);
 *   }
 * }
 * }</pre>
 */
final class CudaLayerWriter extends LayerWriter {
  private static final List<String> OPTIONS =
      List.of("importanceLoss", "loadLoss", "noiseFloor", "dropout");

  private final LaunchWriter launches;
  private final List<Call> forward;

  /** The forward calls that the layer has on every device, by identity. */
  private final Set<Call> planned = Collections.newSetFromMap(new IdentityHashMap<>());

  private final Map<String, Long> scratch;

  CudaLayerWriter(
      Plan plan, ProgramPlan program, LayerPlan layer, ClassName self, KernelNames names) {
    super(plan, program, layer, self);
    forward = DeviceCalls.forward(layer);
    planned.addAll(layer.forward());
    scratch = LaunchWriter.scratch(calls().toList(), layer.locals().keySet());
    launches = new LaunchWriter(names, scratch, this::value);
  }

  private Stream<Call> calls() {
    return Stream.of(forward, layer.backward(), layer.commit()).flatMap(List::stream);
  }

  @Override
  void members(TypeSpec.Builder type) {
    MethodSpec.Builder constructor =
        MethodSpec.constructorBuilder().addParameter(RuntimeNames.CUDA_CONTEXT, "context");
    Set<Buffer> used = used();
    layer
        .locals()
        .forEach(
            (local, buffer) -> {
              if (buffer.region() != Region.CALL && used.contains(buffer)) {
                type.addField(long.class, local, PRIVATE, FINAL);
                LaunchWriter.address(
                    constructor, local, LaunchWriter.arena(buffer.region()), offset(buffer));
              }
            });
    scratch.forEach(
        (name, offset) -> {
          type.addField(long.class, name, PRIVATE, FINAL);
          LaunchWriter.address(constructor, name, "scratch", offset);
        });
    if (readsOptions()) {
      type.addField(long.class, "options", PRIVATE, FINAL);
      constructor.addStatement("options = $L", options());
    } else if (layer.balance().isPresent()) {
      constructor.addStatement("$L", options()); // says what its losses weigh
    }
    type.addMethod(constructor.build());
    steps(type, forward);
  }

  /** The buffers that a launch or a program reads the address of. */
  private Set<Buffer> used() {
    Set<Buffer> used = new HashSet<>();
    calls()
        .forEach(
            call -> {
              for (Kernel kernel : call.kernels()) {
                for (Argument argument : kernel.arguments()) {
                  if (argument instanceof Argument.OperandOfCall operand) {
                    used.add(call.operands().get(operand.index()).buffer());
                  }
                }
              }
            });
    layer.forward().stream().map(Call::result).filter(it -> !it.integers()).forEach(used::add);
    layer.balance().ifPresent(it -> used.addAll(it.buffers()));
    layer.routing().ifPresent(it -> used.addAll(it.buffers()));
    return used;
  }

  private boolean readsOptions() {
    return calls()
        .flatMap(call -> call.kernels().stream())
        .flatMap(kernel -> kernel.arguments().stream())
        .anyMatch(Argument.Options.class::isInstance);
  }

  private CodeBlock options() {
    Map<String, Object> annotated = new TreeMap<>();
    calls()
        .flatMap(call -> call.op().constants().stream())
        .filter(constant -> constant.value() instanceof Double rate && rate != 0)
        .forEach((Constant constant) -> annotated.put(constant.name(), constant.value()));
    CodeBlock.Builder values = CodeBlock.builder().add("$S", layer.name());
    for (String option : OPTIONS) {
      values.add(",$W$L", annotated.getOrDefault(option, 0.0));
    }
    return CodeBlock.of("context.options($L)", values.build());
  }

  @Override
  MethodSpec method(String method, List<Call> calls) {
    MethodSpec.Builder body =
        MethodSpec.methodBuilder(method).addParameter(RuntimeNames.LAUNCHES, "launches");
    for (Call call : calls) {
      launches.add(body, call);
      if (planned.contains(call)) {
        produced(body, call.result());
      }
    }
    return body.build();
  }

  private void produced(MethodSpec.Builder body, Buffer result) {
    if (!result.integers()) {
      body.addStatement(
          "launches.produced($S,$W$L,$W$L,$W$L)",
          result.name(),
          value(result),
          Literals.longInteger(result.rows()),
          Literals.longInteger(result.columns()));
    }
  }

  private CodeBlock value(Buffer buffer) {
    return buffer.region() == Region.CALL
        ? CodeBlock.of("launches.$N()", buffer.name())
        : CodeBlock.of("$N", layer.local(buffer));
  }
}
