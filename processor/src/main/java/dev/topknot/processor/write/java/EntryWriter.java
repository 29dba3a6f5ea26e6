package dev.topknot.processor.write.java;

import static javax.lang.model.element.Modifier.FINAL;
import static javax.lang.model.element.Modifier.PRIVATE;
import static javax.lang.model.element.Modifier.PUBLIC;
import static javax.lang.model.element.Modifier.STATIC;

import com.palantir.javapoet.ClassName;
import com.palantir.javapoet.CodeBlock;
import com.palantir.javapoet.FieldSpec;
import com.palantir.javapoet.MethodSpec;
import com.palantir.javapoet.ParameterizedTypeName;
import com.palantir.javapoet.TypeName;
import com.palantir.javapoet.TypeSpec;
import dev.topknot.dsl.Optimizer;
import dev.topknot.dsl.Precision;
import dev.topknot.processor.model.LayerKind;
import dev.topknot.processor.model.LayerSpec;
import dev.topknot.processor.model.MoE;
import dev.topknot.processor.model.ModelSpec;
import dev.topknot.processor.model.SpecName;
import dev.topknot.processor.plan.Parameter;
import dev.topknot.processor.plan.Plan;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/**
 * Writes the way in:
 *
 * <pre>{@code
 * public final class TopknotNewsModel extends ForwardingLanguageModel implements NewsModel {
 *   public static final int BATCH = 32;
 *   private static final Layout LAYOUT = Layout.of("NewsModel", List.of(new Layout.Entry(...), ...));
 *
 *   public static NewsModel on(Device device, long seed, Options options) {
 *     return new TopknotNewsModel(
 *         ModelInstance.open(device, new ModelShape(...), LAYOUT, options, seed, TopknotNewsModelCpu::new));
 *   }
 *
 *   public NewsExperts experts() {
 *     return TopknotNewsExperts.part(moe("experts"));
 *   }
 * }
 * }</pre>
 */
final class EntryWriter {
  /** An entry is about 40 bytes of code; a method may have 8000. */
  private static final int ENTRIES_A_METHOD = 100;

  private final Plan plan;
  private final SpecName name;
  private final ClassName spec;
  private final ClassName entry;
  private final boolean onGpu;
  private final Set<String> inherited;

  /**
   * Writes a plan's entry class.
   *
   * @param onGpu whether there are CUDA programs
   * @param inherited simple names of types within the interface, which hide imports of such names
   */
  EntryWriter(Plan plan, boolean onGpu, Set<String> inherited) {
    this.plan = plan;
    this.onGpu = onGpu;
    this.inherited = inherited;
    this.name = plan.spec().name();
    this.spec = className(name);
    this.entry = ClassName.get(name.packageName(), name.entry());
  }

  static ClassName className(SpecName name) {
    List<String> simple = name.simpleNames();
    return ClassName.get(
        name.packageName(), simple.get(0), simple.subList(1, simple.size()).toArray(String[]::new));
  }

  TypeSpec write() {
    TypeSpec.Builder type = TypeSpec.classBuilder(entry).addModifiers(FINAL);
    if (plan.spec().isPublic()) {
      type.addModifiers(PUBLIC);
    }
    type.addSuperinterface(spec);
    type.alwaysQualify(inherited.toArray(String[]::new));
    if (inherited.contains(RuntimeNames.LAYOUT.simpleName())) {
      type.alwaysQualify(RuntimeNames.LAYOUT_ENTRY.simpleName());
    }
    if (plan.spec() instanceof ModelSpec model) {
      model(model, type);
    } else {
      layer((LayerSpec) plan.spec(), type);
    }
    return type.build();
  }

  private void model(ModelSpec model, TypeSpec.Builder type) {
    type.superclass(RuntimeNames.FORWARDING_LANGUAGE_MODEL);
    type.addJavadoc(
        "{@link $T}, compiled: $L layers, $L parameters.\n",
        spec,
        model.layers().size(),
        plan.parameterCount());
    int vocabulary = 0;
    for (ModelSpec.Layer layer : model.layers()) {
      if (layer.kind() instanceof LayerKind.Softmax softmax) {
        vocabulary = softmax.vocabulary();
      }
    }
    constant(type, "BATCH", model.batch(), "Sequences that are trained side by side.");
    constant(type, "TIMESTEPS", model.timesteps(), "Time steps between two cuts of the gradient.");
    constant(type, "TOKENS", model.tokens(), "Tokens in a batch.");
    constant(type, "VOCABULARY", vocabulary, "Different tokens.");
    counts(type);
    layout(type);
    constructor(type, RuntimeNames.LANGUAGE_MODEL);
    CodeBlock shape =
        CodeBlock.of(
            "new $T(BATCH, TIMESTEPS, VOCABULARY, $T.$L, $T.$L)",
            RuntimeNames.MODEL_SHAPE,
            Optimizer.class,
            model.optimizer(),
            Precision.class,
            model.precision());
    factories(type, RuntimeNames.MODEL_INSTANCE, shape);
    for (ModelSpec.Layer layer : model.layers()) {
      type.addMethod(handle(layer));
    }
    type.addMethod(inference());
  }

