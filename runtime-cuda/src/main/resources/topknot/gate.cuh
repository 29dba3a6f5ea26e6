// The gates of [S17]: noisy top-k (eq. 3-5), top-k without noise, top-k of a softmax, the softmax
// over all experts (eq. 2), which is top-k with K = n; importance and load with their losses (eq. 6-11) and gradients (app. A).
//
//   clean = x W_g, raw = x W_noise, sigma = softplus(raw) + floor, H = clean + xi sigma, xi ~ N(0, 1)
//   chosen = the K largest of H, ties to the lower index; gates = the softmax over them
//   importance_i = the sum of the gates of i; load_i = the sum over tokens of
//   Phi((clean_i - threshold_i) / sigma_i), where the threshold is the next in line for those that
//   are chosen and the last chosen for the others; the count of tokens without noise or for K = n
//
// Shapes: x [TOKENS, WIDTH], weights [EXPERTS, WIDTH], clean, raw and noisy (H) [TOKENS, EXPERTS],
// chosen and gates [TOKENS, K], importance and load [EXPERTS].
//
// Logits are fp32 products with sums over the width in ascending order, the same bits for any batch;
// of S::GateTile, which is SplitTile in layers whose experts are in bf16 if it pays. Then a warp a
// token makes H and chooses, and keeps the two thresholds for the load. Sums over tokens have an
// expert a thread: it goes over 64 tokens in order and leaves its sum in double; a last kernel adds
// those in order. Backward, a warp a token again: the gradient of each entry of H through the
// softmax, of clean, sigma and both thresholds through the load (a threshold is itself an entry of
// H), and from there to raw; two products add to dx, two make the gradients of the weights. With
// noise off, raw and its gradient are zeros.
//
// FLOPs: 4 TOKENS WIDTH EXPERTS forward (half of it without noise), twice that backward, and some
// 60 an entry of H. Bytes: about 4 TOKENS (WIDTH + 5 EXPERTS) forward.
#pragma once

#include "topknot/noise.cuh"
#include "topknot/selection.cuh"

enum Gating { NOISY_TOP_K, TOP_K, SOFTMAX_TOP_K, SOFTMAX };

/** Tokens that a thread adds up, and threads of its block. */
constexpr int GATE_TOKENS = 64, GATE_THREADS = 128;

constexpr int GATE_SLOPE_THREADS = 256;

/** Whether the gate value is the chosen expert's probability among all. */
template <class S>
constexpr bool AMONG_ALL = S::GATING == SOFTMAX_TOP_K && S::K == 1;

/** The stream of a layer's only or primary gate; those of groups follow. */
template <class S>
constexpr unsigned GATE_STREAM = NOISE_STREAM<S::STREAM_LAYER, PURPOSE_GATE>;

/** sigma; a floor of 0 lets softplus underflow, and nothing is to be divided by 0 then. */
TOPKNOT_DEVICE float deviation(float raw, float floor) {
  const float softplus = fmaxf(raw, 0.0f) + log1pf(expf(-fabsf(raw)));
  const float sum = softplus + floor;
  return sum < 1e-20f ? 1e-20f : sum;
}

/** z, within 100 deviations, where the normal distribution is flat in fp32; NaN stays NaN. */
TOPKNOT_DEVICE float distanceFrom(float threshold, float clean, float sigma) {
  const float z = (clean - threshold) / sigma;
  return z > 100.0f ? 100.0f : z < -100.0f ? -100.0f : z;
}

TOPKNOT_DEVICE float normalCdf(float z) { return 0.5f * erfcf(-0.70710678118654752f * z); }

TOPKNOT_DEVICE float normalDensity(float z) { return 0.39894228040143268f * expf(-0.5f * z * z); }

// ---- Forward -----------------------------------------------------------------------------------

/**
 * logits = x W^T, or zeros. Grid: (TOKENS / GateTile::M, EXPERTS / GateTile::N), rounded up; shared:
 * GateTile::SHARED_BYTES, as for all products.
 */
