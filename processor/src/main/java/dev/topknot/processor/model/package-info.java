/** The spec: what a user declared, as plain records without {@code javax.lang.model}. */
package dev.topknot.processor.model;
