/** Text for language models: corpora, vocabularies, batches, and a trainer. */
package dev.topknot.text;
