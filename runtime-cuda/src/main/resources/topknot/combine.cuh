// y = the sum of gate times expert output over a token's slots, in ascending slots, which is
// ascending experts ([S17] eq. 1); backward, the gradient of a token as the sum of its slots'.
//
// Shapes, P = TOKENS K: out and dOut [P, WIDTH], gates [TOKENS, K], slots [P], y and dx
// [TOKENS, WIDTH]. One warp a token: it orders the K slots by counting the smaller ones, then each
// lane adds four neighbouring columns; products and sums are rounded one by one, as runtime.cpu's
// are, so that equal inputs give equal bits. A gather, not a scatter: each output is written once,
// by one thread, in a fixed order. Bytes: 4 (P + TOKENS) WIDTH; FLOPs: 2 P WIDTH.
#pragma once

#include "topknot/gemm.cuh"
#include "topknot/rows.cuh"

/**
 * GATED: times the gate values; ADDED: to what is there. Grid: TOKENS / ROW_WARPS<K>; shared: 8 K
 * bytes a warp.
 */
template <class S, bool GATED, bool ADDED = false>
TOPKNOT_DEVICE void combineRows(const Run* run, const float* from, const float* gates,
                                const int* slots, float* to) {
  constexpr int K = S::K, WARPS = ROW_WARPS<S::K>;
  const int token = tokenOfWarp<WARPS>();
  const int lane = laneOfThread();
  if (token >= run->valid) {
    return;
  }
  int* slot = sharedMemory<int>() + static_cast<int>(threadIdx.x) / 32 * (2 * K);
  float* gate = reinterpret_cast<float*>(slot + K);
  const long long first = static_cast<long long>(token) * K;
  for (int j = lane; j < K; j += 32) {
    const int own = slots[first + j];
    int rank = 0;
    for (int i = 0; i < K; i++) {
      rank += slots[first + i] < own ? 1 : 0;
    }
    slot[rank] = own;
    if (GATED) {
      gate[rank] = gates[first + j];
    }
  }
  __syncwarp();
  for (int column = 4 * lane; column < S::WIDTH; column += 128) {
    float sum[4];
    if (ADDED) {
      loadChunk<S::WIDTH>(to, token, column, sum);
    } else {
      loadChunk<S::WIDTH>(from, slot[0], column, sum);
    }
    if (GATED) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        sum[i] = mulExact(sum[i], gate[0]);
      }
    }
#pragma unroll 4
    for (int j = ADDED ? 0 : 1; j < K; j++) {
      float row[4];
      loadChunk<S::WIDTH>(from, slot[j], column, row);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        sum[i] = addExact(sum[i], GATED ? mulExact(gate[j], row[i]) : row[i]);
      }
    }
    storeChunk<S::WIDTH>(to, token, column, sum);
  }
}

#define TOPKNOT_COMBINE(prefix, S)                                                               \
  TOPKNOT_KERNEL(32 * ROW_WARPS<S::K>)                                                            \
  prefix##_forward_rows(const Run* run, const float* out, const float* gates, const int* slots,  \
                        float* y) {                                                              \
    combineRows<S, true>(run, out, gates, slots, y);                                             \
  }                                                                                              \
  TOPKNOT_KERNEL(32 * ROW_WARPS<S::K>)                                                            \
  prefix##_backward_rows(const Run* run, const float* dOut, const int* slots, float* dx) {       \
    combineRows<S, false>(run, dOut, nullptr, slots, dx);                                        \
  }