template <class S>
TOPKNOT_DEVICE void gateLogits(const Run* run, const float* x, const float* weights, float* logits,
                               bool zero) {
  using Tile = typename S::GateTile;
  const BlockPlace place = placeOfBlock();
  const int row = place.row * Tile::M;
  const int column = place.column * Tile::N;
  const int valid = run->valid;
  if (row >= valid) {
    return;
  }
  typename Tile::Sums sums;
  if (!zero) {
    Tile::multiply(sharedMemory<float>(), alongColumns(Rows<S::WIDTH>{x}, valid),
                   alongColumns(Rows<S::WIDTH>{weights}, S::EXPERTS), row, column, S::WIDTH, sums);
  }
  StoreEpilogue<S::EXPERTS> epilogue{logits, row, valid, column, false};
  Tile::each(sums, epilogue);
}

/** H of a row of the warp's token: clean + xi sigma, or clean where noise is off. */
template <class S>
TOPKNOT_DEVICE void noisyLogits(const Run* run, const LayerOptions* options, int token,
                                unsigned stream, const float* clean, const float* raw,
                                float* noisy) {
  constexpr int N = S::EXPERTS;
  const float floor = options->noiseFloor;
  for (int column = 4 * laneOfThread(); column < N; column += 128) {
    float h[4];
    loadChunk<N>(clean, 0, column, h);
    if (options->noise != 0) {
      float r[4];
      loadChunk<N>(raw, 0, column, r);
      const float4 four = normals(run, token, stream, column / 4);
      const float xi[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
      for (int i = 0; i < 4; i++) {
        h[i] = addExact(h[i], mulExact(xi[i], deviation(r[i], floor)));
      }
    }
    storeChunk<N>(noisy, 0, column, h);
  }
}

/** Chooses for the warp's row, which is one of a token; `chosen` and `gates` are all rows'. */
template <class S, bool NOISY, bool AMONG>
TOPKNOT_DEVICE void selectRow(const Run* run, const LayerOptions* options, int row, int token,
                              unsigned stream, const float* clean, const float* raw, float* noisy,
                              int* chosen, float* gates, float* thresholds) {
  constexpr int N = S::EXPERTS, K = S::K;
  constexpr int COUNT = NOISY && K < N ? K + 1 : K;
  const long long at = static_cast<long long>(row) * N;
  const long long first = static_cast<long long>(row) * K;
  const float* logits = clean + at;
  if constexpr (NOISY) {
    noisyLogits<S>(run, options, token, stream, clean + at, raw + at, noisy + at);
    logits = noisy + at;
  }
  Key* order = sharedMemory<Key>() + static_cast<int>(threadIdx.x) / 32 * (K + 1);
  rankRow<N, COUNT>(logits, order);  // each lane reads what it wrote
  if (AMONG) {
    const double probability = largestProbability<N>(logits, valueOf(order[0]));
    if (laneOfThread() == 0) {
      chosen[first] = indexOf(order[0]);
      gates[first] = static_cast<float>(probability);
    }
  } else {
    softmaxChosen<K>(order, chosen + first, gates + first);
  }
  if (COUNT > K && laneOfThread() == 0) {
    thresholds[2LL * row] = valueOf(order[K - 1]);
    thresholds[2LL * row + 1] = valueOf(order[COUNT - 1]);
  }
}

/**
 * Chooses of clean, or of H where NOISY, which it makes before. thresholds [TOKENS, 2]: the last
 * chosen of H and the next in line. Grid: TOKENS / ROW_WARPS<K>, rounded up; shared: 8 (K + 1)
 * bytes a warp.
 */
template <class S, bool NOISY, bool AMONG>
TOPKNOT_DEVICE void gateSelect(const Run* run, const LayerOptions* options, const float* clean,
                               const float* raw, float* noisy, int* chosen, float* gates,
                               float* thresholds) {
  const int token = tokenOfWarp<ROW_WARPS<S::K>>();
  unsigned stream = 0;
  if constexpr (NOISY) {
    stream = GATE_STREAM<S>;
  }
  if (token < run->valid) {
    selectRow<S, NOISY, AMONG>(run, options, token, token, stream, clean, raw, noisy, chosen,
                               gates, thresholds);
  }
}

/**
 * Sums of one expert over rows `from` to `end`: importance to to[0], load to to[EXPERTS].
 * `options` and what follows the gates belong to noise.
 */
template <class S, bool NOISY>
TOPKNOT_DEVICE void sumRows(const LayerOptions* options, int expert, int from, int end,
                            const int* chosen, const float* gates, const float* clean,
                            const float* raw, const float* thresholds, double* to) {
  constexpr int N = S::EXPERTS, K = S::K;
  const bool smooth = NOISY && K < N && options->noise != 0;
  const float floor = smooth ? options->noiseFloor : 0.0f;
  double importance = 0, load = 0;
  for (int row = from; row < end; row++) {
    const long long first = static_cast<long long>(row) * K;
    bool own = false;
    float gate = 0;
#pragma unroll 8
    for (int j = 0; j < K; j++) {
      if (chosen[first + j] == expert) {
        own = true;
        gate = gates[first + j];
      }
    }
    importance += gate;
    if (smooth) {
      const long long at = static_cast<long long>(row) * N + expert;
      const float threshold = thresholds[2LL * row + (own ? 1 : 0)];
      load += normalCdf(distanceFrom(threshold, clean[at], deviation(raw[at], floor)));
    } else {
      load += own ? 1 : 0;
    }
  }
  to[0] = importance;
  to[N] = load;
}

/**
 * partials [blocks, 2, EXPERTS]: importance and load of 64 tokens. Grid: (TOKENS / 64,
 * EXPERTS / 128), rounded up.
 */
template <class S, bool NOISY>
TOPKNOT_DEVICE void gatePartials(const Run* run, const LayerOptions* options, const float* clean,
                                 const float* raw, const int* chosen, const float* gates,
                                 const float* thresholds, double* partials) {
  const int from = static_cast<int>(blockIdx.x) * GATE_TOKENS;
  const int expert = static_cast<int>(blockIdx.y * GATE_THREADS + threadIdx.x);
  const int valid = run->valid;
  if (from >= valid || expert >= S::EXPERTS) {
    return;
  }
  const int end = from + GATE_TOKENS < valid ? from + GATE_TOKENS : valid;
  sumRows<S, NOISY>(options, expert, from, end, chosen, gates, clean, raw, thresholds,
                    partials + static_cast<long long>(blockIdx.x) * (2 * S::EXPERTS) + expert);
}

/** importance and load: the sums over the blocks. Grid: EXPERTS / 128, rounded up. */
template <class S>
TOPKNOT_DEVICE void gateSums(const Run* run, const double* partials, float* importance,
                             float* load) {
  constexpr int N = S::EXPERTS;
  const int expert = static_cast<int>(blockIdx.x * GATE_THREADS + threadIdx.x);
  if (expert >= N) {
    return;
  }
  const int blocks = (run->valid + GATE_TOKENS - 1) / GATE_TOKENS;
  double sums[2] = {0, 0};
#pragma unroll 8
  for (int block = 0; block < blocks; block++) {
    const double* from = partials + static_cast<long long>(block) * (2 * N) + expert;
    sums[0] += from[0];
    sums[1] += from[N];
  }
  importance[expert] = static_cast<float>(sums[0]);
  load[expert] = static_cast<float>(sums[1]);
}

// ---- Backward ----------------------------------------------------------------------------------

/** weight dCV^2(v)/dv, CV^2 = Var / (mean^2 + 1e-10); called by the whole block. */
template <class S>
TOPKNOT_DEVICE void cvSlopes(const float* v, double weight, float* slopes) {
  constexpr int N = S::EXPERTS;
  double* shared = sharedMemory<double>();
  double sum = 0, squares = 0;
  for (int i = static_cast<int>(threadIdx.x); i < N; i += GATE_SLOPE_THREADS) {
    sum += v[i];
  }
  const double mean = sumOfBlock<GATE_SLOPE_THREADS>(sum, shared) / N;
  for (int i = static_cast<int>(threadIdx.x); i < N; i += GATE_SLOPE_THREADS) {
    squares += (v[i] - mean) * (v[i] - mean);
  }
  const double variance = sumOfBlock<GATE_SLOPE_THREADS>(squares, shared) / N;
  const double floor = mean * mean + 1e-10;
  const double common = 2 * mean * variance / (floor * floor);
  for (int i = static_cast<int>(threadIdx.x); i < N; i += GATE_SLOPE_THREADS) {
    slopes[i] = static_cast<float>(weight / N * (2 * (v[i] - mean) / floor - common));
  }
}

/** slopes [2, EXPERTS] of the losses in importance and in load. One block; shared: 2048 bytes. */
template <class S>
TOPKNOT_DEVICE void gateSlopes(const LayerOptions* options, const float* importance,
                               const float* load, float* slopes) {
  cvSlopes<S>(importance, options->importanceLoss, slopes);
  cvSlopes<S>(load, options->loadLoss, slopes + S::EXPERTS);
}

/** The gradients of a token's gates, losses included, and of the logits behind their softmax. */
struct ChosenGradients {
  const int* chosen;
  const float* gates;
  const float* dGates;
  const float* importanceSlopes;  // null: dGates has all

  TOPKNOT_DEVICE float ofGate(int j) const {
    return importanceSlopes == nullptr ? dGates[j] : dGates[j] + importanceSlopes[chosen[j]];
  }

  /**
   * dG_j over that of the first, the largest gate. The slope of a softmax is the same for any
   * constant taken off; where that gate is nearly 1, its dG and the mean are nearly equal, and their
   * difference, as small as the other gates, would be the rounding of either.
   */
  TOPKNOT_DEVICE float overFirst(int j) const { return ofGate(j) - ofGate(0); }

  /** The sum of gate times overFirst, in every lane. */
  template <int K>
  TOPKNOT_DEVICE float mean() const {
    float sum = 0;
    for (int j = laneOfThread(); j < K; j += 32) {
      sum += gates[j] * overFirst(j);
    }
    return sumOfWarp(sum);
  }

  TOPKNOT_DEVICE float ofLogit(int j, float mean) const {
    return gates[j] * (overFirst(j) - mean);
  }
};

/**
 * dClean and dRaw of the warp's row, which is one of a token; all other operands but the slopes are
 * all rows'. The slopes of the importance may be null.
 */
template <class S>
TOPKNOT_DEVICE void noisyGateRow(const Run* run, const LayerOptions* options, int row, int token,
                                 unsigned stream, const float* clean, const float* raw,
                                 const float* noisy, const int* chosen, const float* gates,
                                 const float* dGates, const float* importanceSlopes,
                                 const float* loadSlopes, float* dClean, float* dRaw) {
  constexpr int N = S::EXPERTS, K = S::K;
  const long long at = static_cast<long long>(row) * N;
  const long long first = static_cast<long long>(row) * K;
  const bool noise = options->noise != 0;
  const bool flows = K < N && noise && options->loadLoss != 0;
  const float floor = options->noiseFloor;
  const ChosenGradients gradients{chosen + first, gates + first, dGates + first,
                                  importanceSlopes};
  const float mean = gradients.template mean<K>();

  // through clean and sigma, the thresholds held fixed
  const int lastIndex = chosen[first + K - 1];
  const Key last = keyOf(noisy[at + lastIndex], lastIndex);
  const Key next = flows ? largestBelow<N>(noisy + at, last) : 0;
  double ofChosen = 0, ofOthers = 0;
  for (int column = 4 * laneOfThread(); column < N; column += 128) {
    float c[4] = {0, 0, 0, 0}, s[4] = {0, 0, 0, 0};
    if (flows) {
      float h[4], r[4];
      loadChunk<N>(noisy + at, 0, column, h);
      loadChunk<N>(clean + at, 0, column, c);
      loadChunk<N>(raw + at, 0, column, r);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        if (column + i < N) {
          const bool isChosen = keyOf(h[i], column + i) >= last;
          const float sigma = deviation(r[i], floor);
          const float z = distanceFrom(valueOf(isChosen ? next : last), c[i], sigma);
          const float d = loadSlopes[column + i] * normalDensity(z) / sigma;
          (isChosen ? ofChosen : ofOthers) += d;
          c[i] = d;
          s[i] = -d * z * sigmoid(r[i]);
        }
      }
    }
    storeChunk<N>(dClean + at, 0, column, c);
    storeChunk<N>(dRaw + at, 0, column, s);
  }
  ofChosen = sumOfWarp(ofChosen);
  ofOthers = sumOfWarp(ofOthers);

  // through H: the chosen, and the next in line, which is the threshold of the chosen; each goes to
  // the lane that wrote its entry
  constexpr int LANES = 32;
  const int entries = flows ? K + 1 : K;
  for (int from = 0; from < entries; from += LANES) {
    const int j = from + laneOfThread();
    int entry = 0;
    float ofClean = 0, ofRaw = 0;
    if (j < entries) {
      entry = j < K ? chosen[first + j] : indexOf(next);
      ofClean = j < K ? gradients.ofLogit(j, mean) : static_cast<float>(-ofChosen);
      if (j == K - 1) {
        ofClean -= static_cast<float>(ofOthers);  // the last chosen is the threshold of the others
      }
      if (noise) {
        ofRaw = ofClean * normalAt(run, token, stream, entry) * sigmoid(raw[at + entry]);
      }
    }
    for (int lane = 0; lane < LANES && from + lane < entries; lane++) {
      const int to = __shfl_sync(WHOLE_WARP, entry, lane);
      const float addClean = __shfl_sync(WHOLE_WARP, ofClean, lane);
      const float addRaw = __shfl_sync(WHOLE_WARP, ofRaw, lane);
      if (to / 4 % LANES == laneOfThread()) {
        dClean[at + to] += addClean;
        dRaw[at + to] += addRaw;
      }
    }
  }
}