  private MethodSpec inference() {
    return MethodSpec.methodBuilder("inference")
        .addAnnotation(Override.class)
        .addModifiers(PUBLIC)
        .returns(spec)
        .addStatement("return new $T(delegate().inference())", entry)
        .build();
  }

  private void layer(LayerSpec layer, TypeSpec.Builder type) {
    MoE moe = layer.moe();
    type.superclass(RuntimeNames.FORWARDING_MOE);
    type.addJavadoc(
        "{@link $T}, compiled: $L $L, $L parameters.\n",
        spec,
        moe.experts(),
        moe.experts() == 1 ? "expert" : "experts",
        plan.parameterCount());
    constant(type, "EXPERTS", moe.experts(), "Experts, n.");
    constant(
        type,
        "K",
        moe.k(),
        moe.balanced()
            ? "Experts that a token is sent to in training, on average."
            : "Experts that each token is sent to.");
    constant(type, "WIDTH", layer.width(), "Length of a token's vector, d.");
    constant(type, "TOKENS", layer.tokens(), "Most tokens in one call, T.");
    if (moe.kinds().size() == 1 && !moe.kinds().get(0).deep()) {
      constant(type, "HIDDEN", moe.kinds().get(0).width(), "Hidden units of an expert, h.");
    }
    counts(type);
    layout(type);
    constructor(type, RuntimeNames.MOE);
    CodeBlock shape =
        CodeBlock.of(
            "new $T(TOKENS, WIDTH, EXPERTS, K, $T.$L, $T.$L)",
            RuntimeNames.MOE_SHAPE,
            Optimizer.class,
            layer.optimizer(),
            Precision.class,
            layer.precision());
    factories(type, RuntimeNames.MOE_INSTANCE, shape);
    type.addMethod(
        MethodSpec.methodBuilder("part")
            .addJavadoc(PART_DOC)
            .addModifiers(PUBLIC, STATIC)
            .returns(spec)
            .addParameter(RuntimeNames.MOE, "layer")
            .addStatement("return new $T(layer)", entry)
            .build());
    type.addMethod(inference());
  }

  private void counts(TypeSpec.Builder type) {
    type.addField(
        FieldSpec.builder(long.class, "PARAMETERS", PUBLIC, STATIC, FINAL)
            .addJavadoc("Parameters, all of them.\n")
            .initializer(Literals.longInteger(plan.parameterCount()))
            .build());
  }

  private static void constant(TypeSpec.Builder type, String name, long value, String doc) {
    type.addField(
        FieldSpec.builder(int.class, name, PUBLIC, STATIC, FINAL)
            .addJavadoc("$L\n", doc)
            .initializer(Literals.integer(value))
            .build());
  }

  /** The table of parameters, in as many methods as the limit on a method's size asks for. */
  private void layout(TypeSpec.Builder type) {
    List<Parameter> parameters = plan.parameters();
    TypeName list = ParameterizedTypeName.get(ClassName.get(List.class), RuntimeNames.LAYOUT_ENTRY);
    CodeBlock entries;
    if (parameters.size() <= ENTRIES_A_METHOD) {
      entries = entries(parameters);
    } else {
      List<CodeBlock> parts = new ArrayList<>();
      for (int from = 0; from < parameters.size(); from += ENTRIES_A_METHOD) {
        int to = Math.min(from + ENTRIES_A_METHOD, parameters.size());
        String method = "layout$" + from / ENTRIES_A_METHOD; // no user's method has such a name
        type.addMethod(
            MethodSpec.methodBuilder(method)
                .addModifiers(PRIVATE, STATIC)
                .returns(list)
                .addStatement("return $L", entries(parameters.subList(from, to)))
                .build());
        parts.add(CodeBlock.of("$L()", method));
      }
      entries =
          CodeBlock.of(
              "$T.of($L).flatMap($T::stream).toList()",
              java.util.stream.Stream.class,
              CodeBlock.join(parts, ", "),
              List.class);
    }
    type.addField(
        FieldSpec.builder(RuntimeNames.LAYOUT, "LAYOUT", PRIVATE, STATIC, FINAL)
            .initializer(
                "$>$>\n$T.of(\n$>$>$S,\n$L)$<$<$<$<", RuntimeNames.LAYOUT, name.nested(), entries)
            .build());
  }

