// Sorts the pairs of tokens and chosen experts by expert, stable: a counting sort. A pair is
// token K + choice; its place in the order is its slot.
//
// Shapes, P = TOKENS K pairs in chunks of 256: chosen [P] in; offsets [EXPERTS + 1], rows [P] (the
// token of each slot), slots [P] (the slot of each pair) out; scratch counts [chunks, EXPERTS] and
// totals [EXPERTS]. Pairs of tokens that are not valid are left out.
//
// Four kernels: each chunk counts its experts; each expert adds up its counts chunk after chunk;
// one block adds up the experts; each chunk places its pairs. A pair's rank among equals of its
// chunk is counted from the pairs before it, 256 comparisons of a word that all threads read at
// once, so that no order of atomics matters: those there are add integers. Bytes: about
// 4 P (2 + 2) + 12 chunks EXPERTS; no FLOPs.
#pragma once

#include "topknot/run.cuh"

constexpr int DISPATCH_THREADS = 256;

/** counts[chunk][e]: pairs of the chunk that chose e. Grid: chunks; shared: 4 EXPERTS bytes. */
template <class S>
TOPKNOT_DEVICE void dispatchCounts(const Run* run, const int* chosen, int* counts) {
  const int pairs = run->valid * S::K;
  const int pair = static_cast<int>(blockIdx.x * DISPATCH_THREADS + threadIdx.x);
  if (static_cast<int>(blockIdx.x) * DISPATCH_THREADS >= pairs) {
    return;
  }
  int* count = sharedMemory<int>();
  for (int e = static_cast<int>(threadIdx.x); e < S::EXPERTS; e += DISPATCH_THREADS) {
    count[e] = 0;
  }
  __syncthreads();
  if (pair < pairs) {
    atomicAdd(&count[chosen[pair]], 1);
  }
  __syncthreads();
  int* to = counts + static_cast<long long>(blockIdx.x) * S::EXPERTS;
  for (int e = static_cast<int>(threadIdx.x); e < S::EXPERTS; e += DISPATCH_THREADS) {
    to[e] = count[e];
  }
}

/** Each count becomes the sum of those of earlier chunks. Grid: EXPERTS / 256, rounded up. */
template <class S>
TOPKNOT_DEVICE void dispatchTotals(const Run* run, int* counts, int* totals) {
  const int expert = static_cast<int>(blockIdx.x * DISPATCH_THREADS + threadIdx.x);
  if (expert >= S::EXPERTS) {
    return;
  }
  const int chunks = (run->valid * S::K + DISPATCH_THREADS - 1) / DISPATCH_THREADS;
  int sum = 0;
#pragma unroll 4
  for (int chunk = 0; chunk < chunks; chunk++) {
    const long long at = static_cast<long long>(chunk) * S::EXPERTS + expert;
    const int count = counts[at];
    counts[at] = sum;
    sum += count;
  }
  totals[expert] = sum;
}

/** offsets[e]: pairs that chose an expert before e. One block; shared: 1024 bytes. */
template <class S>
TOPKNOT_DEVICE void dispatchOffsets(const int* totals, int* offsets) {
  constexpr int EACH = (S::EXPERTS + DISPATCH_THREADS - 1) / DISPATCH_THREADS;
  const int thread = static_cast<int>(threadIdx.x);
  const int first = thread * EACH;
  int own = 0;
#pragma unroll 4
  for (int e = first; e < first + EACH; e++) {
    own += e < S::EXPERTS ? totals[e] : 0;
  }
  int* sums = sharedMemory<int>();
  sums[thread] = own;
  __syncthreads();
  for (int distance = 1; distance < DISPATCH_THREADS; distance *= 2) {
    const int before = thread >= distance ? sums[thread - distance] : 0;
    __syncthreads();
    sums[thread] += before;
    __syncthreads();
  }
  int sum = sums[thread] - own;
#pragma unroll 4
  for (int e = first; e < first + EACH; e++) {
    if (e < S::EXPERTS) {
      offsets[e] = sum;
      sum += totals[e];
      if (e == S::EXPERTS - 1) {
        offsets[S::EXPERTS] = sum;
      }
    }
  }
}

/** rows and slots of a chunk's pairs. Grid: chunks; shared: 1024 bytes. */
template <class S>
TOPKNOT_DEVICE void dispatchPlace(const Run* run, const int* chosen, const int* counts,
                                  const int* offsets, int* rows, int* slots) {
  const int pairs = run->valid * S::K;
  const int thread = static_cast<int>(threadIdx.x);
  const int pair = static_cast<int>(blockIdx.x) * DISPATCH_THREADS + thread;
  if (static_cast<int>(blockIdx.x) * DISPATCH_THREADS >= pairs) {
    return;
  }
  int* experts = sharedMemory<int>();
  const int expert = pair < pairs ? chosen[pair] : -1;
  experts[thread] = expert;
  __syncthreads();
  if (pair >= pairs) {
    return;
  }
  int rank = 0;
#pragma unroll 8
  for (int i = 0; i < DISPATCH_THREADS; i++) {
    rank += i < thread && experts[i] == expert ? 1 : 0;
  }
  const int slot =
      offsets[expert] + counts[static_cast<long long>(blockIdx.x) * S::EXPERTS + expert] + rank;
  rows[slot] = pair / S::K;
  slots[pair] = slot;
}

/** The kernels of a method that sorts. */
#define TOPKNOT_SORT(prefix, S)                                                                  \
  TOPKNOT_KERNEL(DISPATCH_THREADS)                                                               \
  prefix##_counts(const Run* run, const int* chosen, int* counts) {                              \
    dispatchCounts<S>(run, chosen, counts);                                                      \
  }                                                                                              \
  TOPKNOT_KERNEL(DISPATCH_THREADS)                                                               \
  prefix##_totals(const Run* run, int* counts, int* totals) {                                    \
    dispatchTotals<S>(run, counts, totals);                                                      \
  }                                                                                              \
  TOPKNOT_KERNEL(DISPATCH_THREADS)                                                               \
  prefix##_offsets(const int* totals, int* offsets) {                                            \
    dispatchOffsets<S>(totals, offsets);                                                         \
  }                                                                                              \
  TOPKNOT_KERNEL(DISPATCH_THREADS)                                                               \
  prefix##_place(const Run* run, const int* chosen, const int* counts,                           \
                         const int* offsets, int* rows, int* slots) {                            \
    dispatchPlace<S>(run, chosen, counts, offsets, rows, slots);                                 \
  }

#define TOPKNOT_DISPATCH(prefix, S) TOPKNOT_SORT(prefix##_forward, S)
