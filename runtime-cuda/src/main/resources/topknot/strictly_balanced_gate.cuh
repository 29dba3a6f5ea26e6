// Strictly balanced gating ([S17] app. F): G = softmax(x W_g). In training each expert keeps the
// m = K valid / EXPERTS tokens with the largest G, rounded down, ties to the lower token; elsewhere
// it takes those whose G exceeds its threshold T. A token's gates are the softmax over the experts
// that take it. The thresholds learn by L = weight sum (above - chosen)(G - T), above being G > T.
//
// Shapes: x [TOKENS, WIDTH], weights [EXPERTS, WIDTH]; logits (log G), chosen, gates and dLogits
// [TOKENS, EXPERTS], a place for each expert; thresholds, importance, load, above [EXPERTS]; dropped
// [1], the tokens that nobody takes; scratch limits [EXPERTS] and partials [chunks of 64 tokens, 3,
// EXPERTS].
//
// log G has the order of G and does not underflow. Its keys (selection.cuh) are distinct, so that
// "the m best" are the keys not below the m-th. A block finds that of an expert digit by digit, from
// the highest: of the keys that begin with the digits found so far it counts the next digit, 8 passes
// over a column. Then a warp a token chooses and weighs; sums over tokens have an expert a thread, as
// in gate.cuh. Atomics add integers only.
//
// FLOPs: 2 TOKENS WIDTH EXPERTS forward, twice that backward. Bytes: about 4 TOKENS (WIDTH + 12
// EXPERTS) forward, of which 8 EXPERTS are the passes over columns.
#pragma once

#include "topknot/gate.cuh"

/** A token a warp of a block, threads that look at an expert's tokens, values of a digit. */
constexpr int BALANCED_GATE_WARPS = 8, LIMIT_THREADS = 256, DIGITS = 256;

/** No finite logit is below. */
constexpr float LOWEST = -3.402823466e38f;

/** The largest of the lanes of a warp, in each. */
TOPKNOT_DEVICE float largestOfWarp(float value) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) {
    value = fmaxf(value, __shfl_xor_sync(WHOLE_WARP, value, distance));
  }
  return value;
}

/** Whether the token exceeds the threshold; so that a NaN shows in the output, it does. */
TOPKNOT_DEVICE bool exceeds(float logit, float threshold) { return !(expf(logit) <= threshold); }

// ---- Forward -----------------------------------------------------------------------------------

/** From logits to log G, in place; nothing is dropped yet. Grid: TOKENS / 8, rounded up. */
template <class S>
TOPKNOT_DEVICE void balancedNormalise(const Run* run, float* logits, int* dropped) {
  constexpr int N = S::EXPERTS;
  const int token = tokenOfWarp<BALANCED_GATE_WARPS>();
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    *dropped = 0;
  }
  if (token >= run->valid) {
    return;
  }
  float* row = logits + static_cast<long long>(token) * N;
  float largest = LOWEST;
  for (int i = laneOfThread(); i < N; i += 32) {  // each lane reads and writes its own entries
    largest = fmaxf(largest, row[i]);
  }
  largest = largestOfWarp(largest);
  double sum = 0;
  for (int i = laneOfThread(); i < N; i += 32) {
    sum += exp(static_cast<double>(row[i]) - largest);
  }
  const double shift = largest + log(sumOfWarp(sum));
  for (int i = laneOfThread(); i < N; i += 32) {
    row[i] = static_cast<float>(row[i] - shift);
  }
}

