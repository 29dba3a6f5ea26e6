// What follows a layer: y = dropout(f(u)) + x, each part where it is wanted; backward
// du = f'(u) dropout(dy), and dx += dy for the residual connection.
//
// Shapes: all [TOKENS, WIDTH]. A thread works on four neighbouring elements, which share one
// counter of the noise, so that backward draws again what forward drew and no mask is kept: element
// j of a token is kept where uniform j >= rate, and then scaled by 1 / (1 - rate). Bytes: 4 a value
// read or written, two or three of them an element; some 30 integer operations an element for the
// noise.
#pragma once

#include "topknot/gemm.cuh"
#include "topknot/noise.cuh"

constexpr int POINTWISE_THREADS = 256;

/** Where a thread's four elements lie. */
template <class S>
struct PointwisePlace {
  static constexpr int FOURS = (S::WIDTH + 3) / 4;
  int token, four;
  bool valid;

  TOPKNOT_DEVICE explicit PointwisePlace(const Run* run) {
    const long long at =
        static_cast<long long>(blockIdx.x) * POINTWISE_THREADS + static_cast<int>(threadIdx.x);
    token = static_cast<int>(at / FOURS);
    four = static_cast<int>(at % FOURS);
    valid = at / FOURS < run->valid;
  }
};

/** Sets the dropped of four elements to zero and scales the others, in training. */
template <class S>
TOPKNOT_DEVICE void dropFour(const Run* run, const LayerOptions* options,
                             const PointwisePlace<S>& place, float (&x)[4]) {
  const float rate = options->dropout;
  if (rate == 0.0f || run->training == 0) {
    return;
  }
  constexpr unsigned STREAM = NOISE_STREAM<S::STREAM_LAYER, PURPOSE_DROPOUT>;
  const float4 u = uniforms(run, place.token, STREAM, place.four);
  const float scale = divExact(1.0f, subExact(1.0f, rate));
  x[0] = u.x >= rate ? mulExact(x[0], scale) : 0.0f;
  x[1] = u.y >= rate ? mulExact(x[1], scale) : 0.0f;
  x[2] = u.z >= rate ? mulExact(x[2], scale) : 0.0f;
  x[3] = u.w >= rate ? mulExact(x[3], scale) : 0.0f;
}

/** y = dropout(f(u)) + x; grid: TOKENS ceil(WIDTH / 4) / 256, rounded up, as for the others. */
template <class S>
TOPKNOT_DEVICE void pointwiseForward(const Run* run, const LayerOptions* options, const float* u,
                                     const float* x, float* y) {
  const PointwisePlace<S> place(run);
  if (!place.valid) {
    return;
  }
  float values[4];
  loadChunk<S::WIDTH>(u, place.token, 4 * place.four, values);
#pragma unroll
  for (int i = 0; i < 4; i++) {
    values[i] = activate<S::ACTIVATION>(values[i]);
  }
  dropFour<S>(run, options, place, values);
  if (S::RESIDUAL) {
    float input[4];
    loadChunk<S::WIDTH>(x, place.token, 4 * place.four, input);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      values[i] = addExact(values[i], input[i]);
    }
  }
  storeChunk<S::WIDTH>(y, place.token, 4 * place.four, values);
}

/** du = f'(u) dropout(dy). */
template <class S>
TOPKNOT_DEVICE void pointwiseBackward(const Run* run, const LayerOptions* options, const float* u,
                                      const float* dy, float* du) {
  const PointwisePlace<S> place(run);
  if (!place.valid) {
    return;
  }
  float gradient[4];
  loadChunk<S::WIDTH>(dy, place.token, 4 * place.four, gradient);
  dropFour<S>(run, options, place, gradient);
  if (S::ACTIVATION != IDENTITY) {
    float kept[4];
    loadChunk<S::WIDTH>(u, place.token, 4 * place.four, kept);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const float from = keepsInput(S::ACTIVATION) ? kept[i] : activate<S::ACTIVATION>(kept[i]);
      gradient[i] *= slope<S::ACTIVATION>(from);
    }
  }
  storeChunk<S::WIDTH>(du, place.token, 4 * place.four, gradient);
}

/** dx += dy. */
template <class S>
TOPKNOT_DEVICE void pointwiseAdd(const Run* run, const float* dy, float* dx) {
  const PointwisePlace<S> place(run);
  if (!place.valid) {
    return;
  }
  float gradient[4], sum[4];
  loadChunk<S::WIDTH>(dy, place.token, 4 * place.four, gradient);
  loadChunk<S::WIDTH>(dx, place.token, 4 * place.four, sum);
#pragma unroll
  for (int i = 0; i < 4; i++) {
    sum[i] = addExact(sum[i], gradient[i]);
  }
  storeChunk<S::WIDTH>(dx, place.token, 4 * place.four, sum);
}

#define TOPKNOT_POINTWISE(prefix, S)                                                             \
  TOPKNOT_KERNEL(POINTWISE_THREADS)                                                              \
  prefix##_forward_elements(const Run* run, const LayerOptions* options, const float* u,         \
                            const float* x, float* y) {                                          \
    pointwiseForward<S>(run, options, u, x, y);                                                  \
  }                                                                                              \
  TOPKNOT_KERNEL(POINTWISE_THREADS)                                                              \
  prefix##_backward_elements(const Run* run, const LayerOptions* options, const float* u,        \
                             const float* dy, float* du) {                                       \
    pointwiseBackward<S>(run, options, u, dy, du);                                               \
  }                                                                                              \
  TOPKNOT_KERNEL(POINTWISE_THREADS)                                                              \
  prefix##_addResidual_elements(const Run* run, const float* dy, float* dx) {                    \
    pointwiseAdd<S>(run, dy, dx);                                                                \
  }