/**
 * dClean and dRaw of the warp's token; slopes of the importance may be null. Grid: TOKENS / 8,
 * rounded up.
 */
template <class S>
TOPKNOT_DEVICE void noisyGateRows(const Run* run, const LayerOptions* options, const float* clean,
                                  const float* raw, const float* noisy, const int* chosen,
                                  const float* gates, const float* dGates,
                                  const float* importanceSlopes, const float* loadSlopes,
                                  float* dClean, float* dRaw) {
  const int token = tokenOfWarp<8>();
  if (token < run->valid) {
    noisyGateRow<S>(run, options, token, token, GATE_STREAM<S>, clean, raw, noisy, chosen, gates,
                    dGates, importanceSlopes, loadSlopes, dClean, dRaw);
  }
}

/** dClean of the warp's token, of a gate without noise. Grid: TOKENS / 8, rounded up. */
template <class S, bool AMONG>
TOPKNOT_DEVICE void plainGateRows(const Run* run, const float* clean, const int* chosen,
                                  const float* gates, const float* dGates, const float* slopes,
                                  float* dClean) {
  constexpr int N = S::EXPERTS, K = S::K;
  const int token = tokenOfWarp<8>();
  if (token >= run->valid) {
    return;
  }
  const long long at = static_cast<long long>(token) * N;
  const long long first = static_cast<long long>(token) * K;
  const ChosenGradients gradients{chosen + first, gates + first, dGates + first, slopes};
  if (AMONG) {  // dG p (1 where it is the chosen - the entry's own probability)
    const int largest = chosen[first];
    const float top = clean[at + largest];
    const double p = largestProbability<N>(clean + at, top);
    const float dGate = gradients.ofGate(0);
    for (int i = laneOfThread(); i < N; i += 32) {
      const double own = expf(clean[at + i] - top) * p;
      dClean[at + i] = static_cast<float>(dGate * p * ((i == largest ? 1 : 0) - own));
    }
    return;
  }
  const float mean = gradients.template mean<K>();
  for (int i = laneOfThread(); i < N; i += 32) {
    dClean[at + i] = 0;
  }
  __syncwarp();
  for (int j = laneOfThread(); j < K; j += 32) {
    dClean[at + chosen[first + j]] = gradients.ofLogit(j, mean);
  }
}

