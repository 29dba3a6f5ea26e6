// One hidden layer between two products, out = f(x W1^T) W2^T, on all tokens or on the rows that a
// gate sent to each of many: what feed_forward.cuh, experts.cuh and swiglu.cuh have in common.
//
// A Group says which rows of which expert a block has; with one expert it is all valid tokens.
// Blocks are numbered by row tiles. The plan must launch a constant number of them, so a block finds
// its tile itself, in log2 n steps over the offsets and without any prefix sums:
//
//   more slots than experts: the tiles of expert e are numbered from offsets[e] / M + e, rounded
//   down. Expert e has at most ceil(rows / M) of them, and the next expert's first number is never
//   smaller than that needs, so that n + P / M blocks are enough and each has one tile or none.
//
//   at most as many slots as experts: block s has a tile if a tile of M rows starts at slot s, so P
//   blocks are enough.
//
// Gathering a row costs nothing but reading its number: a tile loads the rows of x where they are.
#pragma once

#include "topknot/gemm.cuh"

/** The rows of c that a tile computes: slots `first` on, all of one expert. */
struct RowTile {
  int expert;
  int first;
  int rows;  // 0: none
};

/** All valid tokens, one expert. S has Tile, WIDTH and HIDDEN. */
template <class S>
struct AllTokens {
  static constexpr bool GATED = false;
  using Tile = typename S::Tile;
  const Run* run;

  TOPKNOT_DEVICE RowTile tile(int number) const {
    const int first = number * Tile::M;
    return {0, first, max(0, min(Tile::M, run->valid - first))};
  }

  /** All rows of an expert. */
  TOPKNOT_DEVICE RowTile all(unsigned) const { return {0, 0, run->valid}; }

  /** The rows of a matrix over tokens [T, WIDTH] that belong to slots `first` on. */
  template <class Element>
  TOPKNOT_DEVICE Rows<S::WIDTH, Element> tokens(const Element* x, int first) const {
    return {x + static_cast<long long>(first) * S::WIDTH};
  }
};

/**
 * The slots of each expert, sorted by expert; S has TOKENS, K, PLACES, EXPERTS as well. Those of a
 * kind of experts begin at a slot of their own, which tiles are numbered from.
 */
template <class S>
struct ByExpert {
  static constexpr bool GATED = true;
  using Tile = typename S::Tile;
  const int* offsets;  // [EXPERTS + 1], from the first of these experts on
  const int* list;     // the token of each slot

  TOPKNOT_DEVICE RowTile tile(int at) const {
    constexpr bool few = static_cast<long long>(S::TOKENS) * S::K <= S::EXPERTS;
    const int base = offsets[0];
    if (few && at >= offsets[S::EXPERTS] - base) {
      return {0, 0, 0};
    }
    int low = 0, high = S::EXPERTS;  // the last expert that starts at or before this number
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      const int slot = offsets[middle] - base;
      const int start = few ? slot : slot / Tile::M + middle;
      if (start <= at) {
        low = middle;
      } else {
        high = middle;
      }
    }
    const int from = offsets[low];
    const int first = few ? base + at : from + (at - ((from - base) / Tile::M + low)) * Tile::M;
    const bool starts = !few || (first - from) % Tile::M == 0;
    return {low, first, starts ? max(0, min(Tile::M, offsets[low + 1] - first)) : 0};
  }

  TOPKNOT_DEVICE RowTile all(unsigned expert) const {
    const int from = offsets[expert];
    return {static_cast<int>(expert), from, offsets[expert + 1] - from};
  }

  template <class Element>
  TOPKNOT_DEVICE ListedRows<S::WIDTH, Element> tokens(const Element* x, int first) const {
    return {x, list + first};
  }
};

/** Likewise, of a matrix that has the rows of the slots themselves. */
template <class S>
struct SlotsByExpert {
  static constexpr bool GATED = true;
  using Tile = typename S::Tile;
  ByExpert<S> experts;

  TOPKNOT_DEVICE RowTile tile(int number) const { return experts.tile(number); }

  TOPKNOT_DEVICE RowTile all(unsigned expert) const { return experts.all(expert); }

  template <class Element>
  TOPKNOT_DEVICE Rows<S::WIDTH, Element> tokens(const Element* x, int first) const {
    return {x + static_cast<long long>(first) * S::WIDTH};
  }
};

/**
 * Blocks that a multiprocessor should hold. Rows that are no whole pieces of 16 bytes are loaded and
 * stored a value at a time, for which three blocks leave too few registers.
 */
