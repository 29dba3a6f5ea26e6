/** The command line that trains, evaluates and samples a language model. */
package dev.topknot.samples.lm;
