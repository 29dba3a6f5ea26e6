// One warp a token: how many share a block, which one a thread is of, and sums over a warp in a
// fixed order.
#pragma once

#include "topknot/run.cuh"

/** Warps of a block whose tokens need shared memory for each of k choices: 12 bytes, 48 KiB. */
template <int K>
constexpr int ROW_WARPS = K < 256 ? 8 : 1;

/** The token of the calling thread's warp. */
template <int WARPS>
TOPKNOT_DEVICE int tokenOfWarp() {
  return static_cast<int>(blockIdx.x) * WARPS + static_cast<int>(threadIdx.x) / 32;
}

TOPKNOT_DEVICE int laneOfThread() { return static_cast<int>(threadIdx.x) % 32; }

/** The sum over the lanes of a warp, the same bits in each. */
template <typename T>
TOPKNOT_DEVICE T sumOfWarp(T value) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(WHOLE_WARP, value, distance);
  }
  return value;
}

/** The sum over the THREADS threads of a block, in each; shared: 8 THREADS bytes, free again. */
template <int THREADS>
TOPKNOT_DEVICE double sumOfBlock(double value, double* shared) {
  const int thread = static_cast<int>(threadIdx.x);
  shared[thread] = value;
  __syncthreads();
#pragma unroll
  for (int half = THREADS / 2; half > 0; half /= 2) {
    if (thread < half) {
      shared[thread] += shared[thread + half];
    }
    __syncthreads();
  }
  const double sum = shared[0];
  __syncthreads();
  return sum;
}
