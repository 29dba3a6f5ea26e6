/** The CUDA device: memory, launches and graphs of generated kernels. */
package dev.topknot.runtime.cuda;
