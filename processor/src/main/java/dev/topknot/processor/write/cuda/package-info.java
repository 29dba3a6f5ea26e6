/** Writes the kernels of a plan: their names, and the text of {@code X.cu}. */
package dev.topknot.processor.write.cuda;