/**
 * dx += dClean W_g, and dRaw W_noise unless that is null. Grid: (TOKENS / GateTile::M,
 * WIDTH / GateTile::N), rounded up.
 */
template <class S>
TOPKNOT_DEVICE void gateInput(const Run* run, const float* dClean, const float* gateWeights,
                              const float* dRaw, const float* noiseWeights, float* dx) {
  using Tile = typename S::GateTile;
  const BlockPlace place = placeOfBlock();
  const int row = place.row * Tile::M;
  const int column = place.column * Tile::N;
  const int valid = run->valid;
  if (row >= valid) {
    return;
  }
  typename Tile::Sums sums;
  Tile::multiply(sharedMemory<float>(), alongColumns(Rows<S::EXPERTS>{dClean}, valid),
                 alongRows(Rows<S::WIDTH>{gateWeights}, S::EXPERTS), row, column, S::EXPERTS,
                 sums);
  if (dRaw != nullptr) {
    Tile::multiply(sharedMemory<float>(), alongColumns(Rows<S::EXPERTS>{dRaw}, valid),
                   alongRows(Rows<S::WIDTH>{noiseWeights}, S::EXPERTS), row, column, S::EXPERTS,
                   sums);
  }
  StoreEpilogue<S::WIDTH> epilogue{dx, row, valid, column, true};
  Tile::each(sums, epilogue);
}

