package dev.topknot.processor.write.java;

import static javax.lang.model.element.Modifier.FINAL;
import static javax.lang.model.element.Modifier.PRIVATE;
import static javax.lang.model.element.Modifier.PROTECTED;
import static javax.lang.model.element.Modifier.PUBLIC;

import com.palantir.javapoet.ClassName;
import com.palantir.javapoet.CodeBlock;
import com.palantir.javapoet.MethodSpec;
import com.palantir.javapoet.ParameterizedTypeName;
import com.palantir.javapoet.TypeSpec;
import dev.topknot.processor.model.ModelSpec;
import dev.topknot.processor.plan.Argument;
import dev.topknot.processor.plan.Buffer;
import dev.topknot.processor.plan.Call;
import dev.topknot.processor.plan.Constant;
import dev.topknot.processor.plan.DeviceCalls;
import dev.topknot.processor.plan.KernelNames;
import dev.topknot.processor.plan.LayerPlan;
import dev.topknot.processor.plan.Operand;
import dev.topknot.processor.plan.Plan;
import dev.topknot.processor.plan.ProgramPlan;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;

/**
 * Writes the CUDA programs, which launch the kernels of {@code X.cu}:
 *
 * <pre>{@code
 * final class TopknotNewsModelCuda extends CudaModel {
 *   static final class Train implements CudaProgram {
 *     public void forward(Launches launches) {
 *       words.forward(launches);
 *       below.forward(launches);
 *     }
 *   }
 *
 *   static final class TrainBelow { ... }   // see CudaLayerWriter
 * }
 * }</pre>
 */
final class CudaWriter extends ProgramsWriter {
  private final KernelNames names;

  CudaWriter(Plan plan, KernelNames names) {
    super(
        plan,
        new Device(
            "CUDA",
            plan.spec() instanceof ModelSpec ? RuntimeNames.CUDA_MODEL : RuntimeNames.CUDA_MOE,
            RuntimeNames.CUDA_CONTEXT,
            RuntimeNames.CUDA_PROGRAM,
            RuntimeNames.LAUNCHES,
            "launches"),
        plan.spec().name().cuda());
    this.names = names;
  }

  @Override
  TypeSpec layer(ProgramPlan program, LayerPlan layer, ClassName name) {
    return new CudaLayerWriter(plan, program, layer, name, names).write();
  }

  @Override
  void extras(TypeSpec.Builder type) {
    type.addMethod(
        sizes(
            "scratch",
            "Floats that a program's calls need while they run.",
            program -> DeviceCalls.scratch(plan, program)));
    type.addMethod(
        MethodSpec.methodBuilder("kernels")
            .addAnnotation(Override.class)
            .addModifiers(PROTECTED)
            .returns(InputStream.class)
            .addParameter(String.class, "extension")
            .addStatement(
                "return $T.class.getResourceAsStream($S + extension)",
                ClassName.get(plan.spec().name().packageName(), plan.spec().name().cuda()),
                plan.spec().name().flat())
            .build());
  }

  @Override
  MethodSpec probabilities(LayerPlan softmax) {
    return MethodSpec.methodBuilder("probabilities")
        .addAnnotation(Override.class)
        .addModifiers(PUBLIC)
        .returns(long.class)
        .addStatement("return $N.$N", field(softmax), softmax.local(softmax.output().orElseThrow()))
        .build();
  }

