package dev.topknot.processor.model;

/** The runtime's packages, and its types that declarations mention, by name. */
public final class RuntimeTypes {
  /** Where users' types are. */
  public static final String PACKAGE = "dev.topknot.runtime";

  /** What generated classes stand on, whatever the device. */
  public static final String PROGRAM = PACKAGE + ".program";

  /** The CPU device. */
  public static final String CPU = PACKAGE + ".cpu";

  /** The CUDA device. */
  public static final String CUDA = PACKAGE + ".cuda";

  /** A handle to a layer of a model. */
  public static final String LAYER = PACKAGE + ".Layer";

  /** A Mixture-of-Experts layer. */
  public static final String MOE = PACKAGE + ".MoE";

  /** A language model. */
  public static final String LANGUAGE_MODEL = PACKAGE + ".LanguageModel";

  /** What generated models extend. */
  public static final String FORWARDING_LANGUAGE_MODEL = PROGRAM + ".ForwardingLanguageModel";

  /** What generated layers extend. */
  public static final String FORWARDING_MOE = PROGRAM + ".ForwardingMoE";

  private RuntimeTypes() {}
}
