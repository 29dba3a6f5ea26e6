/**
 * The CPU's operations and the generated code against the double-precision reference, at awkward
 * sizes. Selection is compared first; everything else with the reference run on the device's own
 * selection. Outputs are full of NaN before each run, so that what was not written shows.
 */
package dev.topknot.it.numerics;
