// The gates of a hierarchy ([S17] app. B): a primary gate chooses PRIMARY_K of GROUPS groups for each
// token, a secondary gate of each group chooses among its EXPERTS / GROUPS experts.
//
//   gates = primary gate times secondary gate; importance_e = the sum of the gates of e;
//   load_ij = primaryLoad_i secondaryLoad_ij / |X_i|, X_i the tokens of group i; 0 without any
//
// Shapes, with P = TOKENS PRIMARY_K rows sorted by group, m = EXPERTS / GROUPS and
// k = K / PRIMARY_K: x [TOKENS, WIDTH]; offsets [GROUPS + 1], rows [P] (the token of each row),
// slots [P] (the row of each pair token PRIMARY_K + choice); weights [EXPERTS, WIDTH]; clean, raw
// and noisy [P, m]; secondary chosen (numbered within the group) and gates [P, k], load [EXPERTS].
//
// The primary gate is that of gate.cuh with the kernels of dispatch.cuh behind it. The products of
// secondary gates are those of experts (perceptron.cuh): a tile has rows of one group, found by a
// search, and loads x where it lies; so a token meets m logits a group, not EXPERTS. All that
// chooses, adds up and flows back is gate.cuh's, with a row in a token's place; noise is drawn for
// the row's token in the stream of its group. The gradient of x is that of each row first, then a
// token adds up its rows.
//
// FLOPs: 4 P WIDTH m forward, twice that backward. Bytes: weights 8 EXPERTS WIDTH a pass, rows
// 4 P (WIDTH + 5 m) forward.
#pragma once

#include "topknot/combine.cuh"
#include "topknot/dispatch.cuh"
#include "topknot/gate.cuh"
#include "topknot/perceptron.cuh"

/** In fp32 also where experts are not. */
using GateTile = Fp32Tile;

/** Groups where others have experts: of the primary gate, of sorting, of grouped products. */
template <class S>
struct GroupsOf {
  using Tile = Fp32Tile;
  using GateTile = Fp32Tile;
  static constexpr int TOKENS = S::TOKENS, WIDTH = S::WIDTH, EXPERTS = S::GROUPS,
                       K = S::PRIMARY_K, HIDDEN = S::EXPERTS / S::GROUPS,
                       STREAM_LAYER = S::STREAM_LAYER;
  static constexpr Activation ACTIVATION = IDENTITY;
};

/** The experts of one group, and how many of them a row chooses. */
template <class S>
struct ExpertsOfGroup {
  static constexpr int EXPERTS = S::EXPERTS / S::GROUPS, K = S::K / S::PRIMARY_K;
};

static_assert(GateTile::M == GATE_TOKENS, "a tile of rows is a part of the sums");

