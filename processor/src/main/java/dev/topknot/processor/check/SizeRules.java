package dev.topknot.processor.check;

import dev.topknot.dsl.Gating;
import dev.topknot.processor.diagnostic.Findings;
import dev.topknot.processor.diagnostic.Problem;
import dev.topknot.processor.model.Declaration;
import dev.topknot.processor.model.Mark;
import dev.topknot.processor.model.Site;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import java.util.stream.Stream;

/** Which sizes are possible, alone and multiplied. */
final class SizeRules {
  /** Rows of a matrix, and what is numbered like them, are counted in 32 bits. */
  private static final BigInteger ROWS = BigInteger.valueOf(Integer.MAX_VALUE);

  /** Floats that 47 bits, the addresses of a process, reach. */
  private static final BigInteger FLOATS = BigInteger.ONE.shiftLeft(45);

  private static final Map<String, List<String>> SIZES =
      Map.of(
          "MoEModel", List.of("batch", "timesteps"),
          "MoELayer", List.of("experts", "width", "tokens"),
          "Embedding", List.of("vocabulary", "width"),
          "Lstm", List.of("units", "projection"),
          "Dense", List.of("units"),
          "Softmax", List.of("vocabulary", "samples"),
          "Expert", List.of("count"));

  /** Each is calls of its own in the generated code, whose methods have limits. */
  private static final BigInteger PARTS = BigInteger.valueOf(128);

  private SizeRules() {}

  /** A size that the user wrote. */
  private record Size(String name, long value, Site site) {}

  static void positive(Declaration declaration, Findings findings) {
    for (Size size : written(declaration)) {
      if (size.value() < 1) {
        findings.add(Problem.SIZE_NOT_POSITIVE, size.site(), size.name(), size.value());
      }
    }
  }

  static void notTooLarge(Declaration declaration, Findings findings) {
    List<Size> sizes = written(declaration);
    OptionalLong tokens = Sizes.tokens(declaration);
    declaration
        .mark("MoEModel")
        .filter(mark -> tokens.isPresent())
        .ifPresent(
            mark ->
                sizes.add(
                    new Size("batch x timesteps", tokens.getAsLong(), mark.site("timesteps"))));
    for (Size size : sizes) {
      if (size.value() > Sizes.LARGEST) {
        findings.add(Problem.SIZE_TOO_LARGE, size.site(), size.name(), size.value(), Sizes.LARGEST);
      }
    }
  }

  private static List<Size> written(Declaration declaration) {
    List<Size> sizes = new ArrayList<>();
    Stream.concat(
            declaration.marks().stream(),
            declaration.methods().stream().flatMap(method -> method.marks().stream()))
        .forEach(mark -> sizes.addAll(written(mark)));
    return sizes;
  }

  private static List<Size> written(Mark mark) {
    List<Size> sizes = new ArrayList<>();
    for (String attribute : SIZES.getOrDefault(mark.name(), List.of())) {
      mark.writtenInteger(attribute)
          .ifPresent(value -> sizes.add(new Size(attribute, value, mark.site(attribute))));
    }
    if (mark.name().equals("Expert")) {
      List<Integer> hidden = mark.integers("hidden");
      for (int i = 0; i < hidden.size(); i++) {
        sizes.add(new Size("hidden", hidden.get(i), mark.site("hidden", i)));
      }
    }
    return sizes;
  }

  static void present(Declaration declaration, Findings findings) {
    if (!declaration.isLayer()) {
      return;
    }
    Map<String, String> meanings =
        Map.of("width", "how long a token's vector is", "tokens", "how many tokens come at most");
    for (MoEView moe : MoEView.in(declaration)) {
      for (String attribute : List.of("width", "tokens")) {
        if (!moe.layer().wrote(attribute)) {
          findings.add(
              Problem.SIZE_MISSING,
              moe.layer().site(),
              attribute,
              moe.name(),
              meanings.get(attribute));
        }
      }
    }
  }

