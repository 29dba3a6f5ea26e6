/** What Topknot's generated code runs on, and what users of it call. */
module dev.topknot.runtime {
  requires transitive dev.topknot.dsl;
  requires org.bytedeco.dnnl;
  requires org.bytedeco.javacpp;
  requires org.slf4j;
}
