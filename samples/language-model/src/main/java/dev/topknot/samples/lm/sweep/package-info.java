/**
 * The models that the sweeps of [S17] figure 2 and table 6 train, a table of them for each scale.
 */
package dev.topknot.samples.lm.sweep;
