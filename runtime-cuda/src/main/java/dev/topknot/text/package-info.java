/**
 * What any language-model project needs: a {@linkplain dev.topknot.text.Corpus corpus} read from
 * files, its {@linkplain dev.topknot.text.Vocabulary vocabulary}, the {@linkplain
 * dev.topknot.text.Batches batches} cut from it, and a {@linkplain dev.topknot.text.Trainer
 * trainer} that saves, resumes and keeps its figures.
 */
package dev.topknot.text;
