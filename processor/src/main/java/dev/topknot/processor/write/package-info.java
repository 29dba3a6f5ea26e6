/** The writers: a plan as files. */
package dev.topknot.processor.write;
