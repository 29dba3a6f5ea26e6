// The full softmax over a vocabulary and the negative log-likelihood of the targets (natural
// logarithm): logits = x W^T + bias, loss = log(sum_j exp(logit_j)) - logit_target; its gradient
// with respect to the logits is (softmax - target) / valid.
//
// Shapes: x [tokens, width], W [vocabulary, width], logits [tokens, vocabulary], losses [1, tokens].
//
// A row of logits is small enough for the caches, so one block takes a row through its maximum, its
// sum of exponentials (in double: thousands of terms) and, in training, the gradient in its place:
// the logits are written twice and read three times, at most once from memory each. Backward is then
// three products' worth: dx = dlogits W, dW = dlogits^T x, dbias = the sum of dlogits' rows.
//
// FLOPs: 2 tokens width vocabulary forward, twice that backward. Bytes: forward 4 (tokens (width +
// 3 vocabulary) + width vocabulary).
#pragma once

#include "topknot/column_sums.cuh"
#include "topknot/gemm.cuh"

constexpr int SOFTMAX_THREADS = 256;

/** Eight doubles, of which the first half also serve as floats. */
constexpr int SOFTMAX_SHARED_BYTES = SOFTMAX_THREADS / 32 * 8;

/** The block's largest value, the same in all threads; shared memory is not in use before. */
TOPKNOT_DEVICE float largestOfBlock(float value) {
  float* parts = sharedMemory<float>();
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) {
    value = fmaxf(value, __shfl_xor_sync(WHOLE_WARP, value, distance));
  }
  if (threadIdx.x % 32 == 0) {
    parts[threadIdx.x / 32] = value;
  }
  __syncthreads();
  for (int i = 0; i < SOFTMAX_THREADS / 32; i++) {
    value = fmaxf(value, parts[i]);
  }
  return value;
}

/** The block's sum in a fixed order, the same in all threads. */
TOPKNOT_DEVICE double sumOfBlock(double value) {
  double* parts = sharedMemory<double>();
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(WHOLE_WARP, value, distance);
  }
  __syncthreads();  // what largestOfBlock left has been read
  if (threadIdx.x % 32 == 0) {
    parts[threadIdx.x / 32] = value;
  }
  __syncthreads();
  value = parts[0];
  for (int i = 1; i < SOFTMAX_THREADS / 32; i++) {
    value += parts[i];
  }
  return value;
}

/** A row's largest logit. */
template <class S>
TOPKNOT_DEVICE float largestLogit(const float* row) {
  float largest = row[0];
  for (int j = static_cast<int>(threadIdx.x); j < S::VOCABULARY; j += SOFTMAX_THREADS) {
    largest = fmaxf(largest, row[j]);
  }
  return largestOfBlock(largest);
}

/** The sum of exp(logit - shift) over a row. */
template <class S>
TOPKNOT_DEVICE double sumOfExponentials(const float* row, float shift) {
  double sum = 0;
  for (int j = static_cast<int>(threadIdx.x); j < S::VOCABULARY; j += SOFTMAX_THREADS) {
    sum += expf(row[j] - shift);
  }
  return sumOfBlock(sum);
}

/** The loss of token blockIdx.x and, in training, its gradient in place of its logits. */
template <class S>
TOPKNOT_DEVICE void softmaxLoss(const Run* run, const int* targets, float* logits, float* losses) {
  const int token = static_cast<int>(blockIdx.x);
  if (token >= run->valid) {
    return;
  }
  float* row = logits + static_cast<long long>(token) * S::VOCABULARY;
  const int target = targets[token];
  const float shift = largestLogit<S>(row);
  const double sum = sumOfExponentials<S>(row, shift);
  if (threadIdx.x == 0) {
    losses[token] =
        static_cast<float>(log(sum) + (static_cast<double>(shift) - static_cast<double>(row[target])));
  }
  if (run->training == 0) {
    return;
  }
  __syncthreads();  // the target's logit has been read
  const float factor = static_cast<float>(1.0 / (sum * run->valid));
  const float share = 1.0f / static_cast<float>(run->valid);
  for (int j = static_cast<int>(threadIdx.x); j < S::VOCABULARY; j += SOFTMAX_THREADS) {
    row[j] = expf(row[j] - shift) * factor - (j == target ? share : 0.0f);
  }
}

/** The softmax of row blockIdx.x, in place of its logits. */
template <class S>
TOPKNOT_DEVICE void softmaxProbabilities(const Run* run, float* logits) {
  const int token = static_cast<int>(blockIdx.x);
  if (token >= run->valid) {
    return;
  }
  float* row = logits + static_cast<long long>(token) * S::VOCABULARY;
  const float shift = largestLogit<S>(row);
  const float factor = static_cast<float>(1.0 / sumOfExponentials<S>(row, shift));
  for (int j = static_cast<int>(threadIdx.x); j < S::VOCABULARY; j += SOFTMAX_THREADS) {
    row[j] = expf(row[j] - shift) * factor;
  }
}

#define TOPKNOT_SOFTMAX_LOSS(prefix, S)                                                           \
  TOPKNOT_KERNEL(S::Tile::THREADS, S::Tile::BLOCKS)                                               \
  prefix##_forward_logits(const Run* run, const float* x, const float* weight, const float* bias, \
                          float* logits) {                                                        \
    multiplyActivate<S::Tile, S::WIDTH, S::VOCABULARY, IDENTITY>(x, weight, bias, nullptr,        \
                                                                 logits, run->valid);             \
  }                                                                                               \
  TOPKNOT_KERNEL(SOFTMAX_THREADS)                                                                 \
  prefix##_forward_loss(const Run* run, const int* targets, float* logits, float* losses) {       \
    softmaxLoss<S>(run, targets, logits, losses);                                                 \
  }                                                                                               \
  TOPKNOT_KERNEL(SOFTMAX_THREADS)                                                                 \
  prefix##_probabilities_softmax(const Run* run, float* logits) {                                 \
    softmaxProbabilities<S>(run, logits);                                                         \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, S::Tile::BLOCKS)                                               \
  prefix##_backward_input(const Run* run, const float* dLogits, const float* weight, float* dx) { \
    multiplyBack<S::Tile, S::WIDTH, S::VOCABULARY>(dLogits, weight, dx, run->valid);              \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, S::Tile::BLOCKS)                                               \
  prefix##_backward_weight(const Run* run, const float* dLogits, const float* x,                  \
                           float* dWeight) {                                                      \
    multiplyWeight<S::Tile>(Rows<S::VOCABULARY>{dLogits}, Rows<S::WIDTH>{x}, run->valid, dWeight, \
                            run->add != 0);                                                       \
  }                                                                                               \
  TOPKNOT_KERNEL(COLUMN_SUMS_THREADS)                                                             \
  prefix##_backward_bias(const Run* run, const float* dLogits, float* dBias) {                    \
    sumColumns<S::VOCABULARY>(dLogits, run->valid, dBias, run->add != 0);                         \
  }
