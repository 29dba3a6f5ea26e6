/**
 * Measures Topknot against DJL on PyTorch, libtorch and ONNX Runtime, in turn and on the same
 * weights and inputs. Nothing here is shipped; the module is built under the Maven profile {@code
 * benchmark} only.
 */
package dev.topknot.benchmark;
