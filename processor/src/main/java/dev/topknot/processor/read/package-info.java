/** From the compiler's elements to declarations, each value with its position in the source. */
package dev.topknot.processor.read;
