package dev.topknot.processor.write.java;

import static javax.lang.model.element.Modifier.FINAL;
import static javax.lang.model.element.Modifier.PRIVATE;
import static javax.lang.model.element.Modifier.PROTECTED;
import static javax.lang.model.element.Modifier.PUBLIC;
import static javax.lang.model.element.Modifier.STATIC;

import com.palantir.javapoet.ClassName;
import com.palantir.javapoet.CodeBlock;
import com.palantir.javapoet.FieldSpec;
import com.palantir.javapoet.MethodSpec;
import com.palantir.javapoet.ParameterizedTypeName;
import com.palantir.javapoet.TypeSpec;
import dev.topknot.dsl.Optimizer;
import dev.topknot.processor.model.ModelSpec;
import dev.topknot.processor.plan.LayerPlan;
import dev.topknot.processor.plan.Plan;
import dev.topknot.processor.plan.Program;
import dev.topknot.processor.plan.ProgramPlan;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

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
 *   static final class TrainBelow { ... }   // see LayerWriter
 * }
 * }</pre>
 */
final class CpuWriter {
  /** Names that a program's methods have other uses for. */
  private static final Set<String> TAKEN = Set.of("run", "context", "optimizer");

  /** The arenas that the optimizer works on, in the order of its operands. */
  private static final List<String> ARENAS =
      List.of("parameters", "gradients", "firstMoments", "secondMoments");

  private final Plan plan;
  private final ClassName self;

  CpuWriter(Plan plan) {
    this.plan = plan;
    this.self = ClassName.get(plan.spec().name().packageName(), plan.spec().name().cpu());
  }

  TypeSpec write() {
    boolean model = plan.spec() instanceof ModelSpec;
    TypeSpec.Builder type =
        TypeSpec.classBuilder(self)
            .addJavadoc(
                "The CPU programs of {@link $T}: every shape and every offset is a constant.\n",
                EntryWriter.className(plan.spec().name()))
            .addModifiers(FINAL)
            .superclass(model ? RuntimeNames.CPU_MODEL : RuntimeNames.CPU_MOE)
            .addMethod(
                MethodSpec.constructorBuilder()
                    .addParameter(RuntimeNames.CPU_CONTEXT, "context")
                    .addStatement("super(context)")
                    .build());
    type.addMethod(sizes("workspace", "Floats of a program's workspace.", true));
    if (model) {
      type.addMethod(sizes("state", "Floats that a program carries from call to call.", false));
    }
    for (ProgramPlan program : plan.programs()) {
      ClassName programClass = self.nestedClass(program.program().title());
      type.addMethod(
          MethodSpec.methodBuilder(method(program.program()))
              .addAnnotation(Override.class)
              .addModifiers(PROTECTED)
              .returns(RuntimeNames.CPU_PROGRAM)
              .addParameter(RuntimeNames.CPU_CONTEXT, "context")
              .addStatement("return new $T(context)", programClass)
              .build());
    }
    for (ProgramPlan program : plan.programs()) {
      Map<LayerPlan, ClassName> layers = layerClasses(program);
      type.addType(program(program, layers));
      layers.forEach(
          (layer, name) -> type.addType(new LayerWriter(plan, program, layer, name).write()));
    }
    return type.build();
  }

  /** A layer of its own calls its evaluation {@code infer}. */
  private String method(Program program) {
    boolean infer = program == Program.EVALUATE && !(plan.spec() instanceof ModelSpec);
    return infer ? "infer" : program.title().toLowerCase(Locale.ROOT);
  }

  /** Class names of the layers; layers whose names differ only in case get a number. */
  private Map<LayerPlan, ClassName> layerClasses(ProgramPlan program) {
    Map<LayerPlan, ClassName> classes = new LinkedHashMap<>();
    Set<String> taken = new HashSet<>();
    for (LayerPlan layer : program.layers()) {
      String simple = program.program().title() + Literals.capitalised(field(layer));
      while (!taken.add(simple.toLowerCase(Locale.ROOT))) {
        simple += "_";
      }
      classes.put(layer, self.nestedClass(simple));
    }
    return classes;
  }

  /** A layer's field in its program; a layer of its own has no name. */
  private String field(LayerPlan layer) {
    String name = layer.name().isEmpty() ? "layer" : layer.name();
    if (!TAKEN.contains(name)) {
      return name;
    }
    String free = name + "Layer";
    while (isLayer(free)) {
      free += "_";
    }
    return free;
  }

  private boolean isLayer(String name) {
    return plan.programs().get(0).layers().stream().anyMatch(it -> it.name().equals(name));
  }

  private MethodSpec sizes(String method, String doc, boolean workspace) {
    CodeBlock.Builder body = CodeBlock.builder().add("return switch (program) {\n$>");
    for (ProgramPlan program : plan.programs()) {
      long size = workspace ? program.workspace().size() : program.state().size();
      body.add("case $L -> $L;\n", program.program(), Literals.longInteger(size));
    }
    if (plan.programs().size() < Program.values().length) {
      body.add("default -> 0L;\n");
    }
    body.add("$<};\n");
    return MethodSpec.methodBuilder(method)
        .addJavadoc("$L\n", doc)
        .addAnnotation(Override.class)
        .addModifiers(PROTECTED)
        .returns(long.class)
        .addParameter(RuntimeNames.PROGRAM, "program")
        .addCode(body.build())
        .build();
  }