/**
 * dWeights = gradient^T x, or added to. Where there are few tiles, the tokens are divided into
 * `count` shares, each with blocks of its own that leave its sum in shares [count, EXPERTS, WIDTH].
 * Grid: (EXPERTS / GateTile::M, WIDTH / GateTile::N), rounded up, for each share.
 */
template <class S>
TOPKNOT_DEVICE void gateWeight(const Run* run, const float* gradient, const float* x, int share,
                               int count, float* shares, float* dWeights) {
  using Tile = typename S::GateTile;
  constexpr int K = Tile::K;
  const int size = ((S::TOKENS + count - 1) / count + K - 1) / K * K;
  const int first = share * size;
  const int rows = max(0, min(size, run->valid - first));
  const bool add = count == 1 && run->add != 0;
  if (rows == 0 && add) {
    return;
  }
  const int row = static_cast<int>(blockIdx.x) * Tile::M;
  const int column = static_cast<int>(blockIdx.y) * Tile::N;
  typename Tile::Sums sums;
  Tile::multiply(
      sharedMemory<float>(),
      alongRows(Rows<S::EXPERTS>{gradient + static_cast<long long>(first) * S::EXPERTS}, rows),
      alongRows(Rows<S::WIDTH>{x + static_cast<long long>(first) * S::WIDTH}, rows), row, column,
      rows, sums);
  constexpr long long SIZE = static_cast<long long>(S::EXPERTS) * S::WIDTH;
  StoreEpilogue<S::WIDTH> epilogue{count == 1 ? dWeights : shares + share * SIZE, row, S::EXPERTS,
                                   column, add};
  Tile::each(sums, epilogue);
}

