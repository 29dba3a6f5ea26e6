/** The annotations that describe a Mixture-of-Experts layer or a model around it. */
module dev.topknot.dsl {
  exports dev.topknot.dsl;
}