template <class S>
constexpr int BLOCKS = S::WIDTH % 4 == 0 && S::HIDDEN % 4 == 0 ? S::Tile::BLOCKS : 2;

/** What activations and their gradients are kept as between the products of an op. */
template <class S>
using Stored = typename S::Tile::Stored;

/** Slots `first` on of a matrix over slots. */
template <int COLUMNS, class Element>
TOPKNOT_DEVICE Rows<COLUMNS, Element> slotsFrom(const Element* matrix, int first) {
  return {matrix + static_cast<long long>(first) * COLUMNS};
}

/** The weights of an expert, in a matrix [experts ROWS, COLUMNS]. */
template <int ROWS, int COLUMNS>
TOPKNOT_DEVICE const float* weightsOf(int expert, const float* weights) {
  return weights + static_cast<long long>(expert) * ROWS * COLUMNS;
}

/** kept, y [slots, HIDDEN] = x W1^T and its activation, as ActivateEpilogue. */
template <class S, class Group>
TOPKNOT_DEVICE void hiddenForward(Group group, const Stored<S>* x, const float* w1, float* kept,
                                  Stored<S>* y) {
  using Tile = typename S::Tile;
  const BlockPlace place = placeOfBlock();
  const RowTile tile = group.tile(place.row);
  const int column = place.column * Tile::N;
  if (tile.rows == 0) {
    return;
  }
  typename Tile::Sums sums;
  const Rows<S::WIDTH> weights{weightsOf<S::HIDDEN, S::WIDTH>(tile.expert, w1)};
  Tile::multiply(sharedMemory<float>(), alongColumns(group.tokens(x, tile.first), tile.rows),
                 alongColumns(weights, S::HIDDEN), 0, column, S::WIDTH, sums);
  ActivateEpilogue<S::HIDDEN, S::ACTIVATION, Stored<S>> epilogue{
      nullptr, kept, y, tile.first, tile.first + tile.rows, column};
  Tile::each(sums, epilogue);
}

/** out [slots, WIDTH] = a [slots, HIDDEN] W2^T. */
template <class S, class Group>
TOPKNOT_DEVICE void outputForward(Group group, const Stored<S>* a, const float* w2, float* out) {
  using Tile = typename S::Tile;
  const BlockPlace place = placeOfBlock();
  const RowTile tile = group.tile(place.row);
  const int column = place.column * Tile::N;
  if (tile.rows == 0) {
    return;
  }
  typename Tile::Sums sums;
  const Rows<S::HIDDEN> weights{weightsOf<S::WIDTH, S::HIDDEN>(tile.expert, w2)};
  Tile::multiply(sharedMemory<float>(),
                 alongColumns(slotsFrom<S::HIDDEN>(a, tile.first), tile.rows),
                 alongColumns(weights, S::WIDTH), 0, column, S::HIDDEN, sums);
  StoreEpilogue<S::WIDTH> epilogue{out, tile.first, tile.first + tile.rows, column, false};
  Tile::each(sums, epilogue);
}

/** sums += d [slots, HIDDEN] W1 for a tile of slots: the gradient of its inputs. */
template <class S>
TOPKNOT_DEVICE void addInputGradient(const RowTile& tile, int column, const Stored<S>* d,
                                     const float* w1, typename S::Tile::Sums& sums) {
  using Tile = typename S::Tile;
  const Rows<S::WIDTH> weights{weightsOf<S::HIDDEN, S::WIDTH>(tile.expert, w1)};
  Tile::multiply(sharedMemory<float>(),
                 alongColumns(slotsFrom<S::HIDDEN>(d, tile.first), tile.rows),
                 alongRows(weights, S::HIDDEN), 0, column, S::HIDDEN, sums);
}

/** dIn [slots, WIDTH] = dHidden [slots, HIDDEN] W1. */
template <class S, class Group>
TOPKNOT_DEVICE void inputBackward(Group group, const Stored<S>* dHidden, const float* w1,
                                  float* dIn) {
  using Tile = typename S::Tile;
  const BlockPlace place = placeOfBlock();
  const RowTile tile = group.tile(place.row);
  const int column = place.column * Tile::N;
  if (tile.rows == 0) {
    return;
  }
  typename Tile::Sums sums;
  addInputGradient<S>(tile, column, dHidden, w1, sums);
  StoreEpilogue<S::WIDTH> epilogue{dIn, tile.first, tile.first + tile.rows, column, false};
  Tile::each(sums, epilogue);
}

