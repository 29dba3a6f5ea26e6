// A fully connected layer: y = f(x W^T + bias), W [units, inputs]; backward by the chain rule.
//
// Shapes: x [tokens, inputs], y and z [tokens, units]. z is what f's slope needs: y itself (and then
// the same memory), or x W^T + bias for GELU. Backward multiplies dy by the slope in place, once,
// because three kernels read the result; then dx = dy W, dW = dy^T x, dbias = the sum of dy's rows.
//
// FLOPs: 2 tokens inputs units forward, twice that backward. Bytes: forward 4 (tokens (inputs +
// units) + inputs units) if every operand is read once; a tile reads x once for each 64 units.
#pragma once

#include "topknot/column_sums.cuh"
#include "topknot/gemm.cuh"

/** dy *= f'(kept) over the valid elements; grid: elements / 1024, rounded up, 256 threads. */
template <Activation F>
TOPKNOT_DEVICE void multiplySlope(const float* kept, float* dy, long long elements) {
  const long long first = static_cast<long long>(blockIdx.x) * 1024 + threadIdx.x;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const long long at = first + i * 256;
    if (at < elements) {
      dy[at] *= slope<F>(kept[at]);
    }
  }
}

#define TOPKNOT_DENSE(prefix, S)                                                                  \
  TOPKNOT_KERNEL(S::Tile::THREADS, S::Tile::BLOCKS)                                               \
  prefix##_forward_output(const Run* run, const float* x, const float* weight, const float* bias, \
                          float* z, float* y) {                                                   \
    multiplyActivate<S::Tile, S::INPUTS, S::UNITS, S::ACTIVATION>(x, weight, bias, z, y,          \
                                                                  run->valid);                    \
  }                                                                                               \
  TOPKNOT_KERNEL(256) prefix##_backward_slope(const Run* run, const float* z, float* dy) {        \
    multiplySlope<S::ACTIVATION>(z, dy, static_cast<long long>(run->valid) * S::UNITS);           \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, S::Tile::BLOCKS)                                               \
  prefix##_backward_input(const Run* run, const float* dy, const float* weight, float* dx) {      \
    multiplyBack<S::Tile, S::INPUTS, S::UNITS>(dy, weight, dx, run->valid);                       \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, S::Tile::BLOCKS)                                               \
  prefix##_backward_weight(const Run* run, const float* dy, const float* x, float* dWeight) {     \
    multiplyWeight<S::Tile>(Rows<S::UNITS>{dy}, Rows<S::INPUTS>{x}, run->valid, dWeight,          \
                            run->add != 0);                                                       \
  }                                                                                               \
  TOPKNOT_KERNEL(COLUMN_SUMS_THREADS)                                                             \
  prefix##_backward_bias(const Run* run, const float* dy, float* dBias) {                         \
    sumColumns<S::UNITS>(dy, run->valid, dBias, run->add != 0);                                   \
  }