  private static CodeBlock entries(List<Parameter> parameters) {
    List<CodeBlock> entries = new ArrayList<>();
    for (Parameter p : parameters) {
      entries.add(
          CodeBlock.of(
              "\nnew $T($S, $S, $L, $L, $L, $L, $T.$L, $L$L)",
              RuntimeNames.LAYOUT_ENTRY,
              p.layer(),
              p.name(),
              Literals.integer(p.copies()),
              Literals.longInteger(p.rows()),
              Literals.longInteger(p.columns()),
              Literals.longInteger(p.offset()),
              RuntimeNames.INIT,
              p.init(),
              p.streamLayer(),
              p.init() == Parameter.Init.CONSTANT ? ", " + p.constant() : ""));
    }
    return CodeBlock.of("$T.of($>$>$L)$<$<", List.class, CodeBlock.join(entries, ","));
  }

  private static void constructor(TypeSpec.Builder type, ClassName delegate) {
    type.addMethod(
        MethodSpec.constructorBuilder()
            .addModifiers(PRIVATE)
            .addParameter(delegate, "delegate")
            .addStatement("super(delegate)")
            .build());
  }

  private void factories(TypeSpec.Builder type, ClassName instance, CodeBlock shape) {
    type.addMethod(
        factory("Makes an instance with seed 0 and the annotated rates.", "")
            .addStatement("return on(device, 0L)")
            .build());
    type.addMethod(
        factory("Makes an instance with the annotated rates.", SEED_DOC)
            .addParameter(long.class, "seed")
            .addStatement("return on(device, seed, $T.defaults())", RuntimeNames.OPTIONS)
            .build());
    type.addMethod(
        factory("Makes an instance.", SEED_DOC + OPTIONS_DOC)
            .addParameter(long.class, "seed")
            .addParameter(RuntimeNames.OPTIONS, "options")
            .addStatement(
                "return new $T(\n$T.open(\n$>$>device,\n$L,\nLAYOUT,\noptions,\nseed,\n$L))$<$<",
                entry,
                instance,
                shape,
                programs())
            .build());
  }

  /** What makes the programs of each device. */
  private CodeBlock programs() {
    CodeBlock cpu = CodeBlock.of("$T::new", ClassName.get(name.packageName(), name.cpu()));
    return onGpu
        ? CodeBlock.of("$L,\n$T::new", cpu, ClassName.get(name.packageName(), name.cuda()))
        : cpu;
  }

  private static final String PART_DOC =
      """
      The layer as a part of a model.

      @param layer the model's handle
      @return the same handle, as the layer's own type
      """;
  private static final String SEED_DOC =
      "@param seed of the initial parameters, the noise and the dropout\n";
  private static final String OPTIONS_DOC = "@param options what overrides the annotated rates\n";

  private MethodSpec.Builder factory(String summary, String parameters) {
    return MethodSpec.methodBuilder("on")
        .addJavadoc(
            "$L\n\n@param device where it runs\n$L@return the instance, to be closed after use\n",
            summary,
            parameters)
        .addModifiers(PUBLIC, STATIC)
        .returns(spec)
        .addParameter(RuntimeNames.DEVICE, "device");
  }

  /** The method of a layer gives its handle. */
  private static MethodSpec handle(ModelSpec.Layer layer) {
    MethodSpec.Builder method =
        MethodSpec.methodBuilder(layer.name()).addAnnotation(Override.class).addModifiers(PUBLIC);
    if (!(layer.kind() instanceof LayerKind.Experts experts)) {
      return method
          .returns(RuntimeNames.LAYER)
          .addStatement("return layer($S)", layer.name())
          .build();
    }
    if (experts.moe().type().isEmpty()) {
      return method.returns(RuntimeNames.MOE).addStatement("return moe($S)", layer.name()).build();
    }
    SpecName type = experts.moe().type().get();
    return method
        .returns(className(type))
        .addStatement(
            "return $T.part(moe($S))",
            ClassName.get(type.packageName(), type.entry()),
            layer.name())
        .build();
  }
}
