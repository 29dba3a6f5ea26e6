package dev.topknot.processor.plan;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/** What the operations of a plan are called in its CUDA source; equal ones share their kernels. */
public final class KernelNames {
  private static final Pattern WORD = Pattern.compile("_*([a-zA-Z0-9])([a-zA-Z0-9]*)_*");

  private final Map<Op, Instance> instances = new LinkedHashMap<>();
  private final Set<String> taken = new HashSet<>();

  /** Names the operations of all programs. */
  public KernelNames(Plan plan) {
    for (ProgramPlan program : plan.programs()) {
      for (Call call : DeviceCalls.all(plan, program)) {
        Instance instance = instances.computeIfAbsent(call.op(), op -> name(op, program.program()));
        if (!instance.programs.contains(program.program())) {
          instance.programs.add(program.program());
        }
      }
    }
  }

  /**
   * An operation with its shapes.
   *
   * @param struct the name of its constants: {@code BelowLstm}
   * @param prefix of its kernels: {@code below_lstm}
   * @param programs that use it
   */
  public record Instance(String struct, String prefix, List<Program> programs) {}

  /** Each operation, in the order of first use. */
  public Map<Op, Instance> instances() {
    return Collections.unmodifiableMap(instances);
  }

  /** The name of a kernel of an operation: {@code below_lstm_forward_step}. */
  public String kernel(Op op, Kernel kernel) {
    return instances.get(op).prefix() + "_" + kernel.name();
  }

  private Instance name(Op op, Program program) {
    String words = op.layer().isEmpty() ? "" : plain(op.layer()) + "_";
    String generate = program == Program.GENERATE ? "generate_" : "";
    String base =
        (generate + snake(words) + op.template().substring("TOPKNOT_".length()))
            .toLowerCase(Locale.ROOT);
    String prefix = base;
    for (int i = 2; !taken.add(prefix); i++) {
      prefix = base + "_" + i;
    }
    String struct =
        WORD.matcher(prefix)
            .replaceAll(word -> word.group(1).toUpperCase(Locale.ROOT) + word.group(2));
    // Names may differ in underscores only, which a struct's name lacks.
    if (Character.isDigit(struct.charAt(0))) {
      struct = "L" + struct;
    }
    String unique = struct;
    for (int i = 2; !taken.add(unique); i++) {
      unique = struct + "_" + i;
    }
    return new Instance(unique, prefix, new ArrayList<>());
  }

  /** Letters and digits that every C++ compiler knows, a number for others; never a first digit. */
  private static String plain(String name) {
    StringBuilder plain = new StringBuilder();
    name.codePoints()
        .forEach(
            c -> {
              if (c == '_' || (c < 128 && Character.isLetterOrDigit(c))) {
                plain.appendCodePoint(c);
              } else {
                plain.append("u").append(Integer.toHexString(c));
              }
            });
    return plain.toString();
  }

  private static String snake(String name) {
    return name.replaceAll("(?<=[a-z0-9])(?=[A-Z])", "_");
  }
}