  private TypeSpec program(ProgramPlan program, Map<LayerPlan, ClassName> layers) {
    Program kind = program.program();
    TypeSpec.Builder type =
        TypeSpec.classBuilder(kind.title())
            .addJavadoc(
                "The program for $L: at most $L $L in a call.\n",
                kind.activity(),
                program.tokens(),
                program.tokens() == 1 ? "token" : "tokens")
            .addModifiers(STATIC, FINAL)
            .addSuperinterface(RuntimeNames.CPU_PROGRAM);
    MethodSpec.Builder constructor =
        MethodSpec.constructorBuilder().addParameter(RuntimeNames.CPU_CONTEXT, "context");
    layers.forEach(
        (layer, name) -> {
          type.addField(FieldSpec.builder(name, field(layer)).addModifiers(PRIVATE, FINAL).build());
          constructor.addStatement("$N = new $T(context)", field(layer), name);
        });
    boolean adam = kind == Program.TRAIN && plan.spec().optimizer() == Optimizer.ADAM;
    if (adam) {
      type.addType(optimizer());
      ClassName optimizer = self.nestedClass(kind.title()).nestedClass("Update");
      type.addField(optimizer, "optimizer", PRIVATE, FINAL);
      constructor.addStatement("optimizer = new $T(context)", optimizer);
    }
    type.addMethod(constructor.build());

    List<LayerPlan> forward = program.layers();
    List<LayerPlan> backward = new ArrayList<>(forward);
    Collections.reverse(backward);
    type.addMethod(each("forward", forward));
    if (kind == Program.TRAIN) {
      type.addMethod(each("backward", backward));
    }
    List<LayerPlan> committing = forward.stream().filter(l -> !l.commit().isEmpty()).toList();
    if (!committing.isEmpty()) {
      type.addMethod(each("commit", committing));
    }
    if (adam) {
      type.addMethod(step("norm").addStatement("optimizer.norm(run)").build());
      type.addMethod(step("update").addStatement("optimizer.update(run)").build());
    }
    List<LayerPlan> gated = forward.stream().filter(l -> l.balance().isPresent()).toList();
    if (!gated.isEmpty()) {
      type.addMethod(balances(gated));
    }
    if (kind == Program.GENERATE) {
      LayerPlan softmax = forward.get(forward.size() - 1);
      type.addMethod(
          MethodSpec.methodBuilder("probabilities")
              .addAnnotation(Override.class)
              .addModifiers(PUBLIC)
              .returns(RuntimeNames.MATRIX)
              .addStatement(
                  "return $N.$N", field(softmax), softmax.local(softmax.output().orElseThrow()))
              .build());
    }
    return type.build();
  }

  private MethodSpec.Builder step(String method) {
    return MethodSpec.methodBuilder(method)
        .addAnnotation(Override.class)
        .addModifiers(PUBLIC)
        .addParameter(RuntimeNames.RUN, "run");
  }

  private MethodSpec each(String method, List<LayerPlan> layers) {
    MethodSpec.Builder step = step(method);
    for (LayerPlan layer : layers) {
      step.addStatement("$N.$L(run)", field(layer), method);
    }
    return step.build();
  }

  /** The optimizer and its views of the whole arenas. */
  private TypeSpec optimizer() {
    TypeSpec.Builder type =
        TypeSpec.classBuilder("Update")
            .addJavadoc("Adam over all $L parameters.\n", plan.parameterCount())
            .addModifiers(PRIVATE, STATIC, FINAL)
            .addField(RuntimeNames.ADAM, "adam", PRIVATE, FINAL);
    MethodSpec.Builder constructor =
        MethodSpec.constructorBuilder()
            .addParameter(RuntimeNames.CPU_CONTEXT, "context")
            .addStatement("adam = new $T(context)", RuntimeNames.ADAM);
    for (String arena : ARENAS) {
      type.addField(RuntimeNames.MATRIX, arena, PRIVATE, FINAL);
      constructor.addStatement(
          "$N = context.$N().matrix(0L, 1L, $L)",
          arena,
          arena,
          Literals.longInteger(plan.parameterArena()));
    }
    return type.addMethod(constructor.build())
        .addMethod(
            MethodSpec.methodBuilder("norm")
                .addParameter(RuntimeNames.RUN, "run")
                .addStatement("adam.norm(run, gradients)")
                .build())
        .addMethod(
            MethodSpec.methodBuilder("update")
                .addParameter(RuntimeNames.RUN, "run")
                .addStatement("adam.update(run, $L)", String.join(", ", ARENAS))
                .build())
        .build();
  }

  private MethodSpec balances(List<LayerPlan> gated) {
    List<CodeBlock> calls = new ArrayList<>();
    for (LayerPlan layer : gated) {
      calls.add(CodeBlock.of("$N.balance(run)", field(layer)));
    }
    return step("balances")
        .returns(ParameterizedTypeName.get(ClassName.get(List.class), RuntimeNames.BALANCE))
        .addStatement("return $T.of($L)", List.class, CodeBlock.join(calls, ", "))
        .build();
  }
}
