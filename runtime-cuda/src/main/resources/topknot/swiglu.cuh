// Gated hidden layers: E(x) = (silu(u) * v) W2^T with u = x W1^T, v = x W3^T, silu(u) = u sigmoid(u),
// as the experts of a layer or as its only one.
//
// Shapes as in experts.cuh and feed_forward.cuh, with w3 as w1 and u, v [slots, hidden] kept for
// backward. The rows of W1 and W3 are interleaved as they are loaded, so that one product over
// 2 hidden columns reads x once, and a thread has u and v of the same unit: the epilogue writes u, v
// and their product. Backward: dA' = dy W2, the gate's gradient <dA', A>, and with d = gate dA':
// du = d v (s + silu(u) (1 - s)), s = sigmoid(u), dv = d silu(u); the input's gradient adds two
// products in one accumulator; dW1 = du^T x, dW3 = dv^T x, dW2 = dy^T (gate A).
//
// FLOPs: 6 slots width hidden forward, twice that backward. Bytes: weights 12 experts width hidden a
// pass; rows 4 slots (2 width + 4 hidden) forward.
#pragma once

#include "topknot/perceptron.cuh"

/** u, v and silu(u) v from interleaved columns; a may be null. */
template <class S>
struct SwigluEpilogue {
  float *u, *v;
  Stored<S>* a;
  int firstRow, rows, firstColumn;  // columns in pairs

  template <int N>
  TOPKNOT_DEVICE void operator()(int row, int column, const float (&values)[N]) const {
    if (row >= rows) {
      return;
    }
    float us[N / 2], vs[N / 2], as[N / 2];
#pragma unroll
    for (int i = 0; i < N / 2; i++) {
      us[i] = values[2 * i];
      vs[i] = values[2 * i + 1];
      as[i] = vs[i] * (us[i] * sigmoid(us[i]));
    }
    const int unit = (firstColumn + column) / 2;
    storeChunk<S::HIDDEN>(u, firstRow + row, unit, us);
    storeChunk<S::HIDDEN>(v, firstRow + row, unit, vs);
    if (a != nullptr) {
      storeChunk<S::HIDDEN>(a, firstRow + row, unit, as);
    }
  }
};

/** u, v and their product for a tile of slots; grid: row tiles, 2 HIDDEN / N. */
template <class S, class Group>
TOPKNOT_DEVICE void swigluHidden(Group group, const Stored<S>* x, const float* w1, const float* w3,
                                 float* u, float* v, Stored<S>* a) {
  using Tile = typename S::Tile;
  const BlockPlace place = placeOfBlock();
  const RowTile tile = group.tile(place.row);
  const int column = place.column * Tile::N;
  if (tile.rows == 0) {
    return;
  }
  typename Tile::Sums sums;
  const PairedRows<S::WIDTH> weights{weightsOf<S::HIDDEN, S::WIDTH>(tile.expert, w1),
                                     weightsOf<S::HIDDEN, S::WIDTH>(tile.expert, w3)};
  Tile::multiply(sharedMemory<float>(), alongColumns(group.tokens(x, tile.first), tile.rows),
                 alongColumns(weights, 2 * S::HIDDEN), 0, column, S::WIDTH, sums);
  SwigluEpilogue<S> epilogue{u, v, a, tile.first, tile.rows, column};
  Tile::each(sums, epilogue);
}

/** From dA': the gate's gradient of these columns, du, dv and gate A. */
template <class S>
struct SwigluGradient {
  const float *u, *v;
  Stored<S> *du, *dv, *a;
  const float* gates;  // of the tile's rows; null: 1
  float* parts;
  int firstRow, rows, firstColumn;

  template <int N>
  struct Read {
    float u[N] = {}, v[N] = {};
  };

