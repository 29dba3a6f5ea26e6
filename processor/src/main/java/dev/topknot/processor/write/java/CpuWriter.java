package dev.topknot.processor.write.java;

import static javax.lang.model.element.Modifier.FINAL;
import static javax.lang.model.element.Modifier.PRIVATE;
import static javax.lang.model.element.Modifier.PUBLIC;

import com.palantir.javapoet.ClassName;
import com.palantir.javapoet.CodeBlock;
import com.palantir.javapoet.MethodSpec;
import com.palantir.javapoet.ParameterizedTypeName;
import com.palantir.javapoet.TypeSpec;
import dev.topknot.processor.model.ModelSpec;
import dev.topknot.processor.plan.Call;
import dev.topknot.processor.plan.DeviceCalls;
import dev.topknot.processor.plan.LayerPlan;
import dev.topknot.processor.plan.Operand;
import dev.topknot.processor.plan.Plan;
import dev.topknot.processor.plan.Program;
import dev.topknot.processor.plan.ProgramPlan;
import java.util.ArrayList;
import java.util.List;

/**
 * Writes the CPU programs:
 *
 * <pre>{@code
 * final class TopknotNewsModelCpu extends CpuModel {
 *   static final class Train implements CpuProgram {
 *     public void forward(Run run) {
 *       words.forward(run);
 *       below.forward(run);
 *     }
 *   }
 *
 *   static final class TrainBelow { ... }   // see CpuLayerWriter
 * }
 * }</pre>
 */
final class CpuWriter extends ProgramsWriter {
  CpuWriter(Plan plan) {
    super(
        plan,
        new Device(
            "CPU",
            plan.spec() instanceof ModelSpec ? RuntimeNames.CPU_MODEL : RuntimeNames.CPU_MOE,
            RuntimeNames.CPU_CONTEXT,
            RuntimeNames.CPU_PROGRAM,
            RuntimeNames.RUN,
            "run"),
        plan.spec().name().cpu());
  }

  @Override
  TypeSpec layer(ProgramPlan program, LayerPlan layer, ClassName name) {
    return new CpuLayerWriter(plan, program, layer, name).write();
  }

  @Override
  MethodSpec probabilities(LayerPlan softmax) {
    return MethodSpec.methodBuilder("probabilities")
        .addAnnotation(Override.class)
        .addModifiers(PUBLIC)
        .returns(RuntimeNames.MATRIX)
        .addStatement("return $N.$N", field(softmax), softmax.local(softmax.output().orElseThrow()))
        .build();
  }

  /** The optimizer and its views of the whole arenas. */
  @Override
  TypeSpec optimizer() {
    int layerSteps = plan.program(Program.TRAIN).calls().size();
    Call update = DeviceCalls.update(plan).get(0);
    ClassName adam = RuntimeNames.cpu(update.op().type());
    TypeSpec.Builder type = optimizerClass().addField(adam, "adam", PRIVATE, FINAL);
    MethodSpec.Builder constructor =
        MethodSpec.constructorBuilder()
            .addParameter(RuntimeNames.CPU_CONTEXT, "context")
            .addStatement("adam = new $T(context)", adam);
    List<String> arenas = new ArrayList<>();
    for (Operand operand : update.operands()) {
      String arena = operand.buffer().name();
      arenas.add(arena);
      type.addField(RuntimeNames.MATRIX, arena, PRIVATE, FINAL);
      constructor.addStatement(
          "$N = context.$N().matrix(0L, 1L, $L)",
          arena,
          arena,
          Literals.longInteger(operand.buffer().size()));
    }
    PhaseWriter phases = new PhaseWriter();
    DeviceCalls.norm(plan).forEach(call -> phases.add(layerSteps, call));
    DeviceCalls.update(plan).forEach(call -> phases.add(layerSteps + 1, call));
    return type.addMethod(constructor.build())
        .addMethod(phases.method())
        .addMethod(
            MethodSpec.methodBuilder("norm")
                .addParameter(RuntimeNames.RUN, "run")
                .addStatement("run.begin($L)", layerSteps)
                .addStatement("adam.norm(run, gradients)")
                .build())
        .addMethod(
            MethodSpec.methodBuilder("update")
                .addParameter(RuntimeNames.RUN, "run")
                .addStatement("run.begin($L)", layerSteps + 1)
                .addStatement("adam.update(run, $L)", String.join(", ", arenas))
                .build())
        .build();
  }

  @Override
  void phases(TypeSpec.Builder type, List<ClassName> parts) {
    List<CodeBlock> calls = new ArrayList<>();
    for (ClassName part : parts) {
      calls.add(CodeBlock.of("$T.phases()", part));
    }
    type.addMethod(
        MethodSpec.methodBuilder("phases")
            .addAnnotation(Override.class)
            .addModifiers(PUBLIC)
            .returns(PhaseWriter.PHASES)
            .addStatement("return $T.inOrder($L)", RuntimeNames.PHASE, CodeBlock.join(calls, ",$W"))
            .build());
  }

  @Override
  MethodSpec balances(List<LayerPlan> gated) {
    List<CodeBlock> calls = new ArrayList<>();
    for (LayerPlan layer : gated) {
      calls.add(CodeBlock.of("$N.balance(run)", field(layer)));
    }
    return step("balances")
        .returns(ParameterizedTypeName.get(ClassName.get(List.class), RuntimeNames.BALANCE))
        .addStatement("return $T.of($L)", List.class, CodeBlock.join(calls, ", "))
        .build();
  }

  @Override
  MethodSpec routings(List<LayerPlan> gated) {
    List<CodeBlock> calls = new ArrayList<>();
    for (LayerPlan layer : gated) {
      calls.add(CodeBlock.of("$N.routing(run)", field(layer)));
    }
    return step("routings")
        .returns(ParameterizedTypeName.get(ClassName.get(List.class), RuntimeNames.ROUTING))
        .addStatement("return $T.of($L)", List.class, CodeBlock.join(calls, ", "))
        .build();
  }
}
