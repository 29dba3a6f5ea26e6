// The experts of a layer, E(x) = f(x W1^T) W2^T on the rows that were sent to each ([S17] section
// 3.2 and app. C). Slots are pairs of a token and an expert, sorted by expert.
//
// Shapes, with P = tokens k slots: x, dy [tokens, width]; offsets [experts + 1] and rows [P], the
// token of each slot; slots, gates [tokens places], k places a token, or one for each expert; w1 [experts hidden, width], w2 [experts width,
// hidden]; hidden [P, hidden], the activation, for GELU its input; out, dOut [P, width].
//
// Forward: the first product reads its rows of x where they are, its epilogue applies f; the second
// writes each slot's output contiguously, because scattered stores cost a fifth, and combine adds up.
//
// Backward never needs an expert's output: dA' = dy W2, before the gate, gives the gate's gradient
// <dA', A> (= <dy, E(x)>) and the hidden layer's, gate dA' f'. A block has some columns of A, so it
// writes a part of each slot's <dA', A>, and a small kernel adds the parts in their order. The same
// epilogue leaves gate A, so that dW2 = dy^T (gate A) loads plain rows. Gradients of experts without
// rows become zero, or stay if added to.
//
// FLOPs: 4 P width hidden forward, twice that backward. Bytes: weights 8 experts width hidden a
// pass (16 backward), which is all that counts when an expert has few rows; rows 8 P (width +
// hidden) forward.
#pragma once

#include "topknot/perceptron.cuh"

/** dHidden and gate A of each slot, and the parts of the gates' gradients. */
template <class S>
TOPKNOT_DEVICE void expertsHidden(const int* offsets, const int* rows, const int* slots,
                                  const float* gates, const Stored<S>* dy, const float* w2,
                                  const float* hidden, Stored<S>* dHidden, Stored<S>* activation,
                                  float* parts) {
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
  HiddenGradient<S> epilogue{hidden,
                             dHidden,
                             activation,
                             gate,
                             parts + static_cast<long long>(place.column) * S::TOKENS * S::K,
                             tile.first,
                             tile.rows,
                             column};
  Tile::eachWithTotals(sums, epilogue);
}

#define TOPKNOT_EXPERTS_PRODUCTS(prefix, S)                                                       \
  TOPKNOT_ROUND_TOKENS(prefix, S)                                                                 \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_forward_hidden(const Stored<S>* x, const int* offsets, const int* rows,                \
                          const float* w1, float* hidden, Stored<S>* activation) {                \
    hiddenForward<S>(ByExpert<S>{offsets, rows}, x, w1, hidden, activation);                      \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_forward_output(const Stored<S>* activation, const int* offsets, const int* rows,       \
                          const float* w2, float* out) {                                          \
    outputForward<S>(ByExpert<S>{offsets, rows}, activation, w2, out);                            \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_backward_hidden(const int* offsets, const int* rows, const int* slots,                 \
                           const float* gates, const Stored<S>* dy, const float* w2,              \
                           const float* hidden, Stored<S>* dHidden, Stored<S>* activation,        \
                           float* parts) {                                                        \
    expertsHidden<S>(offsets, rows, slots, gates, dy, w2, hidden, dHidden, activation, parts);    \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_backward_input(const int* offsets, const int* rows, const Stored<S>* dHidden,          \
                          const float* w1, float* dOut) {                                         \
    inputBackward<S>(ByExpert<S>{offsets, rows}, dHidden, w1, dOut);                              \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_backward_w1(const Run* run, const int* offsets, const int* rows,                       \
                       const Stored<S>* dHidden, const Stored<S>* x, float* dW1) {                \
    inWeightBackward<S>(ByExpert<S>{offsets, rows}, run, dHidden, x, dW1);                        \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_backward_w2(const Run* run, const int* offsets, const int* rows, const Stored<S>* dy,  \
                       const Stored<S>* activation, float* dW2) {                                 \
    outWeightBackward<S>(ByExpert<S>{offsets, rows}, run, dy, activation, dW2);                   \
  }

// All experts of a layer, or one kind of them.
#define TOPKNOT_EXPERTS(prefix, S)                                                                \
  TOPKNOT_EXPERTS_PRODUCTS(prefix, S)                                                             \
  TOPKNOT_GATES(prefix, S)

#define TOPKNOT_EXPERTS_OF_KIND(prefix, S)                                                        \
  TOPKNOT_EXPERTS_PRODUCTS(prefix, S)                                                             \
  TOPKNOT_GATES_OF_KIND(prefix, S)