  static void productsOfLayers(Declaration declaration, Findings findings) {
    for (MoEView moe : MoEView.in(declaration)) {
      long tokens = moe.tokens().orElse(1);
      long width = moe.width().orElse(1);
      long experts = moe.experts().orElse(1);
      long k = (long) moe.k().orElse(1) * moe.groupsOfToken().orElse(1);
      long largest = widest(moe.kinds().stream());
      if (!LongStream.of(tokens, width, experts, k, largest).allMatch(Sizes::valid)
          || k > experts) {
        continue;
      }
      Product product = new Product(moe.layer().site(), findings);
      product.check(
          "hidden layers of kinds and shared experts",
          "parts",
          PARTS,
          "generated code has methods for",
          parts(moe));
      product.rows("tokens x k", tokens, k);
      product.rows("tokens x experts", tokens, experts);
      product.rows("experts x width", experts, width);
      for (Mark kind : moe.kinds()) {
        long count = moe.count(kind);
        long widest = widest(Stream.of(kind));
        product.rows("experts x hidden", count, widest);
        product.floats("experts x hidden x width", count, widest, width);
        List<Integer> hidden = kind.integers("hidden");
        for (int i = 1; i < hidden.size(); i++) {
          product.floats("experts x hidden x hidden", count, hidden.get(i - 1), hidden.get(i));
        }
      }
      product.floats("tokens x k x hidden", tokens, k, largest);
      product.floats("tokens x k x width", tokens, k, width);
      long evaluated = moe.layer().writtenInteger("evaluationK").orElse((int) experts);
      if (moe.layer().is("gating", Gating.STRICTLY_BALANCED) && evaluated <= experts) {
        product.floats("tokens x evaluationK x hidden", tokens, evaluated, largest);
        product.floats("tokens x evaluationK x width", tokens, evaluated, width);
      }
    }
  }

  private static long widest(Stream<Mark> kinds) {
    return kinds
        .flatMap(kind -> kind.integers("hidden").stream())
        .mapToLong(Integer::longValue)
        .max()
        .orElse(1);
  }

  /** Layers of each kind, of shared experts each, that have calls of their own. */
  private static long parts(MoEView moe) {
    return moe.kinds().stream()
        .mapToLong(
            kind ->
                (kind.integers("hidden").size() + 1L) * (kind.flag("shared") ? moe.count(kind) : 1))
        .sum();
  }

  static void productsOfModels(Declaration declaration, Findings findings) {
    OptionalLong tokens = Sizes.tokens(declaration);
    for (LayerView layer : LayerView.in(declaration)) {
      for (Mark mark : LayerView.annotations(layer.method())) {
        Product product = new Product(mark.site(), findings);
        long in = size(layer.in());
        long t = tokens.isPresent() && Sizes.valid(tokens.getAsLong()) ? tokens.getAsLong() : 1;
        long vocabulary = size(mark.integer("vocabulary"));
        long units = size(mark.integer("units"));
        switch (mark.name()) {
          case "Embedding" ->
              product.floats("vocabulary x width", vocabulary, size(mark.integer("width")));
          case "Lstm" -> {
            OptionalInt projection = mark.writtenInteger("projection");
            long out = projection.isPresent() ? size(projection) : units;
            product.floats(
                "4 x units x (width + %s)"
                    .formatted(projection.isPresent() ? "projection" : "units"),
                4,
                units,
                in + out);
            product.floats("tokens x 4 x units", t, 4, units);
          }
          case "Dense" -> product.floats("units x width", units, in);
          case "Softmax" -> {
            product.rows("tokens x vocabulary", t, vocabulary);
            product.floats("vocabulary x width", vocabulary, in);
          }
          default -> {}
        }
      }
    }
  }

  /** A size for a product: one that is unknown or wrong, and reported elsewhere, counts as 1. */
  private static long size(OptionalInt size) {
    return size.isPresent() && Sizes.valid(size.getAsInt()) ? size.getAsInt() : 1;
  }

  /** Reports products that are too large, on one place. */
  private record Product(Site site, Findings findings) {
    void rows(String formula, long... factors) {
      check(formula, "rows", ROWS, "32-bit row numbers count", factors);
    }

    void floats(String formula, long... factors) {
      check(formula, "floats", FLOATS, "the addresses of a process reach", factors);
    }

    private void check(
        String formula, String unit, BigInteger limit, String reason, long... factors) {
      BigInteger product =
          LongStream.of(factors)
              .mapToObj(BigInteger::valueOf)
              .reduce(BigInteger.ONE, BigInteger::multiply);
      if (product.compareTo(limit) > 0) {
        String numbers =
            LongStream.of(factors).mapToObj(Long::toString).collect(Collectors.joining(" x "));
        findings.add(
            Problem.PRODUCT_TOO_LARGE, site, formula, numbers, product, unit, limit, reason);
      }
    }
  }
}