  template <int N>
  TOPKNOT_DEVICE void read(int row, int column, Read<N>& chunk) const {
    if (row < rows) {
      loadChunk<S::HIDDEN>(u, firstRow + row, firstColumn + column, chunk.u);
      loadChunk<S::HIDDEN>(v, firstRow + row, firstColumn + column, chunk.v);
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
    float us[N], vs[N], as[N];
    float sum = 0;
#pragma unroll
    for (int i = 0; i < N; i++) {
      const float s = sigmoid(chunk.u[i]);
      const float silu = chunk.u[i] * s;
      const float d = gate * values[i];
      as[i] = silu * chunk.v[i];
      sum += values[i] * as[i];
      as[i] *= gate;
      us[i] = d * chunk.v[i] * (s + silu * (1.0f - s));
      vs[i] = d * silu;
    }
    storeChunk<S::HIDDEN>(du, firstRow + row, firstColumn + column, us);
    storeChunk<S::HIDDEN>(dv, firstRow + row, firstColumn + column, vs);
    storeChunk<S::HIDDEN>(a, firstRow + row, firstColumn + column, as);
    return sum;
  }

  TOPKNOT_DEVICE void total(int row, float sum) const {
    if (row < rows) {
      parts[firstRow + row] = sum;
    }
  }
};

/** du, dv, A for all tokens. */
template <class S>
TOPKNOT_DEVICE void swigluFeedForwardHidden(const Run* run, const Stored<S>* dy, const float* w2,
                                            const float* u, const float* v, Stored<S>* du,
                                            Stored<S>* dv, Stored<S>* a) {
  using Tile = typename S::Tile;
  const AllTokens<S> group{run};
  const BlockPlace place = placeOfBlock();
  const RowTile tile = group.tile(place.row);
  const int column = place.column * Tile::N;
  if (tile.rows == 0) {
    return;
  }
  typename Tile::Sums sums;
  addOutputGradient<S>(group, tile, column, dy, w2, sums);
  SwigluGradient<S> epilogue{u, v, du, dv, a, nullptr, nullptr, tile.first, tile.rows, column};
  Tile::each(sums, epilogue);
}

/** du, dv, gate A of each slot, and the parts of the gates' gradients. */
template <class S>
TOPKNOT_DEVICE void swigluExpertsHidden(const int* offsets, const int* rows, const int* slots,
                                        const float* gates, const Stored<S>* dy, const float* w2,
                                        const float* u, const float* v, Stored<S>* du,
                                        Stored<S>* dv, Stored<S>* a, float* parts) {
  using Tile = typename S::Tile;
  const ByExpert<S> group{offsets, rows};
  const BlockPlace place = placeOfBlock();
  const RowTile tile = group.tile(place.row);
  const int column = place.column * Tile::N;
  if (tile.rows == 0) {
    return;
  }
  const float* gate = loadGates<S>(tile, rows, slots, gates);
  typename Tile::Sums sums;
  addOutputGradient<S>(group, tile, column, dy, w2, sums);
  float* part = parts + static_cast<long long>(place.column) * S::TOKENS * S::K;
  SwigluGradient<S> epilogue{u, v, du, dv, a, gate, part, tile.first, tile.rows, column};
  Tile::eachWithTotals(sums, epilogue);
}

/** dIn [slots, WIDTH] = du W1 + dv W3. */
template <class S, class Group>
TOPKNOT_DEVICE void swigluInput(Group group, const Stored<S>* du, const Stored<S>* dv,
                                const float* w1, const float* w3, float* dIn) {
  using Tile = typename S::Tile;
  const BlockPlace place = placeOfBlock();
  const RowTile tile = group.tile(place.row);
  const int column = place.column * Tile::N;
  if (tile.rows == 0) {
    return;
  }
  typename Tile::Sums sums;
  addInputGradient<S>(tile, column, du, w1, sums);
  addInputGradient<S>(tile, column, dv, w3, sums);
  StoreEpilogue<S::WIDTH> epilogue{dIn, tile.first, tile.first + tile.rows, column, false};
  Tile::each(sums, epilogue);
}

#define TOPKNOT_SWIGLU_FEED_FORWARD(prefix, S)                                                    \
  TOPKNOT_ROUND_TOKENS(prefix, S)                                                                 \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_forward_hidden(const Run* run, const Stored<S>* x, const float* w1, const float* w3,   \
                          float* u, float* v, Stored<S>* hidden) {                                \
    swigluHidden<S>(AllTokens<S>{run}, x, w1, w3, u, v, hidden);                                  \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_forward_output(const Run* run, const Stored<S>* hidden, const float* w2, float* y) {   \
    outputForward<S>(AllTokens<S>{run}, hidden, w2, y);                                           \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_backward_hidden(const Run* run, const Stored<S>* dy, const float* w2, const float* u,  \
                           const float* v, Stored<S>* du, Stored<S>* dv, Stored<S>* hidden) {     \
    swigluFeedForwardHidden<S>(run, dy, w2, u, v, du, dv, hidden);                                \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_backward_input(const Run* run, const Stored<S>* du, const Stored<S>* dv,               \
                          const float* w1, const float* w3, float* dx) {                          \
    swigluInput<S>(AllTokens<S>{run}, du, dv, w1, w3, dx);                                        \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_backward_w1(const Run* run, const Stored<S>* du, const Stored<S>* x, float* dW1) {     \
    inWeightBackward<S>(AllTokens<S>{run}, run, du, x, dW1);                                      \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_backward_w2(const Run* run, const Stored<S>* dy, const Stored<S>* hidden, float* dW2) {\
    outWeightBackward<S>(AllTokens<S>{run}, run, dy, hidden, dW2);                                \
  }

#define TOPKNOT_SWIGLU_EXPERTS_PRODUCTS(prefix, S)                                                \
  TOPKNOT_ROUND_TOKENS(prefix, S)                                                                 \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_forward_hidden(const Stored<S>* x, const int* offsets, const int* rows,                \
                          const float* w1, const float* w3, float* u, float* v,                   \
                          Stored<S>* hidden) {                                                    \
    swigluHidden<S>(ByExpert<S>{offsets, rows}, x, w1, w3, u, v, hidden);                         \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_forward_output(const Stored<S>* hidden, const int* offsets, const int* rows,           \
                          const float* w2, float* out) {                                          \
    outputForward<S>(ByExpert<S>{offsets, rows}, hidden, w2, out);                                \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_backward_hidden(const int* offsets, const int* rows, const int* slots,                 \
                           const float* gates, const Stored<S>* dy, const float* w2,              \
                           const float* u, const float* v, Stored<S>* du, Stored<S>* dv,          \
                           Stored<S>* hidden, float* parts) {                                     \
    swigluExpertsHidden<S>(offsets, rows, slots, gates, dy, w2, u, v, du, dv, hidden, parts);     \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_backward_input(const int* offsets, const int* rows, const Stored<S>* du,               \
                          const Stored<S>* dv, const float* w1, const float* w3, float* dOut) {   \
    swigluInput<S>(ByExpert<S>{offsets, rows}, du, dv, w1, w3, dOut);                             \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_backward_w1(const Run* run, const int* offsets, const int* rows, const Stored<S>* du,  \
                       const Stored<S>* x, float* dW1) {                                          \
    inWeightBackward<S>(ByExpert<S>{offsets, rows}, run, du, x, dW1);                             \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_backward_w2(const Run* run, const int* offsets, const int* rows, const Stored<S>* dy,  \
                       const Stored<S>* hidden, float* dW2) {                                     \
    outWeightBackward<S>(ByExpert<S>{offsets, rows}, run, dy, hidden, dW2);                       \
  }

// All experts of a layer, or one kind of them.
#define TOPKNOT_SWIGLU_EXPERTS(prefix, S)                                                         \
  TOPKNOT_SWIGLU_EXPERTS_PRODUCTS(prefix, S)                                                      \
  TOPKNOT_GATES(prefix, S)

#define TOPKNOT_SWIGLU_EXPERTS_OF_KIND(prefix, S)                                                 \
  TOPKNOT_SWIGLU_EXPERTS_PRODUCTS(prefix, S)                                                      \
  TOPKNOT_GATES_OF_KIND(prefix, S)
