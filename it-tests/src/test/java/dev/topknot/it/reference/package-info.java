/**
 * The plain double-precision reference of the project's mathematics: every formula once, written to
 * be read, and compared with golden vectors and finite differences. [S17] is Shazeer et al.,
 * "Outrageously Large Neural Networks", ICLR 2017. Every backend is compared with it.
 */
package dev.topknot.it.reference;
