package dev.topknot.processor.write.java;

import static javax.lang.model.element.Modifier.STATIC;

import com.palantir.javapoet.ClassName;
import com.palantir.javapoet.CodeBlock;
import com.palantir.javapoet.MethodSpec;
import com.palantir.javapoet.ParameterizedTypeName;
import com.palantir.javapoet.TypeName;
import dev.topknot.processor.plan.Call;
import dev.topknot.processor.plan.Product;
import java.util.ArrayList;
import java.util.List;

/** Writes what the steps of a layer, or of the optimizer, cost: {@code phases()}. */
final class PhaseWriter {
  static final TypeName PHASES =
      ParameterizedTypeName.get(ClassName.get(List.class), RuntimeNames.PHASE);

  private final List<CodeBlock> phases = new ArrayList<>();

  /** Adds a call, the step of this number in its program. */
  void add(int step, Call call) {
    phases.add(phase(step, call));
  }

  MethodSpec method() {
    return MethodSpec.methodBuilder("phases")
        .addModifiers(STATIC)
        .returns(PHASES)
        .addCode("return $T.of(\n$>$>$L);\n$<$<", List.class, CodeBlock.join(phases, ",\n"))
        .build();
  }

  private static CodeBlock phase(int step, Call call) {
    CodeBlock.Builder phase =
        CodeBlock.builder()
            .add(
                "new $T($L, $S, $S, $L",
                RuntimeNames.PHASE,
                step,
                call.op().layer(),
                call.op().type() + "." + call.method(),
                Literals.longInteger(call.traffic()));
    for (Product product : call.op().products(call.method())) {
      phase.add(
          ",\n$>$>$T.$L($L, $L, $L, $L)$<$<",
          RuntimeNames.PRODUCT,
          factory(product.kind()),
          Literals.longInteger(product.rows()),
          Literals.longInteger(product.groups()),
          Literals.longInteger(product.inputs()),
          Literals.longInteger(product.outputs()));
    }
    return phase.add(")").build();
  }

  private static String factory(Product.Kind kind) {
    return switch (kind) {
      case FORWARD -> "forward";
      case INPUT_GRADIENT -> "inputGradient";
      case WEIGHT_GRADIENT -> "weightGradient";
    };
  }
}