/** dW1 [experts HIDDEN, WIDTH] = dHidden^T x over the rows of expert blockIdx.z. */
template <class S, class Group>
TOPKNOT_DEVICE void inWeightBackward(Group group, const Run* run, const Stored<S>* dHidden,
                                     const Stored<S>* x, float* dW1) {
  const RowTile all = group.all(blockIdx.z);
  multiplyWeight<typename S::Tile, Group::GATED>(
      slotsFrom<S::HIDDEN>(dHidden, all.first), group.tokens(x, all.first), all.rows,
      dW1 + static_cast<long long>(all.expert) * S::HIDDEN * S::WIDTH, run->add != 0);
}

/** dW2 [experts WIDTH, HIDDEN] = dy^T a over the rows of expert blockIdx.z; a holds the gate. */
template <class S, class Group>
TOPKNOT_DEVICE void outWeightBackward(Group group, const Run* run, const Stored<S>* dy,
                                      const Stored<S>* a, float* dW2) {
  const RowTile all = group.all(blockIdx.z);
  multiplyWeight<typename S::Tile, Group::GATED>(
      group.tokens(dy, all.first), slotsFrom<S::HIDDEN>(a, all.first), all.rows,
      dW2 + static_cast<long long>(all.expert) * S::HIDDEN * S::WIDTH, run->add != 0);
}

/** The valid rows of a matrix over tokens, rounded; grid: tokens WIDTH / 1024, 256 threads. */
template <class S>
TOPKNOT_DEVICE void roundTokens(const Run* run, const float* x, Bf16* rounded) {
  const long long elements = static_cast<long long>(run->valid) * S::WIDTH;
  const long long first = static_cast<long long>(blockIdx.x) * 1024 + threadIdx.x;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const long long at = first + i * 256;
    if (at < elements) {
      rounded[at] = toBf16(x[at]);
    }
  }
}

/** For products that read bf16: x before a forward pass, x and dy before a backward pass. */
#define TOPKNOT_ROUND_TOKENS(prefix, S)                                                           \
  TOPKNOT_KERNEL(256) prefix##_forward_round(const Run* run, const float* x, Bf16* rounded) {     \
    roundTokens<S>(run, x, rounded);                                                              \
  }                                                                                               \
  TOPKNOT_KERNEL(256)                                                                             \
  prefix##_backward_round(const Run* run, const float* x, const float* dy, Bf16* roundedX,        \
                          Bf16* roundedDy) {                                                      \
    const bool second = blockIdx.y == 1;                                                          \
    roundTokens<S>(run, second ? dy : x, second ? roundedDy : roundedX);                          \
  }

// ---- Gates -------------------------------------------------------------------------------------

/** Shared memory of a block that keeps the gates of its rows behind what the product takes. */
template <class Tile>
constexpr int GATED_SHARED_BYTES = Tile::SHARED_BYTES + Tile::M * 4;

/**
 * The gate value of each slot of a tile to shared memory: that of its place, one of its token's
 * PLACES. To be read after a product, which has barriers.
 */
template <class S>
TOPKNOT_DEVICE float* loadGates(const RowTile& tile, const int* list, const int* slots,
                                const float* gates) {
  using Tile = typename S::Tile;
  float* shared = sharedMemory<float>() + Tile::SHARED_BYTES / 4;
  for (int i = static_cast<int>(threadIdx.x); i < tile.rows; i += Tile::THREADS) {
    const int slot = tile.first + i;
    const long long place = static_cast<long long>(list[slot]) * S::PLACES;
    float gate = 0;
    for (int j = 0; j < S::PLACES; j++) {
      gate = slots[place + j] == slot ? gates[place + j] : gate;
    }
    shared[i] = gate;
  }
  return shared;
}

/** The sum of a slot's parts [ceil(HIDDEN / N), TOKENS K], in their order, 0 if it is none. */
template <class S>
TOPKNOT_DEVICE float gateGradient(const float* parts, int slot) {
  using Tile = typename S::Tile;
  const long long pairs = static_cast<long long>(S::TOKENS) * S::K;
  float sum = 0;
  if (slot >= 0) {
    for (int i = 0; i < (S::HIDDEN + Tile::N - 1) / Tile::N; i++) {
      sum += parts[slot + i * pairs];
    }
  }
  return sum;
}

/**
 * dGates of each place = the sum of its slot's parts; grid: TOKENS PLACES / 256, rounded up, 256
 * threads.
 */
