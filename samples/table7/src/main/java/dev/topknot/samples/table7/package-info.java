/** The models of [S17] table 7, as annotated interfaces. */
package dev.topknot.samples.table7;
