// The only expert of a layer: y = f(x W1^T) W2^T on every token ([S17] app. C, MoE-1-Wide), W1
// [hidden, width], W2 [width, hidden], no bias; backward by the chain rule.
//
// Shapes: x, y [tokens, width]; hidden [tokens, hidden] is what f's slope needs: the activation, for
// GELU its input, and then the activation itself lives in scratch between two kernels. The activation
// and its slope are in the epilogues: the hidden layer is written once and read once a pass.
//
// FLOPs: 4 tokens width hidden forward, twice that backward. Bytes: forward 4 (2 tokens (width +
// hidden) + 2 width hidden) if every operand is read once.
#pragma once

#include "topknot/perceptron.cuh"

/** dHidden and, where hidden is not what products read, the activation. */
template <class S>
TOPKNOT_DEVICE void feedForwardHidden(const Run* run, const Stored<S>* dy, const float* w2,
                                      const float* hidden, Stored<S>* dHidden,
                                      Stored<S>* activation) {
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
  const bool kept = static_cast<const void*>(activation) == hidden;
  HiddenGradient<S> epilogue{hidden,  dHidden,    kept ? nullptr : activation,
                             nullptr, nullptr,    tile.first,
                             tile.rows, column};
  Tile::each(sums, epilogue);
}

#define TOPKNOT_FEED_FORWARD(prefix, S)                                                           \
  TOPKNOT_ROUND_TOKENS(prefix, S)                                                                 \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_forward_hidden(const Run* run, const Stored<S>* x, const float* w1, float* hidden,     \
                          Stored<S>* activation) {                                                \
    hiddenForward<S>(AllTokens<S>{run}, x, w1, hidden, activation);                               \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_forward_output(const Run* run, const Stored<S>* activation, const float* w2,           \
                          float* y) {                                                             \
    outputForward<S>(AllTokens<S>{run}, activation, w2, y);                                       \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_backward_hidden(const Run* run, const Stored<S>* dy, const float* w2,                  \
                           const float* hidden, Stored<S>* dHidden, Stored<S>* activation) {      \
    feedForwardHidden<S>(run, dy, w2, hidden, dHidden, activation);                               \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_backward_input(const Run* run, const Stored<S>* dHidden, const float* w1, float* dx) { \
    inputBackward<S>(AllTokens<S>{run}, dHidden, w1, dx);                                         \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_backward_w1(const Run* run, const Stored<S>* dHidden, const Stored<S>* x,              \
                       float* dW1) {                                                              \
    inWeightBackward<S>(AllTokens<S>{run}, run, dHidden, x, dW1);                                 \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_backward_w2(const Run* run, const Stored<S>* dy, const Stored<S>* activation,          \
                       float* dW2) {                                                              \
    outWeightBackward<S>(AllTokens<S>{run}, run, dy, activation, dW2);                            \
  }
