/** The annotation processor that compiles Topknot's annotated interfaces. */
module dev.topknot.processor {
  requires java.compiler;
  requires static jdk.compiler;

  provides javax.annotation.processing.Processor with
      dev.topknot.processor.TopknotProcessor;
}