/** limits[e]: the m-th largest key of expert blockIdx.x. Grid: EXPERTS; shared: 2048 bytes. */
template <class S>
TOPKNOT_DEVICE void balancedLimits(const Run* run, const float* logits, Key* limits) {
  constexpr int N = S::EXPERTS;
  const int thread = static_cast<int>(threadIdx.x);
  const int valid = run->valid;
  const float* column = logits + blockIdx.x;
  int wanted = static_cast<int>(static_cast<long long>(S::K) * valid / N);
  if (wanted == 0) {
    if (thread == 0) {
      limits[blockIdx.x] = ~0ull;  // above every key
    }
    return;
  }
  int* counts = sharedMemory<int>();
  int* found = counts + DIGITS;  // the digit, and how many keys are above it
  Key limit = 0;
  for (int shift = 56; shift >= 0; shift -= 8) {
    const Key known = shift == 56 ? 0 : ~0ull << (shift + 8);
    counts[thread] = 0;
    __syncthreads();
    for (int token = thread; token < valid; token += LIMIT_THREADS) {
      const Key key = keyOf(column[static_cast<long long>(token) * N], token);
      if ((key & known) == limit) {
        atomicAdd(&counts[static_cast<int>(key >> shift & (DIGITS - 1))], 1);
      }
    }
    __syncthreads();
    const int own = counts[thread];
    for (int distance = 1; distance < DIGITS; distance *= 2) {  // sums from the highest digit down
      const int above = thread + distance < DIGITS ? counts[thread + distance] : 0;
      __syncthreads();
      counts[thread] += above;
      __syncthreads();
    }
    const int above = counts[thread] - own;
    if (above < wanted && wanted <= above + own) {
      found[0] = thread;
      found[1] = above;
    }
    __syncthreads();
    limit |= static_cast<Key>(found[0]) << shift;  // written again three barriers later
    wanted -= found[1];
  }
  if (thread == 0) {
    limits[blockIdx.x] = limit;
  }
}

/** In training an expert takes the keys that are not below its limit. */
struct ByLimit {
  const Key* limits;
  TOPKNOT_DEVICE bool operator()(float logit, int token, int expert) const {
    return keyOf(logit, token) >= limits[expert];
  }
};

/** Elsewhere it takes what exceeds its threshold. */
struct ByThreshold {
  const float* thresholds;
  TOPKNOT_DEVICE bool operator()(float logit, int, int expert) const {
    return exceeds(logit, thresholds[expert]);
  }
};

/** chosen and gates of the warp's token. Grid: TOKENS / 8, rounded up. */
template <class S, class Takes>
TOPKNOT_DEVICE void balancedSelect(const Run* run, const float* logits, Takes takes, int* chosen,
                                   float* gates, int* dropped) {
  constexpr int N = S::EXPERTS;
  const int token = tokenOfWarp<BALANCED_GATE_WARPS>();
  if (token >= run->valid) {
    return;
  }
  const long long at = static_cast<long long>(token) * N;
  float largest = LOWEST;
  bool any = false;
  for (int i = laneOfThread(); i < N; i += 32) {
    const bool own = takes(logits[at + i], token, i);
    chosen[at + i] = own ? 1 : 0;
    if (own) {
      largest = fmaxf(largest, logits[at + i]);
      any = true;
    }
  }
  largest = largestOfWarp(largest);
  if (!__any_sync(WHOLE_WARP, any) && laneOfThread() == 0) {
    atomicAdd(dropped, 1);
  }
  double sum = 0;
  for (int i = laneOfThread(); i < N; i += 32) {  // each lane reads what it wrote
    sum += chosen[at + i] != 0 ? exp(static_cast<double>(logits[at + i]) - largest) : 0;
  }
  sum = sumOfWarp(sum);
  for (int i = laneOfThread(); i < N; i += 32) {
    const bool own = chosen[at + i] != 0;
    gates[at + i] =
        own ? static_cast<float>(exp(static_cast<double>(logits[at + i]) - largest) / sum) : 0.0f;
  }
}

/** Importance, load and above of 64 tokens. Grid: (TOKENS / 64, EXPERTS / 128), rounded up. */
template <class S>
TOPKNOT_DEVICE void balancedPartials(const Run* run, const float* thresholds, const float* logits,
                                     const int* chosen, const float* gates, double* partials) {
  constexpr int N = S::EXPERTS;
  const int from = static_cast<int>(blockIdx.x) * GATE_TOKENS;
  const int expert = static_cast<int>(blockIdx.y * GATE_THREADS + threadIdx.x);
  const int end = min(from + GATE_TOKENS, run->valid);
  if (from >= end || expert >= N) {
    return;
  }
  const float threshold = thresholds[expert];
  double importance = 0;
  int load = 0, above = 0;
#pragma unroll 4
  for (int token = from; token < end; token++) {
    const long long at = static_cast<long long>(token) * N + expert;
    importance += gates[at];
    load += chosen[at];
    above += exceeds(logits[at], threshold) ? 1 : 0;
  }
  double* to = partials + static_cast<long long>(blockIdx.x) * (3 * N) + expert;
  to[0] = importance;
  to[N] = load;
  to[2 * N] = above;
}

