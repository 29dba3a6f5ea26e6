/** What is checked and measured on a GPU by {@code it-tests/gpu/run}, and how that is tested. */
package dev.topknot.it.gpu;
