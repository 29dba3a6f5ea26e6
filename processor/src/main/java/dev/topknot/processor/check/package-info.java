/** The rules: what can be wrong with a declaration, each in a method of its own. */
package dev.topknot.processor.check;