/** The group of a row. */
template <class S>
TOPKNOT_DEVICE int groupOfRow(const int* offsets, int row) {
  int low = 0, high = S::GROUPS;  // the last group that starts at or before this row
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (offsets[middle] <= row) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

/** A tile of rows of one group, or none. */
template <class S>
TOPKNOT_DEVICE RowTile groupTile(const int* offsets) {
  return ByExpert<GroupsOf<S>>{offsets, nullptr}.tile(blockIdx.x);
}

// ---- Secondary gates ---------------------------------------------------------------------------

/**
 * logits [P, m] of each row = x W^T of its group, or zeros. Grid: (row tiles, m / 64), rounded up;
 * shared: GateTile::SHARED_BYTES, as for all products.
 */
template <class S>
TOPKNOT_DEVICE void secondaryLogits(const int* offsets, const int* rows, const float* x,
                                    const float* weights, float* logits, bool zero) {
  if (!zero) {
    hiddenForward<GroupsOf<S>>(ByExpert<GroupsOf<S>>{offsets, rows}, x, weights, nullptr, logits);
    return;
  }
  const RowTile tile = groupTile<S>(offsets);
  const int column = static_cast<int>(blockIdx.y) * GateTile::N;
  GateTile::Sums sums;
  StoreEpilogue<GroupsOf<S>::HIDDEN> epilogue{logits, tile.first, tile.first + tile.rows, column,
                                              false};
  GateTile::each(sums, epilogue);
}

/** As gateSelect, a row a warp. Grid: P / ROW_WARPS<k>, rounded up. */
template <class S, bool NOISY>
TOPKNOT_DEVICE void secondarySelect(const Run* run, const LayerOptions* options,
                                    const int* offsets, const int* rows, const float* clean,
                                    const float* raw, float* noisy, int* chosen, float* gates,
                                    float* thresholds) {
  const int row = tokenOfWarp<ROW_WARPS<ExpertsOfGroup<S>::K>>();
  if (row >= run->valid * S::PRIMARY_K) {
    return;
  }
  const int token = NOISY ? rows[row] : 0;
  const int group = NOISY ? groupOfRow<S>(offsets, row) : 0;
  selectRow<ExpertsOfGroup<S>, NOISY, false>(run, options, row, token, GATE_STREAM<S> + 1 + group,
                                             clean, raw, noisy, chosen, gates, thresholds);
}

/**
 * partials [GROUPS + P / 64, 2, m]: as gatePartials, of a tile of rows. Grid: (row tiles, m / 128),
 * rounded up.
 */
template <class S, bool NOISY>
TOPKNOT_DEVICE void groupPartials(const LayerOptions* options, const int* offsets,
                                  const float* clean, const float* raw, const int* chosen,
                                  const float* gates, const float* thresholds, double* partials) {
  constexpr int SIZE = ExpertsOfGroup<S>::EXPERTS;
  const RowTile tile = groupTile<S>(offsets);
  const int expert = static_cast<int>(blockIdx.y * GATE_THREADS + threadIdx.x);
  if (tile.rows == 0 || expert >= SIZE) {
    return;
  }
  const long long part = tile.first / GATE_TOKENS + tile.expert;
  sumRows<ExpertsOfGroup<S>, NOISY>(options, expert, tile.first, tile.first + tile.rows, chosen,
                                    gates, clean, raw, thresholds,
                                    partials + part * (2 * SIZE) + expert);
}

/** The sum over the tiles of an expert's group; from partials for the load, partials + m on. */
template <class S>
TOPKNOT_DEVICE double sumOfParts(const int* offsets, int expert, const double* partials) {
  constexpr int SIZE = ExpertsOfGroup<S>::EXPERTS;
  const int group = expert / SIZE;
  const int first = offsets[group];
  const int parts = (offsets[group + 1] - first + GATE_TOKENS - 1) / GATE_TOKENS;
  const double* from =
      partials + (static_cast<long long>(first / GATE_TOKENS) + group) * (2 * SIZE) + expert % SIZE;
  double sum = 0;
#pragma unroll 8
  for (int part = 0; part < parts; part++) {
    sum += from[static_cast<long long>(part) * (2 * SIZE)];
  }
  return sum;
}

/** load [EXPERTS] of each group's tokens. Grid: EXPERTS / 128, rounded up. */
template <class S>
TOPKNOT_DEVICE void secondarySums(const int* offsets, const double* partials, float* load) {
  const int expert = static_cast<int>(blockIdx.x * GATE_THREADS + threadIdx.x);
  if (expert < S::EXPERTS) {
    load[expert] = static_cast<float>(
        sumOfParts<S>(offsets, expert, partials + ExpertsOfGroup<S>::EXPERTS));
  }
}

/** dClean and dRaw of the warp's row. Grid: P / 8, rounded up. */
template <class S>
TOPKNOT_DEVICE void secondaryRows(const Run* run, const LayerOptions* options, const int* offsets,
                                  const int* rows, const float* clean, const float* raw,
                                  const float* noisy, const int* chosen, const float* gates,
                                  const float* dGates, const float* dLoad, float* dClean,
                                  float* dRaw) {
  const int row = tokenOfWarp<8>();
  if (row >= run->valid * S::PRIMARY_K) {
    return;
  }
  const int group = groupOfRow<S>(offsets, row);
  noisyGateRow<ExpertsOfGroup<S>>(run, options, row, rows[row], GATE_STREAM<S> + 1 + group, clean,
                                  raw, noisy, chosen, gates, dGates, nullptr,
                                  dLoad + group * ExpertsOfGroup<S>::EXPERTS, dClean, dRaw);
}

/**
 * dRows [P, WIDTH] = dClean W_g, and dRaw W_noise unless that is null. Grid: (row tiles,
 * WIDTH / 64), rounded up.
 */
template <class S>
TOPKNOT_DEVICE void secondaryInput(const int* offsets, const float* dClean,
                                   const float* gateWeights, const float* dRaw,
                                   const float* noiseWeights, float* dRows) {
  const RowTile tile = groupTile<S>(offsets);
  const int column = static_cast<int>(blockIdx.y) * GateTile::N;
  if (tile.rows == 0) {
    return;
  }
  GateTile::Sums sums;
  addInputGradient<GroupsOf<S>>(tile, column, dClean, gateWeights, sums);
  if (dRaw != nullptr) {
    addInputGradient<GroupsOf<S>>(tile, column, dRaw, noiseWeights, sums);
  }
  StoreEpilogue<S::WIDTH> epilogue{dRows, tile.first, tile.first + tile.rows, column, false};
  GateTile::each(sums, epilogue);
}

/**
 * dWeights of a group = gradient^T x over its rows, or added to. Grid: (m / 64, WIDTH / 64), rounded
 * up, and a layer of blocks for each group's two weights.
 */
template <class S>
TOPKNOT_DEVICE void secondaryWeight(const Run* run, const int* offsets, const int* rows,
                                    const float* x, const float* gradient, float* dWeights) {
  constexpr int SIZE = ExpertsOfGroup<S>::EXPERTS;
  const ByExpert<GroupsOf<S>> groups{offsets, rows};
  const RowTile all = groups.all(blockIdx.z / 2);
  const Rows<SIZE> of{gradient + static_cast<long long>(all.first) * SIZE};
  multiplyWeight<GateTile>(of, groups.tokens(x, all.first), all.rows,
                           dWeights + static_cast<long long>(all.expert) * SIZE * S::WIDTH,
                           run->add != 0);
}

// ---- Both levels together ----------------------------------------------------------------------

/** The number of the calling thread's pair of a token and a group, of 256 a block; -1: none. */
template <class S>
TOPKNOT_DEVICE int pairOfThread(const Run* run) {
  const int pair = static_cast<int>(blockIdx.x * 256 + threadIdx.x);
  return pair < run->valid * S::PRIMARY_K ? pair : -1;
}

/** chosen and gates [TOKENS, K] of each pair; rowGates [P, k]: the gates in the rows' order. */
template <class S>
TOPKNOT_DEVICE void hierarchicalGates(const Run* run, const int* primaryChosen,
                                      const float* primaryGates, const int* slots,
                                      const int* secondaryChosen, const float* secondaryGates,
                                      int* chosen, float* gates, float* rowGates) {
  constexpr int SIZE = ExpertsOfGroup<S>::EXPERTS, K = ExpertsOfGroup<S>::K;
  const int pair = pairOfThread<S>(run);
  if (pair < 0) {
    return;
  }
  const long long to = static_cast<long long>(pair) * K;
  const long long from = static_cast<long long>(slots[pair]) * K;
  const int first = primaryChosen[pair] * SIZE;
  const float primary = primaryGates[pair];
  for (int j = 0; j < K; j++) {
    const float gate = primary * secondaryGates[from + j];
    chosen[to + j] = first + secondaryChosen[from + j];
    gates[to + j] = gate;
    rowGates[from + j] = gate;
  }
}

/** A value over |X_i|; 0 without tokens. */
TOPKNOT_DEVICE float perToken(float value, const int* offsets, int group) {
  const int tokens = offsets[group + 1] - offsets[group];
  return tokens == 0 ? 0.0f : divExact(value, static_cast<float>(tokens));
}

/** importance and load [EXPERTS]. Grid: EXPERTS / 128, rounded up. */
template <class S>
TOPKNOT_DEVICE void hierarchicalSums(const int* offsets, const double* partials,
                                     const float* primaryLoad, const float* secondaryLoad,
                                     float* importance, float* load) {
  const int expert = static_cast<int>(blockIdx.x * GATE_THREADS + threadIdx.x);
  if (expert >= S::EXPERTS) {
    return;
  }
  const int group = expert / ExpertsOfGroup<S>::EXPERTS;
  importance[expert] = static_cast<float>(sumOfParts<S>(offsets, expert, partials));
  load[expert] = secondaryLoad[expert] * perToken(primaryLoad[group], offsets, group);
}

/** From dGates [TOKENS, K] and the slopes of the importance to the gradients of both gates. */
template <class S>
TOPKNOT_DEVICE void hierarchicalGateGradients(const Run* run, const int* primaryChosen,
                                              const float* primaryGates, const int* slots,
                                              const int* secondaryChosen,
                                              const float* secondaryGates, const float* dGates,
                                              const float* slopes, float* dPrimaryGates,
                                              float* dSecondaryGates) {
  constexpr int SIZE = ExpertsOfGroup<S>::EXPERTS, K = ExpertsOfGroup<S>::K;
  const int pair = pairOfThread<S>(run);
  if (pair < 0) {
    return;
  }
  const long long from = static_cast<long long>(pair) * K;
  const long long to = static_cast<long long>(slots[pair]) * K;
  const float* slope = slopes + primaryChosen[pair] * SIZE;
  const float primary = primaryGates[pair];
  double sum = 0;
  for (int j = 0; j < K; j++) {
    const float d = dGates[from + j] + slope[secondaryChosen[to + j]];
    sum += static_cast<double>(d) * secondaryGates[to + j];
    dSecondaryGates[to + j] = d * primary;
  }
  dPrimaryGates[pair] = static_cast<float>(sum);
}

/** From the slopes of the load, [EXPERTS], to those of both levels. A group a warp. */
template <class S>
TOPKNOT_DEVICE void hierarchicalLoadGradients(const int* offsets, const float* slopes,
                                              const float* primaryLoad,
                                              const float* secondaryLoad, float* dPrimaryLoad,
                                              float* dSecondaryLoad) {
  constexpr int SIZE = ExpertsOfGroup<S>::EXPERTS;
  const int group = tokenOfWarp<8>();
  if (group >= S::GROUPS) {
    return;
  }
  const float factor = perToken(primaryLoad[group], offsets, group);
  double sum = 0;
  for (int i = laneOfThread(); i < SIZE; i += 32) {
    const int expert = group * SIZE + i;
    sum += static_cast<double>(slopes[expert]) * secondaryLoad[expert];
    dSecondaryLoad[expert] = slopes[expert] * factor;
  }
  sum = sumOfWarp(sum);
  if (laneOfThread() == 0) {
    dPrimaryLoad[group] = perToken(static_cast<float>(sum), offsets, group);
  }
}

// ---- Kernels -----------------------------------------------------------------------------------

#define TOPKNOT_PRIMARY_GATE(prefix, S)                                                          \
  TOPKNOT_NOISY_FORWARD(prefix, GroupsOf<S>)                                                     \
  TOPKNOT_SORT(prefix##_forward, GroupsOf<S>)                                                    \
  TOPKNOT_SORT(prefix##_infer, GroupsOf<S>)                                                      \
  TOPKNOT_KERNEL(256)                                                                            \
  prefix##_backward_rows(const Run* run, const LayerOptions* options, const float* clean,        \
                         const float* raw, const float* noisy, const int* chosen,                \
                         const float* gates, const float* dGates, const float* dLoad,            \
                         float* dClean, float* dRaw) {                                           \
    noisyGateRows<GroupsOf<S>>(run, options, clean, raw, noisy, chosen, gates, dGates, nullptr,  \
                               dLoad, dClean, dRaw);                                             \
  }                                                                                              \
  TOPKNOT_NOISY_PRODUCTS(prefix, GroupsOf<S>)

#define TOPKNOT_SECONDARY_GATE(prefix, S)                                                        \
  TOPKNOT_KERNEL(GateTile::THREADS)                                                              \
  prefix##_forward_logits(const LayerOptions* options, const int* offsets, const int* rows,      \
                          const float* x, const float* gateWeights, const float* noiseWeights,   \
                          float* clean, float* raw) {                                            \
    const bool noise = blockIdx.z == 1;                                                          \
    secondaryLogits<S>(offsets, rows, x, noise ? noiseWeights : gateWeights,                     \
                       noise ? raw : clean, noise && options->noise == 0);                       \
  }                                                                                              \
  TOPKNOT_KERNEL(32 * ROW_WARPS<ExpertsOfGroup<S>::K>)                                           \
  prefix##_forward_select(const Run* run, const LayerOptions* options, const int* offsets,       \
                          const int* rows, const float* clean, const float* raw, float* noisy,   \
                          int* chosen, float* gates, float* thresholds) {                        \
    secondarySelect<S, true>(run, options, offsets, rows, clean, raw, noisy, chosen, gates,      \
                             thresholds);                                                        \
  }                                                                                              \
  TOPKNOT_KERNEL(GATE_THREADS)                                                                   \
  prefix##_forward_partials(const LayerOptions* options, const int* offsets,                     \
                            const float* clean, const float* raw, const int* chosen,             \
                            const float* gates, const float* thresholds, double* partials) {     \
    groupPartials<S, true>(options, offsets, clean, raw, chosen, gates, thresholds, partials);   \
  }                                                                                              \
  TOPKNOT_SECONDARY_SUMS(prefix##_forward, S)                                                    \
  TOPKNOT_KERNEL(GateTile::THREADS)                                                              \
  prefix##_infer_logits(const int* offsets, const int* rows, const float* x,                     \
                        const float* gateWeights, float* clean) {                                \
    secondaryLogits<S>(offsets, rows, x, gateWeights, clean, false);                             \
  }                                                                                              \
  TOPKNOT_KERNEL(32 * ROW_WARPS<ExpertsOfGroup<S>::K>)                                           \
  prefix##_infer_select(const Run* run, const float* clean, int* chosen, float* gates) {         \
    secondarySelect<S, false>(run, nullptr, nullptr, nullptr, clean, nullptr, nullptr, chosen,   \
                              gates, nullptr);                                                   \
  }                                                                                              \
  TOPKNOT_KERNEL(GATE_THREADS)                                                                   \
  prefix##_infer_partials(const int* offsets, const int* chosen, const float* gates,             \
                          double* partials) {                                                    \
    groupPartials<S, false>(nullptr, offsets, nullptr, nullptr, chosen, gates, nullptr,          \
                            partials);                                                           \
  }                                                                                              \
  TOPKNOT_SECONDARY_SUMS(prefix##_infer, S)                                                      \
  TOPKNOT_KERNEL(256)                                                                            \
  prefix##_backward_rows(const Run* run, const LayerOptions* options, const int* offsets,        \
                         const int* rows, const float* clean, const float* raw,                  \
                         const float* noisy, const int* chosen, const float* gates,              \
                         const float* dGates, const float* dLoad, float* dClean,                 \
                         float* dRaw) {                                                          \
    secondaryRows<S>(run, options, offsets, rows, clean, raw, noisy, chosen, gates, dGates,      \
                     dLoad, dClean, dRaw);                                                       \
  }                                                                                              \
  TOPKNOT_KERNEL(GateTile::THREADS)                                                              \
  prefix##_backward_input(const LayerOptions* options, const int* offsets, const float* dClean,  \
                          const float* gateWeights, const float* dRaw,                           \
                          const float* noiseWeights, float* dRows) {                             \
    secondaryInput<S>(offsets, dClean, gateWeights, options->noise != 0 ? dRaw : nullptr,        \
                      noiseWeights, dRows);                                                      \
  }                                                                                              \
  TOPKNOT_KERNEL(32 * ROW_WARPS<S::PRIMARY_K>)                                                   \
  prefix##_backward_tokens(const Run* run, const float* dRows, const int* slots, float* dx) {    \
    combineRows<GroupsOf<S>, false, true>(run, dRows, nullptr, slots, dx);                       \
  }                                                                                              \
  TOPKNOT_KERNEL(GateTile::THREADS)                                                              \
  prefix##_backward_weight(const Run* run, const int* offsets, const int* rows, const float* x,  \
                           const float* dClean, const float* dRaw, float* dGateWeights,          \
                           float* dNoiseWeights) {                                               \
    const bool noise = blockIdx.z % 2 == 1;                                                      \
    secondaryWeight<S>(run, offsets, rows, x, noise ? dRaw : dClean,                             \
                       noise ? dNoiseWeights : dGateWeights);                                    \
  }

