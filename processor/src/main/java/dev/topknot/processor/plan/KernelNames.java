package dev.topknot.processor.plan;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * What the CUDA source of a plan calls its operations and their constants. Equal operations share
 * their kernels; the operations of a layer share a struct of constants.
 */
public final class KernelNames {
  private static final Pattern WORD = Pattern.compile("_*([a-zA-Z0-9])([a-zA-Z0-9]*)_*");

  private final Map<Op, String> prefixes = new LinkedHashMap<>();
  private final Map<Op, Struct> structs = new LinkedHashMap<>();
  private final Set<String> taken = new HashSet<>();

  /** Names the operations of all programs. */
  public KernelNames(Plan plan) {
    Map<Group, List<Op>> groups = new LinkedHashMap<>();
    for (ProgramPlan program : plan.programs()) {
      boolean generate = program.program() == Program.GENERATE;
      for (Call call : DeviceCalls.all(plan, program)) {
        Op op = call.op();
        if (!prefixes.containsKey(op)) {
          Group group = new Group(op.layer(), op instanceof OptimizerOp, generate);
          groups.computeIfAbsent(group, it -> new ArrayList<>()).add(op);
          prefixes.put(op, unique(group.prefix() + operation(op)));
        }
      }
    }
    Map<Group, Struct> shared = new LinkedHashMap<>();
    groups.forEach(
        (group, ops) -> {
          Optional<Struct> base = Optional.ofNullable(shared.get(group.trained()));
          Struct struct =
              new Struct(unique(camel(group.struct())), group.generate, base, agreed(ops));
          shared.put(group, struct);
          ops.forEach(op -> structs.put(op, struct(op, struct)));
        });
  }

  /** The names for a plan that runs on a GPU. */
  public static Optional<KernelNames> of(Plan plan) {
    return DeviceCalls.complete(plan) ? Optional.of(new KernelNames(plan)) : Optional.empty();
  }

  /**
   * Constants under a name.
   *
   * @param generate whether they are those of generation
   * @param base whose constants it has too, where it has no others
   * @param constants all that were asked of it, some of them perhaps the base's
   */
  public record Struct(
      String name, boolean generate, Optional<Struct> base, List<Constant> constants) {
    /** Copies the list. */
    public Struct {
      constants = List.copyOf(constants);
    }

    /** The constants that it does not have from its base. */
    public List<Constant> own() {
      List<Constant> own = new ArrayList<>(constants);
      base.ifPresent(it -> own.removeAll(it.constants));
      return own;
    }
  }

  /** Operations whose constants belong together: a layer, for one token or for many. */
  private record Group(String layer, boolean optimizer, boolean generate) {
    Group trained() {
      return new Group(layer, optimizer, false);
    }

    String prefix() {
      return (generate ? "generate_" : "") + (layer.isEmpty() ? "" : snake(plain(layer)) + "_");
    }

    /** With a word that no type of the kernels' sources ends in. */
    String struct() {
      return prefix() + (optimizer ? "parameters" : "layer");
    }
  }

  /** The structs of constants with the operations that take each, a base before what it is of. */
  public Map<Struct, List<Op>> structs() {
    return structs.keySet().stream()
        .collect(Collectors.groupingBy(structs::get, LinkedHashMap::new, Collectors.toList()));
  }

  /** Each operation, in the order of first use, and what its kernels' names begin with. */
  public Map<Op, String> prefixes() {
    return Collections.unmodifiableMap(prefixes);
  }

  /** The name of a kernel of an operation: {@code below_lstm_forward_step}. */
  public String kernel(Op op, Kernel kernel) {
    return prefixes.get(op) + "_" + kernel.name();
  }

  /** The constants of operations, less those of an operation that contradicts one before it. */
  private static List<Constant> agreed(List<Op> ops) {
    Map<String, Constant> agreed = new LinkedHashMap<>();
    for (Op op : ops) {
      if (op.traits().stream().allMatch(it -> agreed.getOrDefault(it.name(), it).equals(it))) {
        op.traits().forEach(it -> agreed.put(it.name(), it));
      }
    }
    return new ArrayList<>(agreed.values());
  }

  /** The struct of its layer, or one of its own where that has other values. */
  private Struct struct(Op op, Struct layer) {
    return layer.constants.containsAll(op.traits())
        ? layer
        : new Struct(
            unique(camel(prefixes.get(op))), layer.generate, Optional.of(layer), op.traits());
  }

  private static String operation(Op op) {
    return op.template().substring("TOPKNOT_".length()).toLowerCase(Locale.ROOT);
  }

  private String unique(String name) {
    String unique = name;
    for (int i = 2; !taken.add(unique); i++) {
      unique = name + "_" + i;
    }
    return unique;
  }

  private static String camel(String words) {
    String camel =
        WORD.matcher(words)
            .replaceAll(word -> word.group(1).toUpperCase(Locale.ROOT) + word.group(2));
    return Character.isDigit(camel.charAt(0)) ? "L" + camel : camel;
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

  /** In small letters with underscores. */
  private static String snake(String name) {
    return name.replaceAll("(?<=[a-z0-9])(?=[A-Z])", "_").toLowerCase(Locale.ROOT);
  }
}
