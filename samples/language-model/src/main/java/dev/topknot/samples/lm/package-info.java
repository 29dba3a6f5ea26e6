/** The command line that trains, compares, evaluates and samples language models. */
package dev.topknot.samples.lm;
