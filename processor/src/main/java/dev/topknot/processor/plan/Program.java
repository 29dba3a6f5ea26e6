package dev.topknot.processor.plan;

/** The programs that one spec compiles to, over the same parameters. */
public enum Program {
  /** Forward, backward and update, with noise and dropout, activations kept. */
  TRAIN("Train", "training"),
  /** Forward only, on as many tokens, nothing kept. */
  EVALUATE("Evaluate", "evaluation"),
  /** One token of a model at a time. */
  GENERATE("Generate", "generation");

  private final String title;
  private final String activity;

  Program(String title, String activity) {
    this.title = title;
    this.activity = activity;
  }

  /** As part of a class name: {@code Train}. */
  public String title() {
    return title;
  }

  /** As a noun: {@code training}. */
  public String activity() {
    return activity;
  }
}