/** dWeights = the sum of the shares in their order, or that added to it. Grid: EXPERTS WIDTH / 256. */
template <class S>
TOPKNOT_DEVICE void sumShares(const Run* run, const float* shares, int count, float* dWeights) {
  constexpr long long SIZE = static_cast<long long>(S::EXPERTS) * S::WIDTH;
  const long long at = static_cast<long long>(blockIdx.x) * 256 + threadIdx.x;
  if (at >= SIZE) {
    return;
  }
  float sum = 0;
  for (int i = 0; i < count; i++) {
    sum += shares[i * SIZE + at];
  }
  dWeights[at] = run->add != 0 ? dWeights[at] + sum : sum;
}

// ---- Kernels -----------------------------------------------------------------------------------

/** What a gate without noise does, whichever method it is. */
#define TOPKNOT_PLAIN_FORWARD(prefix, S, AMONG)                                                  \
  TOPKNOT_KERNEL(S::GateTile::THREADS, S::GateTile::BLOCKS)                                      \
  prefix##_logits(const Run* run, const float* x, const float* gateWeights, float* clean) {      \
    gateLogits<S>(run, x, gateWeights, clean, false);                                            \
  }                                                                                              \
  TOPKNOT_KERNEL(32 * ROW_WARPS<S::K>)                                                           \
  prefix##_select(const Run* run, const float* clean, int* chosen, float* gates) {               \
    gateSelect<S, false, AMONG>(run, nullptr, clean, nullptr, nullptr, chosen, gates, nullptr);  \
  }                                                                                              \
  TOPKNOT_KERNEL(GATE_THREADS)                                                                   \
  prefix##_partials(const Run* run, const int* chosen, const float* gates, double* partials) {   \
    gatePartials<S, false>(run, nullptr, nullptr, nullptr, chosen, gates, nullptr, partials);    \
  }                                                                                              \
  TOPKNOT_GATE_SUMS(prefix, S)

