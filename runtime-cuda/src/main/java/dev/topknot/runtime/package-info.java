/** What users touch: devices, tensors, layers, models, and what a step reports. */
package dev.topknot.runtime;