/** The sums over the blocks. Grid: EXPERTS / 128, rounded up. */
template <class S>
TOPKNOT_DEVICE void balancedSums(const Run* run, const double* partials, float* importance,
                                 float* load, float* above) {
  constexpr int N = S::EXPERTS;
  const int expert = static_cast<int>(blockIdx.x * GATE_THREADS + threadIdx.x);
  if (expert >= N) {
    return;
  }
  const int blocks = (run->valid + GATE_TOKENS - 1) / GATE_TOKENS;
  double sums[3] = {0, 0, 0};
#pragma unroll 8
  for (int block = 0; block < blocks; block++) {
    const double* from = partials + static_cast<long long>(block) * (3 * N) + expert;
    sums[0] += from[0];
    sums[1] += from[N];
    sums[2] += from[2 * N];
  }
  importance[expert] = static_cast<float>(sums[0]);
  load[expert] = static_cast<float>(sums[1]);
  above[expert] = static_cast<float>(sums[2]);
}

// ---- Backward ----------------------------------------------------------------------------------

/**
 * dLogits of the warp's token: through the gates, G (dG - sum G dG) with the dG of the largest gate
 * taken off as in gate.cuh, and of L. Grid: TOKENS / 8, rounded up.
 */
template <class S>
TOPKNOT_DEVICE void balancedRows(const Run* run, const float* thresholds, const float* logits,
                                 const int* chosen, const float* gates, const float* dGates,
                                 float* dLogits) {
  constexpr int N = S::EXPERTS;
  const int token = tokenOfWarp<BALANCED_GATE_WARPS>();
  if (token >= run->valid) {
    return;
  }
  const long long at = static_cast<long long>(token) * N;
  Key best = 0;
  for (int i = laneOfThread(); i < N; i += 32) {
    const Key key = keyOf(gates[at + i], i);
    best = key > best ? key : best;
  }
  const float first = dGates[at + indexOf(maxOfWarp(best))];
  float mean = 0;
  double ofLoss = 0;
  for (int i = laneOfThread(); i < N; i += 32) {
    const int own = chosen[at + i];
    mean += own != 0 ? gates[at + i] * (dGates[at + i] - first) : 0.0f;
    ofLoss += expf(logits[at + i]) * ((exceeds(logits[at + i], thresholds[i]) ? 1 : 0) - own);
  }
  mean = sumOfWarp(mean);
  ofLoss = sumOfWarp(ofLoss);
  for (int i = laneOfThread(); i < N; i += 32) {
    const int own = chosen[at + i];
    const float gate = own != 0 ? gates[at + i] * (dGates[at + i] - first - mean) : 0.0f;
    const int difference = (exceeds(logits[at + i], thresholds[i]) ? 1 : 0) - own;
    dLogits[at + i] =
        gate +
        static_cast<float>(S::THRESHOLD_LOSS * expf(logits[at + i]) * (difference - ofLoss));
  }
}

/** dThresholds = weight (load - above), or added to. Grid: EXPERTS / 128, rounded up. */
template <class S>
TOPKNOT_DEVICE void balancedThresholds(const Run* run, const float* load, const float* above,
                                       float* dThresholds) {
  const int expert = static_cast<int>(blockIdx.x * GATE_THREADS + threadIdx.x);
  if (expert >= S::EXPERTS) {
    return;
  }
  const float own = S::THRESHOLD_LOSS * (load[expert] - above[expert]);
  dThresholds[expert] = run->add != 0 ? dThresholds[expert] + own : own;
}

// ---- Kernels -----------------------------------------------------------------------------------

