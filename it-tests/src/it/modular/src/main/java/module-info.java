/** A user's module. */
module demo {
  requires transitive dev.topknot.runtime; // Experts is a MoE

  exports demo;
}