  /** The optimizer and the addresses of whole arenas. */
  @Override
  TypeSpec optimizer() {
    List<Call> norm = DeviceCalls.norm(plan);
    List<Call> update = DeviceCalls.update(plan);
    List<Call> calls = Stream.concat(norm.stream(), update.stream()).toList();
    Map<String, Buffer> arenas = new LinkedHashMap<>();
    for (Call call : calls) {
      for (Operand operand : call.operands()) {
        arenas.put(operand.buffer().name(), operand.buffer());
      }
    }
    TypeSpec.Builder type = optimizerClass();
    MethodSpec.Builder constructor =
        MethodSpec.constructorBuilder().addParameter(RuntimeNames.CUDA_CONTEXT, "context");
    arenas.forEach(
        (name, buffer) -> {
          type.addField(long.class, name, PRIVATE, FINAL);
          LaunchWriter.address(constructor, name, LaunchWriter.arena(buffer.region()), 0);
        });
    type.addField(long.class, "slices", PRIVATE, FINAL);
    constructor.addStatement("slices = context.slices()");
    calls.stream()
        .flatMap(call -> call.kernels().stream())
        .flatMap(kernel -> kernel.arguments().stream())
        .filter(Argument.Matrices.class::isInstance)
        .map(Argument.Matrices.class::cast)
        .distinct()
        .forEach(
            table -> {
              type.addField(long.class, "matrices", PRIVATE, FINAL);
              constructor.addStatement(
                  "matrices = context.matrices($L, $L)",
                  Literals.longInteger(table.tileRows()),
                  Literals.longInteger(table.tileColumns()));
            });
    Map<String, Long> scratch = LaunchWriter.scratch(calls, Set.of());
    scratch.forEach(
        (name, offset) -> {
          type.addField(long.class, name, PRIVATE, FINAL);
          LaunchWriter.address(constructor, name, "scratch", offset);
        });
    LaunchWriter launches =
        new LaunchWriter(names, scratch, buffer -> CodeBlock.of("$N", buffer.name()));
    return type.addMethod(constructor.build())
        .addMethod(launched("norm", launches, norm))
        .addMethod(launched("update", launches, update))
        .build();
  }

  private static MethodSpec launched(String method, LaunchWriter launches, List<Call> calls) {
    MethodSpec.Builder body =
        MethodSpec.methodBuilder(method).addParameter(RuntimeNames.LAUNCHES, "launches");
    calls.forEach(call -> launches.add(body, call));
    return body.build();
  }

  @Override
  MethodSpec balances(List<LayerPlan> gated) {
    List<CodeBlock> sources = new ArrayList<>();
    for (LayerPlan layer : gated) {
      LayerPlan.BalanceSource source = layer.balance().orElseThrow();
      CodeBlock.Builder addresses = CodeBlock.builder();
      for (Buffer buffer : List.of(source.importance(), source.load(), source.offsets())) {
        addresses.add(",$W$N.$N", field(layer), layer.local(buffer));
      }
      sources.add(
          CodeBlock.of(
              "new $T($S,$W$L$L)",
              RuntimeNames.GATED,
              layer.name(),
              experts(source),
              addresses.build()));
    }
    return MethodSpec.methodBuilder("gated")
        .addAnnotation(Override.class)
        .addModifiers(PUBLIC)
        .returns(ParameterizedTypeName.get(ClassName.get(List.class), RuntimeNames.GATED))
        .addStatement("return $T.of($L)", List.class, CodeBlock.join(sources, ", "))
        .build();
  }

  @Override
  MethodSpec routings(List<LayerPlan> gated) {
    List<CodeBlock> sources = new ArrayList<>();
    for (LayerPlan layer : gated) {
      LayerPlan.RoutingSource source = layer.routing().orElseThrow();
      sources.add(
          CodeBlock.of(
              "new $T($S,$W$L,$W$N.$N,$W$N.$N)",
              RuntimeNames.CHOSEN,
              layer.name(),
              source.k(),
              field(layer),
              layer.local(source.chosen()),
              field(layer),
              layer.local(source.gates())));
    }
    return MethodSpec.methodBuilder("chosen")
        .addAnnotation(Override.class)
        .addModifiers(PUBLIC)
        .returns(ParameterizedTypeName.get(ClassName.get(List.class), RuntimeNames.CHOSEN))
        .addStatement("return $T.of($L)", List.class, CodeBlock.join(sources, ", "))
        .build();
  }

  private static Object experts(LayerPlan.BalanceSource source) {
    return source.gate().constants().stream()
        .filter(constant -> constant.name().equals("experts"))
        .map(Constant::value)
        .findFirst()
        .orElseThrow();
  }
}
