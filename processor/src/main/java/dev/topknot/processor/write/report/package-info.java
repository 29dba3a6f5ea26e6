/** The report of a spec: parameters, memory, steps and their cost, as Markdown. */
package dev.topknot.processor.write.report;