template <class S>
TOPKNOT_DEVICE void sumGateGradients(const Run* run, const int* slots, const float* parts,
                                     float* dGates) {
  const long long place = static_cast<long long>(blockIdx.x) * 256 + threadIdx.x;
  if (place < static_cast<long long>(run->valid) * S::PLACES) {
    dGates[place] = gateGradient<S>(parts, slots[place]);
  }
}

/** Likewise, of the slots of one kind of experts alone, and of places without a slot. */
template <class S>
TOPKNOT_DEVICE void sumGateGradientsOfKind(const Run* run, const int* offsets, const int* slots,
                                           const float* parts, float* dGates) {
  const long long place = static_cast<long long>(blockIdx.x) * 256 + threadIdx.x;
  if (place >= static_cast<long long>(run->valid) * S::PLACES) {
    return;
  }
  const int slot = slots[place];
  if (slot < 0 || (slot >= offsets[0] && slot < offsets[S::EXPERTS])) {
    dGates[place] = gateGradient<S>(parts, slot);
  }
}

#define TOPKNOT_GATES(prefix, S)                                                                  \
  TOPKNOT_KERNEL(256)                                                                             \
  prefix##_backward_gates(const Run* run, const int* slots, const float* parts, float* dGates) {  \
    sumGateGradients<S>(run, slots, parts, dGates);                                               \
  }

#define TOPKNOT_GATES_OF_KIND(prefix, S)                                                          \
  TOPKNOT_KERNEL(256)                                                                             \
  prefix##_backward_gates(const Run* run, const int* offsets, const int* slots,                   \
                          const float* parts, float* dGates) {                                    \
    sumGateGradientsOfKind<S>(run, offsets, slots, parts, dGates);                                \
  }

// ---- The gradient of a plain hidden layer ------------------------------------------------------

/**
 * From dA' = dy W2, without the gate: the gate's gradient <dA', A> of these columns, then
 * dHidden = gate dA' f'(hidden) and, for dW2, gate A.
 */
template <class S>
struct HiddenGradient {
  const float* hidden;
  Stored<S>* dHidden;
  Stored<S>* activation;  // may be null
  const float* gates;  // of the tile's rows; null: 1
  float* parts;
  int firstRow, rows, firstColumn;

  template <int N>
  struct Read {
    float hidden[N] = {};
  };

  template <int N>
  TOPKNOT_DEVICE void read(int row, int column, Read<N>& chunk) const {
    if (row < rows) {
      loadChunk<S::HIDDEN>(hidden, firstRow + row, firstColumn + column, chunk.hidden);
    }
  }

  template <int N>
  TOPKNOT_DEVICE float operator()(int row, int column, const float (&values)[N]) const {
    Read<N> chunk;
    read(row, column, chunk);
    return (*this)(row, column, values, chunk);
  }

  template <int N>
  TOPKNOT_DEVICE float operator()(int row, int column, const float (&values)[N],
                                  const Read<N>& chunk) const {
    if (row >= rows) {
      return 0;
    }
    const float gate = gates == nullptr ? 1.0f : gates[row];
    const float(&kept)[N] = chunk.hidden;
    float d[N], a[N];
    float sum = 0;
#pragma unroll
    for (int i = 0; i < N; i++) {
      a[i] = keepsInput(S::ACTIVATION) ? activate<S::ACTIVATION>(kept[i]) : kept[i];
      sum += values[i] * a[i];
      d[i] = gate * values[i] * slope<S::ACTIVATION>(kept[i]);
      a[i] *= gate;
    }
    storeChunk<S::HIDDEN>(dHidden, firstRow + row, firstColumn + column, d);
    if (activation != nullptr) {
      storeChunk<S::HIDDEN>(activation, firstRow + row, firstColumn + column, a);
    }
    return sum;
  }

  TOPKNOT_DEVICE void total(int row, float sum) const {
    if (row < rows) {
      parts[firstRow + row] = sum;
    }
  }
};

/** sums += dy [tokens, WIDTH] W2 for a tile of slots. */
template <class S, class Group>
TOPKNOT_DEVICE void addOutputGradient(const Group& group, const RowTile& tile, int column,
                                      const Stored<S>* dy, const float* w2,
                                      typename S::Tile::Sums& sums) {
  using Tile = typename S::Tile;
  const Rows<S::HIDDEN> weights{weightsOf<S::WIDTH, S::HIDDEN>(tile.expert, w2)};
  Tile::multiply(sharedMemory<float>(), alongColumns(group.tokens(dy, tile.first), tile.rows),
                 alongRows(weights, S::WIDTH), 0, column, S::WIDTH, sums);
}
