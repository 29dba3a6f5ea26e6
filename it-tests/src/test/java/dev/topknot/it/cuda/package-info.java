/**
 * The CUDA target without a GPU: kernels compiled by g++ run on a CPU, one fiber a CUDA thread (see
 * {@code src/test/cuda/README.md}), and recorded launches are replayed by programs of their own.
 */
package dev.topknot.it.cuda;