#define TOPKNOT_GATE_SUMS(prefix, S)                                                             \
  TOPKNOT_KERNEL(GATE_THREADS)                                                                   \
  prefix##_sums(const Run* run, const double* partials, float* importance, float* load) {        \
    gateSums<S>(run, partials, importance, load);                                                \
  }

#define TOPKNOT_GATE_SLOPES(prefix, S)                                                           \
  TOPKNOT_KERNEL(GATE_SLOPE_THREADS)                                                             \
  prefix##_backward_slopes(const LayerOptions* options, const float* importance,                 \
                           const float* load, float* slopes) {                                   \
    gateSlopes<S>(options, importance, load, slopes);                                            \
  }

/** How a noisy gate chooses, with noise and without. */
#define TOPKNOT_NOISY_FORWARD(prefix, S)                                                         \
  TOPKNOT_KERNEL(S::GateTile::THREADS, S::GateTile::BLOCKS)                                      \
  prefix##_forward_logits(const Run* run, const LayerOptions* options, const float* x,           \
                          const float* gateWeights, const float* noiseWeights, float* clean,     \
                          float* raw) {                                                          \
    const bool noise = blockIdx.z == 1;                                                          \
    gateLogits<S>(run, x, noise ? noiseWeights : gateWeights, noise ? raw : clean,               \
                  noise && options->noise == 0);                                                 \
  }                                                                                              \
  TOPKNOT_KERNEL(32 * ROW_WARPS<S::K>)                                                           \
  prefix##_forward_select(const Run* run, const LayerOptions* options, const float* clean,       \
                          const float* raw, float* noisy, int* chosen, float* gates,             \
                          float* thresholds) {                                                   \
    gateSelect<S, true, false>(run, options, clean, raw, noisy, chosen, gates, thresholds);      \
  }                                                                                              \
  TOPKNOT_KERNEL(GATE_THREADS)                                                                   \
  prefix##_forward_partials(const Run* run, const LayerOptions* options, const float* clean,     \
                            const float* raw, const int* chosen, const float* gates,             \
                            const float* thresholds, double* partials) {                         \
    gatePartials<S, true>(run, options, clean, raw, chosen, gates, thresholds, partials);        \
  }                                                                                              \
  TOPKNOT_GATE_SUMS(prefix##_forward, S)                                                         \
  TOPKNOT_PLAIN_FORWARD(prefix##_infer, S, false)

/** The products of a noisy gate's gradients. */
#define TOPKNOT_NOISY_PRODUCTS(prefix, S)                                                        \
  TOPKNOT_KERNEL(S::GateTile::THREADS, S::GateTile::BLOCKS)                                      \
  prefix##_backward_input(const Run* run, const LayerOptions* options, const float* dClean,      \
                          const float* gateWeights, const float* dRaw,                           \
                          const float* noiseWeights, float* dx) {                                \
    gateInput<S>(run, dClean, gateWeights, options->noise != 0 ? dRaw : nullptr, noiseWeights,   \
                 dx);                                                                            \
  }                                                                                              \
  TOPKNOT_KERNEL(S::GateTile::THREADS, S::GateTile::BLOCKS)                                      \
  prefix##_backward_weight(const Run* run, const float* x, const float* dClean,                  \
                           const float* dRaw, long long count, float* shares,                    \
                           float* dGateWeights, float* dNoiseWeights) {                          \
    const int shareCount = static_cast<int>(count), z = static_cast<int>(blockIdx.z);            \
    const bool noise = z >= shareCount;                                                          \
    gateWeight<S>(run, noise ? dRaw : dClean, x, z % shareCount, shareCount,                     \
                  shares + (noise ? count * S::EXPERTS * S::WIDTH : 0),                          \
                  noise ? dNoiseWeights : dGateWeights);                                         \
  }                                                                                              \
  TOPKNOT_KERNEL(256)                                                                            \
  prefix##_backward_shares(const Run* run, long long count, const float* shares,                 \
                           float* dGateWeights, float* dNoiseWeights) {                          \
    const bool noise = blockIdx.y == 1;                                                          \
    sumShares<S>(run, shares + (noise ? count * S::EXPERTS * S::WIDTH : 0),                      \
                 static_cast<int>(count), noise ? dNoiseWeights : dGateWeights);                 \
  }

