package demo;

/** What has a title; this compiler lists its method beside the one that overrides it. */
public interface Named {
  String title();

  /** Has one. */
  interface Titled extends Named {
    @Override
    default String title() {
      return "experts";
    }
  }
}
