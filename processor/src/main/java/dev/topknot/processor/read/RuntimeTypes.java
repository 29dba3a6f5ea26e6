package dev.topknot.processor.read;

/** The runtime's types that declarations mention, by name. */
final class RuntimeTypes {
  /** Where users' types are. */
  static final String PACKAGE = "dev.topknot.runtime";

  /** A handle to a layer of a model. */
  static final String LAYER = PACKAGE + ".Layer";

  /** A Mixture-of-Experts layer. */
  static final String MOE = PACKAGE + ".MoE";

  /** A language model. */
  static final String LANGUAGE_MODEL = PACKAGE + ".LanguageModel";

  /** What generated models extend. */
  static final String FORWARDING_LANGUAGE_MODEL = PACKAGE + ".program.ForwardingLanguageModel";

  private RuntimeTypes() {}
}
