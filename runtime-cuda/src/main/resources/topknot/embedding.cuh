// Rows of a table, one a token: y[t] = weight[ids[t]]; backward dWeight[v] = the sum of dy[t] over
// the tokens t of id v, in the order of the tokens.
//
// Shapes: ids [TOKENS], weight and dWeight [VOCABULARY, WIDTH], y and dy [TOKENS, WIDTH].
//
// The gradient needs no atomics and no sort: a warp a token looks for its id among the tokens
// before; the first token of an id goes on through those behind and adds up their rows, 128 columns
// a warp. That compares TOKENS^2 / 64 words a warp on average, 32 at once, which stays below the
// cost of writing the table's gradient, and the sum has the bits of runtime.cpu's. Rows without
// tokens are zeroed by a kernel before, unless gradients are added to. Bytes: forward
// 8 TOKENS WIDTH, backward 4 (VOCABULARY + TOKENS) WIDTH.
#pragma once

#include "topknot/gemm.cuh"
#include "topknot/rows.cuh"

constexpr int EMBEDDING_WARPS = 8, EMBEDDING_THREADS = 32 * EMBEDDING_WARPS;

/** Grid: (TOKENS / 8, rounded up, WIDTH / 128, rounded up). */
template <class S>
TOPKNOT_DEVICE void embeddingForward(const Run* run, const int* ids, const float* weight,
                                     float* y) {
  const int token = tokenOfWarp<EMBEDDING_WARPS>();
  const int column = static_cast<int>(blockIdx.y) * 128 + 4 * laneOfThread();
  if (token >= run->valid || column >= S::WIDTH) {
    return;
  }
  float row[4];
  loadChunk<S::WIDTH>(weight, ids[token], column, row);
  storeChunk<S::WIDTH>(y, token, column, row);
}

/** Zeros, unless gradients are added to. Grid: VOCABULARY WIDTH / 1024, rounded up. */
template <class S>
TOPKNOT_DEVICE void embeddingClear(const Run* run, float* dWeight) {
  if (run->add != 0) {
    return;
  }
  const long long first =
      static_cast<long long>(blockIdx.x) * (4 * EMBEDDING_THREADS) + static_cast<int>(threadIdx.x);
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const long long at = first + i * EMBEDDING_THREADS;
    if (at < static_cast<long long>(S::VOCABULARY) * S::WIDTH) {
      dWeight[at] = 0;
    }
  }
}

/** Grid as forward's. */
template <class S>
TOPKNOT_DEVICE void embeddingSums(const Run* run, const int* ids, const float* dy,
                                  float* dWeight) {
  const int valid = run->valid;
  const int token = tokenOfWarp<EMBEDDING_WARPS>();
  const int lane = laneOfThread();
  const int column = static_cast<int>(blockIdx.y) * 128 + 4 * lane;
  if (token >= valid) {
    return;
  }
  const int id = ids[token];
  for (int from = 0; from < token; from += 32) {
    if (__any_sync(WHOLE_WARP, from + lane < token && ids[from + lane] == id)) {
      return;  // an earlier token's warp adds this one
    }
  }
  float sum[4], row[4];
  loadChunk<S::WIDTH>(dWeight, id, column, sum);
  for (int from = token & ~31; from < valid; from += 32) {
    const int other = from + lane;
    unsigned equal =
        __ballot_sync(WHOLE_WARP, other >= token && other < valid && ids[other] == id);
    while (equal != 0) {
      loadChunk<S::WIDTH>(dy, from + __ffs(static_cast<int>(equal)) - 1, column, row);
      equal &= equal - 1;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        sum[i] = addExact(sum[i], row[i]);
      }
    }
  }
  storeChunk<S::WIDTH>(dWeight, id, column, sum);
}

#define TOPKNOT_EMBEDDING(prefix, S)                                                             \
  TOPKNOT_KERNEL(EMBEDDING_THREADS)                                                              \
  prefix##_forward_rows(const Run* run, const int* ids, const float* weight, float* y) {         \
    embeddingForward<S>(run, ids, weight, y);                                                    \
  }                                                                                              \
  TOPKNOT_KERNEL(EMBEDDING_THREADS)                                                              \
  prefix##_backward_clear(const Run* run, float* dWeight) { embeddingClear<S>(run, dWeight); }   \
  TOPKNOT_KERNEL(EMBEDDING_THREADS)                                                              \
  prefix##_backward_sums(const Run* run, const int* ids, const float* dy, float* dWeight) {      \
    embeddingSums<S>(run, ids, dy, dWeight);                                                     \
  }
