package dev.topknot.processor.write.java;

import com.palantir.javapoet.CodeBlock;
import com.palantir.javapoet.MethodSpec;
import dev.topknot.processor.plan.Argument;
import dev.topknot.processor.plan.Buffer;
import dev.topknot.processor.plan.Call;
import dev.topknot.processor.plan.CallScratch;
import dev.topknot.processor.plan.Kernel;
import dev.topknot.processor.plan.KernelLoop;
import dev.topknot.processor.plan.KernelNames;
import dev.topknot.processor.plan.Region;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** Writes the launches of calls, and the fields of their scratch memory. */
final class LaunchWriter {
  private final KernelNames names;
  private final Map<String, Long> scratch;
  private final Function<Buffer, CodeBlock> value;

  /**
   * Prepares the launches of one class.
   *
   * @param scratch the class's fields, see {@link #scratch}
   * @param value of an operand
   */
  LaunchWriter(KernelNames names, Map<String, Long> scratch, Function<Buffer, CodeBlock> value) {
    this.names = names;
    this.scratch = scratch;
    this.value = value;
  }

  /** The fields for the scratch memory of some calls, with their offsets in elements. */
  static Map<String, Long> scratch(List<Call> calls, Collection<String> taken) {
    Map<String, Long> fields = new LinkedHashMap<>();
    for (Call call : calls) {
      CallScratch.of(call.kernels())
          .offsets()
          .forEach(
              (name, offset) -> {
                String field = field(name, offset);
                while (taken.contains(field)) {
                  field += "_";
                }
                fields.put(field, offset);
              });
    }
    return fields;
  }

  /** The same name may lie elsewhere in another call. */
  private static String field(String name, long offset) {
    return name + "Scratch" + (offset == 0 ? "" : offset);
  }

  /** The method of the context that gives a region. */
  static String arena(Region region) {
    return switch (region) {
      case PARAMETERS -> "parameters";
      case GRADIENTS -> "gradients";
      case FIRST_MOMENTS -> "firstMoments";
      case SECOND_MOMENTS -> "secondMoments";
      case ROW_MEANS -> "rowMeans";
      case COLUMN_MEANS -> "columnMeans";
      case WORKSPACE -> "workspace";
      case STATE -> "state";
      case CALL -> throw new IllegalArgumentException("handed in with each call");
    };
  }

  /** Sets a field in a constructor. */
  static void address(MethodSpec.Builder constructor, String field, String arena, long offset) {
    constructor.addStatement(
        "$N = context.$L().at($L)", field, arena, Literals.longInteger(offset));
  }

  /** Adds the launches of a call. */
  void add(MethodSpec.Builder body, Call call) {
    Map<String, Long> offsets = CallScratch.of(call.kernels()).offsets();
    for (KernelLoop loop : KernelLoop.of(call.kernels())) {
      if (loop.times() > 1) {
        body.beginControlFlow("$L", loop(loop));
      }
      for (Kernel kernel : loop.kernels()) {
        CodeBlock.Builder line =
            CodeBlock.builder()
                .add(
                    "launches.launch($S,$W$L,$W$L,$W$L,$W$L,$W$L",
                    names.kernel(call.op(), kernel),
                    Literals.integer(kernel.grid().x()),
                    Literals.integer(kernel.grid().y()),
                    Literals.integer(kernel.grid().z()),
                    Literals.integer(kernel.threads()),
                    Literals.integer(kernel.sharedBytes()));
        for (Argument argument : kernel.arguments()) {
          line.add(",$W$L", argument(call, argument, loop, offsets));
        }
        body.addStatement("$L)", line.build());
      }
      if (loop.times() > 1) {
        body.endControlFlow();
      }
    }
  }

  private static CodeBlock loop(KernelLoop loop) {
    Argument.Step step = loop.step().orElse(new Argument.Step(0, 1));
    long last = step.first() + (loop.times() - 1) * step.stride();
    if (step.stride() == 1) {
      return CodeBlock.of("for (long step = $L; step <= $L; step++)", step.first(), last);
    }
    if (step.stride() == -1) {
      return CodeBlock.of("for (long step = $L; step >= $L; step--)", step.first(), last);
    }
    return CodeBlock.of(
        "for (long step = $L; step != $L; step += $L)",
        step.first(),
        last + step.stride(),
        step.stride());
  }

  private CodeBlock argument(
      Call call, Argument argument, KernelLoop loop, Map<String, Long> offsets) {
    if (argument instanceof Argument.OperandOfCall operand) {
      CodeBlock start = value.apply(call.operands().get(operand.index()).buffer());
      return operand.from() == 0
          ? start
          : CodeBlock.of(
              "$L + $L", start, Literals.longInteger(operand.from() * Buffer.ELEMENT_BYTES));
    } else if (argument instanceof Argument.Scratch it) {
      String field = field(it.name(), offsets.get(it.name()));
      while (!scratch.containsKey(field)) {
        field += "_";
      }
      return CodeBlock.of("$N", field);
    } else if (argument instanceof Argument.Fixed fixed) {
      return Literals.longInteger(fixed.value());
    } else if (argument instanceof Argument.Step step) {
      return loop.times() > 1 ? CodeBlock.of("step") : Literals.longInteger(step.first());
    } else if (argument instanceof Argument.Slices) {
      return CodeBlock.of("slices");
    } else if (argument instanceof Argument.Matrices) {
      return CodeBlock.of("matrices");
    }
    return argument instanceof Argument.Run
        ? CodeBlock.of("launches.run()")
        : CodeBlock.of("options");
  }
}
