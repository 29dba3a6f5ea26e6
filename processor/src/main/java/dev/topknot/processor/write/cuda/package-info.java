/** Writes the text of {@code X.cu}: the shapes as constants, and the kernels made of them. */
package dev.topknot.processor.write.cuda;
