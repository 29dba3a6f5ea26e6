/** The CPU device and its kernels; the only package that uses the BLAS binding. */
package dev.topknot.runtime.cpu;
