/** What Topknot's generated code runs on, and what users of it call. */
@SuppressWarnings("requires-automatic") // JCuda has no module descriptor
module dev.topknot.runtime {
  exports dev.topknot.runtime;
  exports dev.topknot.runtime.cpu;
  exports dev.topknot.runtime.cuda;
  exports dev.topknot.runtime.program;
  exports dev.topknot.text;

  requires transitive dev.topknot.dsl;
  requires com.fasterxml.jackson.core;
  requires com.sun.jna;
  requires jcuda;
  requires org.bytedeco.dnnl;
  requires org.bytedeco.javacpp;
  requires org.slf4j;

  // Nothing else would resolve the modules that hold the native libraries.
  requires org.bytedeco.dnnl.linux.x86_64;
  requires org.bytedeco.javacpp.linux.x86_64;
  requires org.bytedeco.opencl.linux.x86_64;
}
