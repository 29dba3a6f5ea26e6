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
import java.util.function.ToLongFunction;

/**
 * Writes the programs of a device: a class for each program, a class for each of its layers. What
 * the classes are called and what they hold is the device's.
 */
abstract class ProgramsWriter {
  final Plan plan;
  private final Device device;
  private final ClassName self;
  private final Set<String> taken;

  ProgramsWriter(Plan plan, Device device, String self) {
    this.plan = plan;
    this.device = device;
    this.self = ClassName.get(plan.spec().name().packageName(), self);
    this.taken = Set.of(device.runName(), "context", "optimizer");
  }

  /**
   * The types of a device.
   *
   * @param title as Javadoc says it
   * @param superclass of the programs together
   * @param context what programs are built from
   * @param program what each implements
   * @param run what the methods of a program take
   * @param runName that parameter's name
   */
  record Device(
      String title,
      ClassName superclass,
      ClassName context,
      ClassName program,
      ClassName run,
      String runName) {}

  /** The class of a layer. */
  abstract TypeSpec layer(ProgramPlan program, LayerPlan layer, ClassName name);

  /** The class {@code Update}, with the methods {@code norm} and {@code update}. */
  abstract TypeSpec optimizer();

  /** Its start. */
  final TypeSpec.Builder optimizerClass() {
    String title =
        plan.spec().optimizer() == Optimizer.ADAM ? "Adam" : "Adam, its second moment factored,";
    return TypeSpec.classBuilder("Update")
        .addJavadoc("$L over all $L parameters.\n", title, plan.parameterCount())
        .addModifiers(PRIVATE, STATIC, FINAL);
  }

  /** The method that tells what gates leave to be read. */
  abstract MethodSpec balances(List<LayerPlan> gated);

  /** The method that tells what gates chose. */
  abstract MethodSpec routings(List<LayerPlan> gated);

  /** The method that tells where the probabilities are. */
  abstract MethodSpec probabilities(LayerPlan softmax);

  /**
   * Adds the method that tells what the steps cost, from that of each class; where there is one.
   */
  void phases(TypeSpec.Builder type, List<ClassName> parts) {}

  /** Adds what only this device's programs have. */
  void extras(TypeSpec.Builder type) {}

  final TypeSpec write() {
    boolean model = plan.spec() instanceof ModelSpec;
    TypeSpec.Builder type =
        TypeSpec.classBuilder(self)
            .addJavadoc(
                "The $L programs of {@link $T}: every shape and every offset is a constant.\n",
                device.title(),
                EntryWriter.className(plan.spec().name()))
            .addModifiers(FINAL)
            .superclass(device.superclass())
            .addMethod(
                MethodSpec.constructorBuilder()
                    .addParameter(device.context(), "context")
                    .addStatement("super(context)")
                    .build());
    type.addMethod(
        sizes("workspace", "Floats of a program's workspace.", p -> p.workspace().size()));
    if (model) {
      type.addMethod(
          sizes(
              "state", "Floats that a program carries from call to call.", p -> p.state().size()));
    }
    extras(type);
    for (ProgramPlan program : plan.programs()) {
      ClassName programClass = self.nestedClass(program.program().title());
      type.addMethod(
          MethodSpec.methodBuilder(method(program.program()))
              .addAnnotation(Override.class)
              .addModifiers(PROTECTED)
              .returns(device.program())
              .addParameter(device.context(), "context")
              .addStatement("return new $T(context)", programClass)
              .build());
    }
    for (ProgramPlan program : plan.programs()) {
      Map<String, ClassName> classes = layerClasses(program);
      type.addType(program(program, classes));
      for (LayerPlan layer : program.layers()) {
        type.addType(layer(program, layer, classes.get(field(layer))));
      }
    }
    return type.build();
  }

  /** A layer of its own calls its evaluation {@code infer}. */
  private String method(Program program) {
    boolean infer = program == Program.EVALUATE && !(plan.spec() instanceof ModelSpec);
    return infer ? "infer" : program.title().toLowerCase(Locale.ROOT);
  }

  /** Class names of the layers by field; where they differ only in case, with an underscore. */
  private Map<String, ClassName> layerClasses(ProgramPlan program) {
    Map<String, ClassName> classes = new LinkedHashMap<>();
    Set<String> taken = new HashSet<>();
    for (LayerPlan layer : program.layers()) {
      String simple = program.program().title() + Literals.capitalised(field(layer));
      while (!taken.add(simple.toLowerCase(Locale.ROOT))) {
        simple += "_";
      }
      classes.put(field(layer), self.nestedClass(simple));
    }
    return classes;
  }

  /** A layer's field in its program; a layer of its own has no name. */
  final String field(LayerPlan layer) {
    String name = layer.name().isEmpty() ? "layer" : layer.name();
    if (!taken.contains(name)) {
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

  final MethodSpec sizes(String method, String doc, ToLongFunction<ProgramPlan> words) {
    CodeBlock.Builder body = CodeBlock.builder().add("return switch (program) {\n$>");
    for (ProgramPlan program : plan.programs()) {
      body.add(
          "case $L -> $L;\n", program.program(), Literals.longInteger(words.applyAsLong(program)));
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

  private TypeSpec program(ProgramPlan program, Map<String, ClassName> layers) {
    Program kind = program.program();
    TypeSpec.Builder type =
        TypeSpec.classBuilder(kind.title())
            .addJavadoc(
                "The program for $L: at most $L $L in a call.\n",
                kind.activity(),
                program.tokens(),
                program.tokens() == 1 ? "token" : "tokens")
            .addModifiers(STATIC, FINAL)
            .addSuperinterface(device.program());
    MethodSpec.Builder constructor =
        MethodSpec.constructorBuilder().addParameter(device.context(), "context");
    layers.forEach(
        (field, name) -> {
          type.addField(FieldSpec.builder(name, field).addModifiers(PRIVATE, FINAL).build());
          constructor.addStatement("$N = new $T(context)", field, name);
        });
    boolean optimized = kind == Program.TRAIN && plan.spec().optimizer() != Optimizer.NONE;
    if (optimized) {
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
    if (optimized) {
      type.addMethod(step("norm").addStatement("optimizer.norm($N)", device.runName()).build());
      type.addMethod(step("update").addStatement("optimizer.update($N)", device.runName()).build());
    }
    List<ClassName> parts = new ArrayList<>(layers.values());
    if (optimized) {
      parts.add(self.nestedClass(kind.title()).nestedClass("Update"));
    }
    phases(type, parts);
    List<LayerPlan> gated = forward.stream().filter(l -> l.balance().isPresent()).toList();
    if (!gated.isEmpty()) {
      type.addMethod(balances(gated));
    }
    List<LayerPlan> routed = forward.stream().filter(l -> l.routing().isPresent()).toList();
    if (!routed.isEmpty()) {
      type.addMethod(routings(routed));
    }
    if (kind == Program.GENERATE) {
      type.addMethod(probabilities(forward.get(forward.size() - 1)));
    }
    return type.build();
  }

  final MethodSpec.Builder step(String method) {
    return MethodSpec.methodBuilder(method)
        .addAnnotation(Override.class)
        .addModifiers(PUBLIC)
        .addParameter(device.run(), device.runName());
  }

  private MethodSpec each(String method, List<LayerPlan> layers) {
    MethodSpec.Builder step = step(method);
    for (LayerPlan layer : layers) {
      step.addStatement("$N.$L($N)", field(layer), method, device.runName());
    }
    return step.build();
  }
}