/** What training and the others have in common. */
#define TOPKNOT_BALANCED_FORWARD(prefix, S)                                                      \
  TOPKNOT_KERNEL(S::GateTile::THREADS, S::GateTile::BLOCKS)                                      \
  prefix##_logits(const Run* run, const float* x, const float* gateWeights, float* logits) {     \
    gateLogits<S>(run, x, gateWeights, logits, false);                                           \
  }                                                                                              \
  TOPKNOT_KERNEL(32 * BALANCED_GATE_WARPS)                                                       \
  prefix##_normalise(const Run* run, float* logits, int* dropped) {                              \
    balancedNormalise<S>(run, logits, dropped);                                                  \
  }                                                                                              \
  TOPKNOT_KERNEL(GATE_THREADS)                                                                   \
  prefix##_partials(const Run* run, const float* thresholds, const float* logits,                \
                    const int* chosen, const float* gates, double* partials) {                   \
    balancedPartials<S>(run, thresholds, logits, chosen, gates, partials);                       \
  }                                                                                              \
  TOPKNOT_KERNEL(GATE_THREADS)                                                                   \
  prefix##_sums(const Run* run, const double* partials, float* importance, float* load,          \
                float* above) {                                                                  \
    balancedSums<S>(run, partials, importance, load, above);                                     \
  }

#define TOPKNOT_STRICTLY_BALANCED_GATE(prefix, S)                                                \
  TOPKNOT_BALANCED_FORWARD(prefix##_forward, S)                                                  \
  TOPKNOT_KERNEL(LIMIT_THREADS)                                                                  \
  prefix##_forward_limits(const Run* run, const float* logits, Key* limits) {                    \
    balancedLimits<S>(run, logits, limits);                                                      \
  }                                                                                              \
  TOPKNOT_KERNEL(32 * BALANCED_GATE_WARPS)                                                       \
  prefix##_forward_select(const Run* run, const float* logits, const Key* limits, int* chosen,   \
                          float* gates, int* dropped) {                                          \
    balancedSelect<S>(run, logits, ByLimit{limits}, chosen, gates, dropped);                     \
  }                                                                                              \
  TOPKNOT_BALANCED_FORWARD(prefix##_infer, S)                                                    \
  TOPKNOT_KERNEL(32 * BALANCED_GATE_WARPS)                                                       \
  prefix##_infer_select(const Run* run, const float* logits, const float* thresholds,            \
                        int* chosen, float* gates, int* dropped) {                               \
    balancedSelect<S>(run, logits, ByThreshold{thresholds}, chosen, gates, dropped);             \
  }                                                                                              \
  TOPKNOT_KERNEL(32 * BALANCED_GATE_WARPS)                                                       \
  prefix##_backward_rows(const Run* run, const float* thresholds, const float* logits,           \
                         const int* chosen, const float* gates, const float* dGates,             \
                         float* dLogits) {                                                       \
    balancedRows<S>(run, thresholds, logits, chosen, gates, dGates, dLogits);                    \
  }                                                                                              \
  TOPKNOT_KERNEL(S::GateTile::THREADS, S::GateTile::BLOCKS)                                      \
  prefix##_backward_input(const Run* run, const float* dLogits, const float* gateWeights,        \
                          float* dx) {                                                           \
    gateInput<S>(run, dLogits, gateWeights, nullptr, nullptr, dx);                               \
  }                                                                                              \
  TOPKNOT_KERNEL(S::GateTile::THREADS, S::GateTile::BLOCKS)                                      \
  prefix##_backward_weight(const Run* run, const float* x, const float* dLogits,                 \
                           long long count, float* shares, float* dGateWeights) {                \
    gateWeight<S>(run, dLogits, x, static_cast<int>(blockIdx.z), static_cast<int>(count), shares, \
                  dGateWeights);                                                                 \
  }                                                                                              \
  TOPKNOT_KERNEL(256)                                                                            \
  prefix##_backward_shares(const Run* run, long long count, const float* shares,                 \
                           float* dGateWeights) {                                                \
    sumShares<S>(run, shares, static_cast<int>(count), dGateWeights);                            \
  }                                                                                              \
  TOPKNOT_KERNEL(GATE_THREADS)                                                                   \
  prefix##_backward_thresholds(const Run* run, const float* load, const float* above,            \
                               float* dThresholds) {                                             \
    balancedThresholds<S>(run, load, above, dThresholds);                                        \
  }