#define TOPKNOT_NOISY_TOP_K_GATE(prefix, S)                                                      \
  TOPKNOT_NOISY_FORWARD(prefix, S)                                                               \
  TOPKNOT_GATE_SLOPES(prefix, S)                                                                 \
  TOPKNOT_KERNEL(256)                                                                            \
  prefix##_backward_rows(const Run* run, const LayerOptions* options, const float* clean,        \
                         const float* raw, const float* noisy, const int* chosen,                \
                         const float* gates, const float* dGates, const float* slopes,           \
                         float* dClean, float* dRaw) {                                           \
    noisyGateRows<S>(run, options, clean, raw, noisy, chosen, gates, dGates, slopes,             \
                     slopes + S::EXPERTS, dClean, dRaw);                                         \
  }                                                                                              \
  TOPKNOT_NOISY_PRODUCTS(prefix, S)

#define TOPKNOT_TOP_K_GATE(prefix, S)                                                            \
  TOPKNOT_PLAIN_FORWARD(prefix##_forward, S, AMONG_ALL<S>)                                       \
  TOPKNOT_PLAIN_FORWARD(prefix##_infer, S, AMONG_ALL<S>)                                         \
  TOPKNOT_GATE_SLOPES(prefix, S)                                                                 \
  TOPKNOT_KERNEL(256)                                                                            \
  prefix##_backward_rows(const Run* run, const float* clean, const int* chosen,                  \
                         const float* gates, const float* dGates, const float* slopes,           \
                         float* dClean) {                                                        \
    plainGateRows<S, AMONG_ALL<S>>(run, clean, chosen, gates, dGates, slopes, dClean);           \
  }                                                                                              \
  TOPKNOT_KERNEL(S::GateTile::THREADS, S::GateTile::BLOCKS)                                      \
  prefix##_backward_input(const Run* run, const float* dClean, const float* gateWeights,         \
                          float* dx) {                                                           \
    gateInput<S>(run, dClean, gateWeights, nullptr, nullptr, dx);                                \
  }                                                                                              \
  TOPKNOT_KERNEL(S::GateTile::THREADS, S::GateTile::BLOCKS)                                      \
  prefix##_backward_weight(const Run* run, const float* x, const float* dClean,                  \
                           long long count, float* shares, float* dGateWeights) {                \
    gateWeight<S>(run, dClean, x, static_cast<int>(blockIdx.z), static_cast<int>(count), shares, \
                  dGateWeights);                                                                 \
  }                                                                                              \
  TOPKNOT_KERNEL(256)                                                                            \
  prefix##_backward_shares(const Run* run, long long count, const float* shares,                 \
                           float* dGateWeights) {                                                \
    sumShares<S>(run, shares, static_cast<int>(count), dGateWeights);                            \
  }
