// Experts with several hidden layers, E(x) = f(... f(f(x W1^T) W2^T) ...) W_last^T on the rows that
// were sent to each (MoE-1-Deep of [S17] app. C, with a gate), a hidden layer an op.
//
// Shapes, with P = tokens k slots: in [tokens, width] for the first hidden layer, which GATHERS, else
// [P, width]; w [experts hidden, width]; a [P, hidden], z as well: f's input for GELU, else a itself
// in the same memory. What follows the last: w [experts width, hidden], out [P, width].
//
// Backward: the output's gradient comes from experts.cuh, whose activation is then the identity: it
// gives the gates' gradients and that of a, gate included. A hidden layer multiplies it by the slope
// in place, once, because two kernels read the result.
//
// FLOPs: 2 P width hidden forward, twice that backward, of each. Bytes: weights 4 experts width hidden
// a pass; rows 4 P (width + hidden) forward.
#pragma once

#include "topknot/dense.cuh"
#include "topknot/experts.cuh"

/** hiddenForward and inWeightBackward on the rows that S::GATHERS says. */
template <class S, bool GATHERS>
struct HiddenRows {
  using Group = SlotsByExpert<S>;
  TOPKNOT_DEVICE static Group group(const int* offsets, const int*) {
    return {{offsets, nullptr}};
  }
};

template <class S>
struct HiddenRows<S, true> {
  using Group = ByExpert<S>;
  TOPKNOT_DEVICE static Group group(const int* offsets, const int* rows) {
    return {offsets, rows};
  }
};

/** da *= f'(z) in the slots of the experts; grid: their elements / 1024, rounded up. */
template <class S>
TOPKNOT_DEVICE void multiplySlopeOfSlots(const int* offsets, const float* z, float* da) {
  const long long from = static_cast<long long>(offsets[0]) * S::HIDDEN;
  const long long to = static_cast<long long>(offsets[S::EXPERTS]) * S::HIDDEN;
  multiplySlope<S::ACTIVATION>(z + from, da + from, to - from);
}

#define TOPKNOT_EXPERTS_HIDDEN(prefix, S)                                                         \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_forward_hidden(const float* in, const int* offsets, const int* rows, const float* w,   \
                          float* z, float* a) {                                                   \
    hiddenForward<S>(HiddenRows<S, S::GATHERS>::group(offsets, rows), in, w, z, a);               \
  }                                                                                               \
  TOPKNOT_KERNEL(256)                                                                             \
  prefix##_backward_slope(const Run*, const int* offsets, const float* z, float* da) {            \
    multiplySlopeOfSlots<S>(offsets, z, da);                                                      \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_backward_input(const int* offsets, const float* dz, const float* w, float* dIn) {      \
    inputBackward<S>(ByExpert<S>{offsets, nullptr}, dz, w, dIn);                                  \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_backward_weight(const Run* run, const int* offsets, const int* rows, const float* dz,  \
                           const float* in, float* dW) {                                          \
    inWeightBackward<S>(HiddenRows<S, S::GATHERS>::group(offsets, rows), run, dz, in, dW);        \
  }

#define TOPKNOT_EXPERTS_OUTPUT_PRODUCTS(prefix, S)                                                \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_forward_output(const float* a, const int* offsets, const int* rows, const float* w,    \
                          float* out) {                                                           \
    outputForward<S>(ByExpert<S>{offsets, rows}, a, w, out);                                      \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_backward_hidden(const int* offsets, const int* rows, const int* slots,                 \
                           const float* gates, const float* dy, const float* w, const float* a,   \
                           float* da, float* weighted, float* parts) {                            \
    expertsHidden<S>(offsets, rows, slots, gates, dy, w, a, da, weighted, parts);                 \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, BLOCKS<S>)                                                     \
  prefix##_backward_weight(const Run* run, const int* offsets, const int* rows, const float* dy,  \
                           const float* weighted, float* dW) {                                    \
    outWeightBackward<S>(ByExpert<S>{offsets, rows}, run, dy, weighted, dW);                      \
  }

// All experts of a layer, or one kind of them.
#define TOPKNOT_EXPERTS_OUTPUT(prefix, S)                                                         \
  TOPKNOT_EXPERTS_OUTPUT_PRODUCTS(prefix, S)                                                      \
  TOPKNOT_GATES(prefix, S)

#define TOPKNOT_EXPERTS_OUTPUT_OF_KIND(prefix, S)                                                 \
  TOPKNOT_EXPERTS_OUTPUT_PRODUCTS(prefix, S)                                                      \
  TOPKNOT_GATES_OF_KIND(prefix, S)
