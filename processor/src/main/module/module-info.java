/** The annotation processor that compiles Topknot's annotated interfaces. */
module dev.topknot.processor {
  requires dev.topknot.dsl;
  requires java.compiler;
  requires java.logging; // the part of Guava in the jar
  requires static jdk.compiler;

  provides javax.annotation.processing.Processor with
      dev.topknot.processor.TopknotProcessor;
}
