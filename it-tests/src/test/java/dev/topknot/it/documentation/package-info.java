/** Compiles and runs what the documentation shows. */
package dev.topknot.it.documentation;
