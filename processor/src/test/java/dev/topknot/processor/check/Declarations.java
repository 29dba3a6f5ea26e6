package dev.topknot.processor.check;

import dev.topknot.processor.model.Declaration;
import dev.topknot.processor.model.Declaration.Method;
import dev.topknot.processor.model.Declaration.MethodTrait;
import dev.topknot.processor.model.Declaration.Role;
import dev.topknot.processor.model.Declaration.Trait;
import dev.topknot.processor.model.Mark;
import dev.topknot.processor.model.Site;
import dev.topknot.processor.model.SpecName;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Declarations for tests of rules, without a compiler. */
final class Declarations {
  private static final Map<String, Map<String, Object>> DEFAULTS =
      Map.of(
          "MoELayer",
          Map.of(
              "gating",
              "NOISY_TOP_K",
              "importanceLoss",
              0.1,
              "loadLoss",
              0.1,
              "noiseFloor",
              0.01,
              "optimizer",
              "ADAM",
              "precision",
              "FP32"),
          "MoEModel",
          Map.of("optimizer", "ADAM", "precision", "FP32"),
          "Expert",
          Map.of("activation", "RELU"),
          "Dense",
          Map.of("activation", "IDENTITY"));

  private Declarations() {}

  /** An annotation: names and values in turn. */
  static Mark mark(Site on, String name, Object... attributes) {
    Map<String, Object> values = new HashMap<>(DEFAULTS.getOrDefault(name, Map.of()));
    Set<String> written = new HashSet<>();
    for (int i = 0; i < attributes.length; i += 2) {
      values.put((String) attributes[i], attributes[i + 1]);
      written.add((String) attributes[i]);
    }
    return new Mark(name, on.then("@" + name), values, written, Set.of(), Set.of());
  }

  static SpecName name(String simple) {
    return new SpecName("com.example", List.of(simple));
  }

  /** A layer of its own with experts of 8 hidden units. */
  static Declaration layer(String simple, Object... attributes) {
    Site site = Site.of(name(simple));
    return new Declaration(
        name(simple),
        "interface",
        Set.of(Trait.EXTENDS_MOE, Trait.COMPILED),
        List.of(mark(site, "MoELayer", attributes), mark(site, "Expert", "hidden", List.of(8))),
        List.of());
  }

  /** A model of 8 x 20 tokens, words of width 16 and a vocabulary of 100. */
  static Declaration model(Method... between) {
    Site site = Site.of(name("News"));
    List<Method> methods = new ArrayList<>();
    methods.add(method("words", "Embedding", "vocabulary", 100, "width", 16));
    methods.addAll(List.of(between));
    methods.add(method("next", "Softmax", "vocabulary", 100));
    return new Declaration(
        name("News"),
        "interface",
        Set.of(Trait.EXTENDS_LANGUAGE_MODEL, Trait.SOURCE),
        List.of(mark(site, "MoEModel", "batch", 8, "timesteps", 20)),
        methods);
  }

  /** A layer of a model that returns Layer. */
  static Method method(String name, String annotation, Object... attributes) {
    Site site = Site.of(name("News")).then(name + "()");
    return new Method(
        name,
        name + "()",
        site,
        Set.of(MethodTrait.ABSTRACT),
        "com.example.News",
        "Layer",
        Role.LAYER,
        Optional.empty(),
        Optional.empty(),
        List.of(mark(site, annotation, attributes)));
  }

  /** A layer of a model by its type. */
  static Method method(String name, Declaration type) {
    return new Method(
        name,
        name + "()",
        Site.of(name("News")).then(name + "()"),
        Set.of(MethodTrait.ABSTRACT),
        "com.example.News",
        type.name().nested(),
        Role.MOE_TYPE,
        Optional.of(type),
        Optional.empty(),
        List.of());
  }
}
