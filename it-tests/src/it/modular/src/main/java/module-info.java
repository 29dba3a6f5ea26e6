/** A user's module. */
module demo {
  requires dev.topknot.runtime;

  exports demo;
}
