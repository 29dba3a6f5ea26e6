package dev.topknot.processor.check;

import dev.topknot.processor.model.Declaration;
import dev.topknot.processor.model.Declaration.Method;
import dev.topknot.processor.model.Mark;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;

/**
 * A layer of a model where it stands.
 *
 * @param position its number in the model, from 1
 * @param kind what it is; absent where no annotation or more than one says so
 * @param in the width that comes in, where it is known
 * @param out the width that goes out, where it is known
 */
record LayerView(
    Method method, int position, Optional<Kind> kind, OptionalInt in, OptionalInt out) {
  private static final Set<String> ANNOTATIONS =
      Set.of("Embedding", "Lstm", "Dense", "MoELayer", "Softmax");

  /** What a layer is. */
  enum Kind {
    EMBEDDING,
    LSTM,
    DENSE,
    EXPERTS,
    SOFTMAX
  }

  /** The layers of a model, in order; none where the declaration is no model. */
  static List<LayerView> in(Declaration declaration) {
    List<LayerView> layers = new ArrayList<>();
    OptionalInt width = OptionalInt.empty();
    for (Method method : declaration.layers()) {
      Optional<Kind> kind = kind(method);
      OptionalInt out = kind.isPresent() ? out(method, kind.get(), width) : OptionalInt.empty();
      layers.add(new LayerView(method, layers.size() + 1, kind, width, out));
      width = out;
    }
    return layers;
  }

  /** The annotations of a method that declare layers. */
  static List<Mark> annotations(Method method) {
    return method.marks().stream().filter(mark -> ANNOTATIONS.contains(mark.name())).toList();
  }

  private static Optional<Kind> kind(Method method) {
    List<Mark> annotations = annotations(method);
    if (method.layer().isPresent()) {
      return Optional.of(Kind.EXPERTS).filter(kind -> annotations.isEmpty());
    }
    return annotations.size() != 1
        ? Optional.empty()
        : Optional.of(
            switch (annotations.get(0).name()) {
              case "Embedding" -> Kind.EMBEDDING;
              case "Lstm" -> Kind.LSTM;
              case "Dense" -> Kind.DENSE;
              case "MoELayer" -> Kind.EXPERTS;
              default -> Kind.SOFTMAX;
            });
  }

  private static OptionalInt out(Method method, Kind kind, OptionalInt in) {
    return switch (kind) {
      case EMBEDDING -> integer(method, "Embedding", "width");
      case LSTM -> {
        OptionalInt projection =
            method
                .mark("Lstm")
                .map(mark -> mark.writtenInteger("projection"))
                .orElse(OptionalInt.empty());
        yield projection.isPresent() ? projection : integer(method, "Lstm", "units");
      }
      case DENSE -> integer(method, "Dense", "units");
      case SOFTMAX -> OptionalInt.empty();
      case EXPERTS -> {
        OptionalInt own = experts(method, "width");
        if (own.isEmpty() || in.isEmpty()) {
          yield own.isPresent() ? own : in;
        }
        // Where the two differ, one complaint is enough.
        yield own.equals(in) ? own : OptionalInt.empty();
      }
    };
  }

  private static OptionalInt integer(Method method, String annotation, String attribute) {
    return method.mark(annotation).map(mark -> mark.integer(attribute)).orElse(OptionalInt.empty());
  }

  /** An attribute of a layer's {@code @MoELayer}, on the method or on the type it returns. */
  private static OptionalInt experts(Method method, String attribute) {
    return method
        .mark("MoELayer")
        .or(() -> method.layer().flatMap(type -> type.mark("MoELayer")))
        .map(mark -> mark.writtenInteger(attribute))
        .orElse(OptionalInt.empty());
  }

  boolean is(Kind expected) {
    return kind.filter(expected::equals).isPresent();
  }

  /** The method as users write it: {@code below()}. */
  String name() {
    return method.signature();
  }

  /** The width that an experts layer says itself. */
  OptionalInt ownWidth() {
    return experts(method, "width");
  }

  /** The number of tokens that an experts layer says itself. */
  OptionalInt ownTokens() {
    return experts(method, "tokens");
  }
}