#define TOPKNOT_SECONDARY_SUMS(prefix, S)                                                        \
  TOPKNOT_KERNEL(GATE_THREADS)                                                                   \
  prefix##_sums(const int* offsets, const double* partials, float* load) {                       \
    secondarySums<S>(offsets, partials, load);                                                   \
  }

#define TOPKNOT_HIERARCHICAL_GATE(prefix, S)                                                     \
  TOPKNOT_KERNEL(256)                                                                            \
  prefix##_forward_gates(const Run* run, const int* primaryChosen, const float* primaryGates,    \
                         const int* slots, const int* secondaryChosen,                           \
                         const float* secondaryGates, int* chosen, float* gates,                 \
                         float* rowGates) {                                                      \
    hierarchicalGates<S>(run, primaryChosen, primaryGates, slots, secondaryChosen,               \
                         secondaryGates, chosen, gates, rowGates);                               \
  }                                                                                              \
  TOPKNOT_KERNEL(GATE_THREADS)                                                                   \
  prefix##_forward_partials(const int* offsets, const int* secondaryChosen,                      \
                            const float* rowGates, double* partials) {                           \
    groupPartials<S, false>(nullptr, offsets, nullptr, nullptr, secondaryChosen, rowGates,       \
                            nullptr, partials);                                                  \
  }                                                                                              \
  TOPKNOT_KERNEL(GATE_THREADS)                                                                   \
  prefix##_forward_sums(const int* offsets, const double* partials, const float* primaryLoad,    \
                        const float* secondaryLoad, float* importance, float* load) {            \
    hierarchicalSums<S>(offsets, partials, primaryLoad, secondaryLoad, importance, load);        \
  }                                                                                              \
  TOPKNOT_GATE_SLOPES(prefix, S)                                                                 \
  TOPKNOT_KERNEL(256)                                                                            \
  prefix##_backward_gates(const Run* run, const int* primaryChosen, const float* primaryGates,   \
                          const int* slots, const int* secondaryChosen,                          \
                          const float* secondaryGates, const float* dGates,                      \
                          const float* slopes, float* dPrimaryGates,                             \
                          float* dSecondaryGates) {                                              \
    hierarchicalGateGradients<S>(run, primaryChosen, primaryGates, slots, secondaryChosen,       \
                                 secondaryGates, dGates, slopes, dPrimaryGates,                  \
                                 dSecondaryGates);                                               \
  }                                                                                              \
  TOPKNOT_KERNEL(256)                                                                            \
  prefix##_backward_loads(const int* offsets, const float* slopes, const float* primaryLoad,     \
                          const float* secondaryLoad, float* dPrimaryLoad,                       \
                          float* dSecondaryLoad) {                                               \
    hierarchicalLoadGradients<S>(offsets, slopes + S::EXPERTS, primaryLoad, secondaryLoad,       \
                                 dPrimaryLoad, dSecondaryLoad);                                  \
  }
