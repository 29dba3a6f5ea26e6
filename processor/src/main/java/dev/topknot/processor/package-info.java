/** The annotation processor: reads a spec, checks it, plans it, and writes its code. */
package dev.topknot.processor;
