/**
 * The Topknot annotations: what fixes a shape, a buffer or a kernel of a Mixture-of-Experts model.
 *
 * <p>Sources: [S17] is Shazeer et al., "Outrageously Large Neural Networks: The Sparsely-Gated
 * Mixture-of-Experts Layer", ICLR 2017.
 */
package dev.topknot.dsl;
