/** The Java writer: the entry class of a spec and its CPU programs. The only user of JavaPoet. */
package dev.topknot.processor.write.java;
