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

/** dHidden and, where hidden is the function's input, the activation. */
template <class S>
TOPKNOT_DEVICE void feedForwardHidden(const Run* run, const float* dy, const float* w2,
                                      const float* hidden, float* dHidden, float* activation) {
  using Tile = typename S::Tile;
  const AllTokens<S> group{run};
  const RowTile tile = group.tile(blockIdx.x);
  const int column = static_cast<int>(blockIdx.y) * Tile::N;
  if (tile.rows == 0) {
    return;
  }
  typename Tile::Sums sums;
  addOutputGradient<S>(group, tile, column, dy, w2, sums);
  HiddenGradient<S> epilogue{hidden,     dHidden,   keepsInput(S::ACTIVATION) ? activation : nullptr,
                             nullptr,    nullptr,   tile.first,
                             tile.rows,  column};
  Tile::each(sums, epilogue);
}

#define TOPKNOT_FEED_FORWARD(prefix, S)                                                           \
  TOPKNOT_KERNEL(S::Tile::THREADS, S::Tile::BLOCKS)                                               \
  prefix##_forward_hidden(const Run* run, const float* x, const float* w1, float* hidden,         \
                          float* activation) {                                                    \
    hiddenForward<S>(AllTokens<S>{run}, x, w1, hidden, activation);                               \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, S::Tile::BLOCKS)                                               \
  prefix##_forward_output(const Run* run, const float* activation, const float* w2, float* y) {   \
    outputForward<S>(AllTokens<S>{run}, activation, w2, y);                                       \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, S::Tile::BLOCKS)                                               \
  prefix##_backward_hidden(const Run* run, const float* dy, const float* w2, const float* hidden, \
                           float* dHidden, float* activation) {                                   \
    feedForwardHidden<S>(run, dy, w2, hidden, dHidden, activation);                               \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, S::Tile::BLOCKS)                                               \
  prefix##_backward_input(const Run* run, const float* dHidden, const float* w1, float* dx) {     \
    inputBackward<S>(AllTokens<S>{run}, dHidden, w1, dx);                                         \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, S::Tile::BLOCKS)                                               \
  prefix##_backward_w1(const Run* run, const float* dHidden, const float* x, float* dW1) {        \
    inWeightBackward<S>(AllTokens<S>{run}, run, dHidden, x, dW1);                                 \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, S::Tile::BLOCKS)                                               \
  prefix##_backward_w2(const Run* run, const float* dy, const float* activation, float* dW2) {    \
    outWeightBackward<S>(AllTokens<S>{run}, run, dy, activation, dW2);                            \
  }
