// Adam with bias correction and clipping by the global norm, over all parameters: the gradient g,
// scaled by min(1, clip / norm), moves m and v; then p -= rate m^ / (sqrt(v^) + epsilon).
//
// Shapes: the arenas of parameters, gradients and both moments, SIZE floats each; what lies between
// tensors is zero there. Chunks of 16384 floats, one a block, give a sum of squares each, in double;
// one block adds them in a fixed order, takes the root and checks that it is finite. The update is
// of single roundings, as runtime.cpu.Adam's, bias correction folded into the run's rate and
// rootScale by the host. Frozen slices are left out of the norm and keep values and moments; slices
// is long long starts[count + 1], then int frozen[count], read only where anything is frozen.
// FLOPs: 3 a parameter for the norm, 14 for the update. Bytes: 4 and 28 a parameter.
#pragma once

#include "topknot/rows.cuh"

constexpr int ADAM_CHUNK = 16384, ADAM_THREADS = 256;

/** Turns moments below 3e-38 into zero, as runtime.cpu.Adam's. */
constexpr float ADAM_FLUSH = 1e-30f;

/** No clipping leaves a longer gradient than this: its square would be infinite in a moment. */
constexpr double ADAM_LARGEST_NORM = 1e19;

template <class S>
constexpr long long ADAM_CHUNKS = (S::SIZE + ADAM_CHUNK - 1) / ADAM_CHUNK;

/** Whether a slice is frozen. */
TOPKNOT_DEVICE bool isFrozenSlice(const long long* starts, long long count, long long slice) {
  return reinterpret_cast<const int*>(starts + count + 1)[slice] != 0;
}

/** Whether element `at` lies in a frozen slice. */
TOPKNOT_DEVICE bool isFrozen(const long long* starts, long long count, long long at) {
  long long low = 0, high = count;  // starts[low] <= at < starts[high]
  while (high - low > 1) {
    const long long middle = (low + high) / 2;
    if (starts[middle] <= at) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return isFrozenSlice(starts, count, low);
}

/** What clipping leaves of a gradient, at most 1. */
TOPKNOT_DEVICE float clipOf(const Run* run) {
  const double shorter =
      (run->clip < ADAM_LARGEST_NORM ? run->clip : ADAM_LARGEST_NORM) / run->norm;
  return static_cast<float>(shorter > 1 ? 1.0 : shorter);
}

/** squares[chunk]: the sum of squares of its gradients. Grid: chunks; shared: 2048 bytes. */
template <class S>
TOPKNOT_DEVICE void adamSquares(const Run* run, const float* gradients, const long long* slices,
                                long long count, double* squares) {
  const long long first = static_cast<long long>(blockIdx.x) * ADAM_CHUNK;
  const bool frozen = run->frozen != 0;
  const float scale = run->gradientScale;
  double sum = 0;
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < ADAM_CHUNK; i += ADAM_THREADS) {
    const long long at = first + i;
    if (at < S::SIZE && !(frozen && isFrozen(slices, count, at))) {
      const double g = mulExact(gradients[at], scale);
      sum += g * g;
    }
  }
  sum = sumOfBlock<ADAM_THREADS>(sum, sharedMemory<double>());
  if (threadIdx.x == 0) {
    squares[blockIdx.x] = sum;
  }
}

/** run->norm of COUNT squares, and the status if it is not finite. One block; shared: 2048 bytes. */
template <long long COUNT>
TOPKNOT_DEVICE void adamNorm(Run* run, const double* squares) {
  double sum = 0;
  for (long long i = static_cast<int>(threadIdx.x); i < COUNT; i += ADAM_THREADS) {
    sum += squares[i];
  }
  sum = sumOfBlock<ADAM_THREADS>(sum, sharedMemory<double>());
  if (threadIdx.x == 0) {
    run->norm = sqrt(sum);
    if (!(sum - sum == 0) && run->status == STATUS_FINE) {
      run->status = STATUS_NORM;
    }
  }
}

/** One step, unless the run forbids it. Grid: chunks. */
template <class S>
TOPKNOT_DEVICE void adamStep(const Run* run, float* parameters, const float* gradients,
                             float* firstMoments, float* secondMoments, const long long* slices,
                             long long count) {
  if (!mayCommit(run)) {
    return;
  }
  const long long first = static_cast<long long>(blockIdx.x) * ADAM_CHUNK;
  const bool frozen = run->frozen != 0;
  const float scale = mulExact(clipOf(run), run->gradientScale);
  const float keepFirst = run->keepFirst, addFirst = run->addFirst;
  const float keepSecond = run->keepSecond, addSecond = run->addSecond;
  const float rate = run->rate, rootScale = run->rootScale, epsilon = run->epsilon;
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < ADAM_CHUNK; i += ADAM_THREADS) {
    const long long at = first + i;
    if (at >= S::SIZE || (frozen && isFrozen(slices, count, at))) {
      continue;
    }
    const float scaled = mulExact(scale, gradients[at]);
    const float m = subExact(addExact(addExact(mulExact(keepFirst, firstMoments[at]),
                                               mulExact(addFirst, scaled)),
                                      ADAM_FLUSH),
                             ADAM_FLUSH);
    const float v = subExact(addExact(addExact(mulExact(keepSecond, secondMoments[at]),
                                               mulExact(mulExact(addSecond, scaled), scaled)),
                                      ADAM_FLUSH),
                             ADAM_FLUSH);
    firstMoments[at] = m;
    secondMoments[at] = v;
    parameters[at] =
        subExact(parameters[at], divExact(mulExact(rate, m),
                                          addExact(mulExact(sqrtExact(v), rootScale), epsilon)));
  }
}

#define TOPKNOT_ADAM(prefix, S)                                                                  \
  TOPKNOT_KERNEL(ADAM_THREADS)                                                                   \
  prefix##_norm_squares(const Run* run, const float* gradients, const long long* slices,         \
                        long long count, double* squares) {                                      \
    adamSquares<S>(run, gradients, slices, count, squares);                                      \
  }                                                                                              \
  TOPKNOT_KERNEL(ADAM_THREADS) prefix##_norm_total(Run* run, const double* squares) {            \
    adamNorm<ADAM_CHUNKS<S>>(run, squares);                                                      \
  }                                                                                              \
  TOPKNOT_KERNEL(ADAM_THREADS)                                                                   \
  prefix##_update_step(const Run* run, float* parameters, const float* gradients,                \
                       float* firstMoments, float* secondMoments, const long long* slices,       \
                       long long count) {                                                        \
    adamStep<S>(run, parameters, gradients, firstMoments, secondMoments, slices, count);         \
  }
