// The softmax over each token's target and some candidates, in place of the full one in training, and
// its negative log-likelihood. SAMPLES candidates are drawn for the whole batch, log-uniformly and
// with replacement; a logit is x W_id + bias_id - ln(SAMPLES P(id)), the target's too; a candidate
// that is the token's own target does not count, one drawn several times counts as often.
//
// The different ids among candidates and targets are the classes of the batch, ascending. Each has a
// row of W and a column of logits; an id that was drawn c times has ln(c) added as a candidate. So
// neither products nor gradients do anything twice, and each row of the gradient has one owner.
//
// Shapes, C = min(SAMPLES + TOKENS, VOCABULARY): x [TOKENS, WIDTH], W [VOCABULARY, WIDTH], classes
// [C], classCount [1], rows [C, WIDTH], logits [TOKENS, C], losses [1, TOKENS]; scratch cumulative,
// draws, places [VOCABULARY], counts [chunks of 1024 ids], offsets and drawn [C].
//
// The draw is a table of integers, made by integer arithmetic alone, so that every device draws the
// same ids: see runtime.cpu.LogUniform. Classes are collected by a count for each id, the sums of
// chunks of ids, and each chunk's ids behind those of the chunks before it; the atomics add integers.
// What products leave in columns from classCount on has no meaning; those that the next product reads
// are zeroed.
//
// FLOPs: 2 TOKENS WIDTH classCount forward, twice that backward. Bytes: 4 VOCABULARY WIDTH for the
// zeros of the gradient, 40 VOCABULARY for the classes; else as softmax_loss.cuh with classCount for
// VOCABULARY.
#pragma once

#include "topknot/column_sums.cuh"
#include "topknot/gemm.cuh"
#include "topknot/noise.cuh"
#include "topknot/rows.cuh"
#include "topknot/softmax_loss.cuh"

constexpr int SAMPLED_THREADS = 256, SAMPLED_CHUNK = 4 * SAMPLED_THREADS, SAMPLED_WARPS = 8;

/** The most classes of a batch. */
template <class S>
constexpr int CLASSES =
    S::SAMPLES < S::VOCABULARY - S::TOKENS ? S::SAMPLES + S::TOKENS : S::VOCABULARY;

// ---- The law of the candidates -----------------------------------------------------------------

/** The binary logarithm of a positive x below 2^25, times 2^27, rounded down. */
TOPKNOT_DEVICE unsigned logarithm(unsigned x) {
  const int whole = 31 - __clz(static_cast<int>(x));
  unsigned result = static_cast<unsigned>(whole);
  unsigned long long mantissa = static_cast<unsigned long long>(x) << (31 - whole);
  for (int i = 0; i < 27; i++) {
    mantissa = mantissa * mantissa >> 31;
    const unsigned bit = static_cast<unsigned>(mantissa >> 32);
    mantissa >>= bit;
    result = result << 1 | bit;
  }
  return result;
}

/** The first word of each id, and zeros. Grid: VOCABULARY / 256, rounded up. */
template <class S>
TOPKNOT_DEVICE void sampledTable(unsigned* cumulative, int* draws, int* places) {
  const int id = static_cast<int>(blockIdx.x) * SAMPLED_THREADS + static_cast<int>(threadIdx.x);
  if (id >= S::VOCABULARY) {
    return;
  }
  const unsigned long long part = logarithm(static_cast<unsigned>(id) + 1);
  cumulative[id] = static_cast<unsigned>((part << 32) / logarithm(S::VOCABULARY + 1));
  draws[id] = 0;
  places[id] = 0;
}

/** The id of a word. */
template <class S>
TOPKNOT_DEVICE int idOfWord(const unsigned* cumulative, unsigned word) {
  int low = 0;
  int high = S::VOCABULARY;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (cumulative[middle] <= word) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

/** ln(SAMPLES P(id)). */
template <class S>
TOPKNOT_DEVICE double logOfExpected(const unsigned* cumulative, int id) {
  const unsigned next = id + 1 < S::VOCABULARY ? cumulative[id + 1] : 0u;  // 2^32
  return log(S::SAMPLES * (static_cast<double>(next - cumulative[id]) * 0x1p-32));
}

// ---- The classes of the batch ------------------------------------------------------------------

/**
 * draws[id]: how many candidates are id; places[id]: how many targets. Grid: (SAMPLES + TOKENS) /
 * 256, rounded up.
 */
template <class S>
TOPKNOT_DEVICE void sampledDraw(const Run* run, const int* targets, const unsigned* cumulative,
                                int* draws, int* places) {
  const int i = static_cast<int>(blockIdx.x) * SAMPLED_THREADS + static_cast<int>(threadIdx.x);
  if (i < S::SAMPLES) {
    const uint4 words =
        noiseWords(run, 0, NOISE_STREAM<S::STREAM_LAYER, PURPOSE_SAMPLE>, i / 4);
    const unsigned word =
        i % 4 == 0 ? words.x : i % 4 == 1 ? words.y : i % 4 == 2 ? words.z : words.w;
    atomicAdd(&draws[idOfWord<S>(cumulative, word)], 1);
  } else if (i - S::SAMPLES < run->valid) {
    atomicAdd(&places[targets[i - S::SAMPLES]], 1);
  }
}

/** Which of the calling thread's four ids are classes, and their number. */
template <class S>
TOPKNOT_DEVICE int classesOfThread(const int* draws, const int* places, bool (&is)[4]) {
  const int first = static_cast<int>(blockIdx.x) * SAMPLED_CHUNK + 4 * static_cast<int>(threadIdx.x);
  int count = 0;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const int id = first + i;
    is[i] = id < S::VOCABULARY && (draws[id] != 0 || places[id] != 0);
    count += is[i] ? 1 : 0;
  }
  return count;
}

/** counts[chunk]: classes among its ids. Grid: chunks. */
template <class S>
TOPKNOT_DEVICE void sampledCounts(const int* draws, const int* places, int* counts) {
  bool is[4];
  const int own = classesOfThread<S>(draws, places, is);
  const int sum = static_cast<int>(sumOfBlock(own));
  if (threadIdx.x == 0) {
    counts[blockIdx.x] = sum;
  }
}

/**
 * The classes of a chunk: classes, places[id], and what is added to a class's logits: offsets, and
 * drawn where it is a candidate, minus infinity if it is none. Grid: chunks.
 */
template <class S>
TOPKNOT_DEVICE void sampledClasses(const float* bias, const unsigned* cumulative, const int* draws,
                                   const int* counts, int* places, int* classes, int* classCount,
                                   float* offsets, float* drawn) {
  const int thread = static_cast<int>(threadIdx.x);
  const int chunk = static_cast<int>(blockIdx.x);
  int before = 0;
  for (int i = thread; i < chunk; i += SAMPLED_THREADS) {
    before += counts[i];
  }
  before = static_cast<int>(sumOfBlock(before));
  bool is[4];
  const int own = classesOfThread<S>(draws, places, is);
  int* sums = sharedMemory<int>() + SOFTMAX_SHARED_BYTES / 4;
  sums[thread] = own;
  __syncthreads();
  for (int distance = 1; distance < SAMPLED_THREADS; distance *= 2) {
    const int left = thread >= distance ? sums[thread - distance] : 0;
    __syncthreads();
    sums[thread] += left;
    __syncthreads();
  }
  int place = before + sums[thread] - own;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    if (is[i]) {
      const int id = chunk * SAMPLED_CHUNK + 4 * thread + i;
      places[id] = place;
      classes[place] = id;
      offsets[place] =
          static_cast<float>(static_cast<double>(bias[id]) - logOfExpected<S>(cumulative, id));
      drawn[place] = logf(static_cast<float>(draws[id]));
      place++;
    }
  }
  if (chunk == (S::VOCABULARY - 1) / SAMPLED_CHUNK && thread == SAMPLED_THREADS - 1) {
    *classCount = place;
  }
}

/** rows[c] = W[classes[c]]. Grid: (C / 8, rounded up, WIDTH / 128, rounded up). */
template <class S>
TOPKNOT_DEVICE void sampledRows(const float* weight, const int* classes, const int* classCount,
                                float* rows) {
  const int c = tokenOfWarp<SAMPLED_WARPS>();
  const int column = static_cast<int>(blockIdx.y) * 128 + 4 * laneOfThread();
  if (c >= *classCount || column >= S::WIDTH) {
    return;
  }
  float row[4];
  loadChunk<S::WIDTH>(weight, classes[c], column, row);
  storeChunk<S::WIDTH>(rows, c, column, row);
}

// ---- Logits, loss, gradients -------------------------------------------------------------------

/** logits = x rows^T + offsets; grid: TOKENS / M, C / N. */
template <class S>
TOPKNOT_DEVICE void sampledLogits(const Run* run, const float* x, const float* rows,
                                  const int* classCount, const float* offsets, float* logits) {
  using Tile = typename S::Tile;
  const int row = static_cast<int>(blockIdx.x) * Tile::M;
  const int column = static_cast<int>(blockIdx.y) * Tile::N;
  const int count = *classCount;
  if (row >= run->valid || column >= count) {
    return;
  }
  typename Tile::Sums sums;
  Tile::multiply(sharedMemory<float>(), alongColumns(Rows<S::WIDTH>{x}, run->valid),
                 alongColumns(Rows<S::WIDTH>{rows}, count), row, column, S::WIDTH, sums);
  ActivateEpilogue<CLASSES<S>, IDENTITY> epilogue{offsets, nullptr, logits, row, run->valid, column};
  Tile::each(sums, epilogue);
}

/** The loss of token blockIdx.x, and its gradient in place of its logits. */
template <class S>
TOPKNOT_DEVICE void sampledLoss(const Run* run, const int* targets, const int* classCount,
                                const int* places, const float* drawn, float* logits,
                                float* losses) {
  const int token = static_cast<int>(blockIdx.x);
  if (token >= run->valid) {
    return;
  }
  float* row = logits + static_cast<long long>(token) * CLASSES<S>;
  const int count = *classCount;
  const int target = places[targets[token]];
  const int thread = static_cast<int>(threadIdx.x);
  float largest = row[target];
  for (int j = thread; j < count; j += SOFTMAX_THREADS) {
    largest = fmaxf(largest, j == target ? row[j] : row[j] + drawn[j]);
  }
  const float shift = largestOfBlock(largest);
  double sum = 0;
  for (int j = thread; j < count; j += SOFTMAX_THREADS) {
    sum += expf((j == target ? row[j] : row[j] + drawn[j]) - shift);
  }
  sum = sumOfBlock(sum);
  if (thread == 0) {
    losses[token] =
        static_cast<float>(log(sum) + (static_cast<double>(shift) - static_cast<double>(row[target])));
  }
  __syncthreads();  // the target's logit has been read
  const float factor = static_cast<float>(1.0 / (sum * run->valid));
  const float share = 1.0f / static_cast<float>(run->valid);
  const int read = min(CLASSES<S>, (count + S::Tile::K - 1) / S::Tile::K * S::Tile::K);
  for (int j = thread; j < read; j += SOFTMAX_THREADS) {
    if (j == target) {
      row[j] = expf(row[j] - shift) * factor - share;
    } else {
      row[j] = j < count ? expf(row[j] + drawn[j] - shift) * factor : 0.0f;
    }
  }
}

/** Zeros, unless gradients are added to. Grid: VOCABULARY WIDTH / 1024, rounded up. */
template <class S>
TOPKNOT_DEVICE void sampledClear(const Run* run, float* dWeight, float* dBias) {
  if (run->add != 0) {
    return;
  }
  const long long first = static_cast<long long>(blockIdx.x) * SAMPLED_CHUNK + threadIdx.x;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const long long at = first + i * SAMPLED_THREADS;
    if (at < static_cast<long long>(S::VOCABULARY) * S::WIDTH) {
      dWeight[at] = 0;
    }
    if (at < S::VOCABULARY) {
      dBias[at] = 0;
    }
  }
}

/** dx = dlogits rows; grid: TOKENS / M, WIDTH / N. */
template <class S>
TOPKNOT_DEVICE void sampledInput(const Run* run, const float* dLogits, const float* rows,
                                 const int* classCount, float* dx) {
  using Tile = typename S::Tile;
  const int row = static_cast<int>(blockIdx.x) * Tile::M;
  const int column = static_cast<int>(blockIdx.y) * Tile::N;
  const int count = *classCount;
  if (row >= run->valid) {
    return;
  }
  typename Tile::Sums sums;
  Tile::multiply(sharedMemory<float>(), alongColumns(Rows<CLASSES<S>>{dLogits}, run->valid),
                 alongRows(Rows<S::WIDTH>{rows}, count), row, column, count, sums);
  StoreEpilogue<S::WIDTH> epilogue{dx, row, run->valid, column, false};
  Tile::each(sums, epilogue);
}

/** Writes row r of c to row list[r], or adds it to what is there. */
template <int COLUMNS>
struct StoreListed {
  float* to;
  const int* list;
  int firstRow, rows, firstColumn;
  bool add;

  template <int N>
  TOPKNOT_DEVICE void operator()(int row, int column, const float (&values)[N]) const {
    if (firstRow + row < rows) {
      const int listed = list[firstRow + row];
      const StoreEpilogue<COLUMNS> one{to, listed, listed + 1, firstColumn, add};
      one(0, column, values);
    }
  }
};

/** dW[classes[c]] = the sum over tokens of dlogits[., c] x; grid: C / M, WIDTH / N. */
template <class S>
TOPKNOT_DEVICE void sampledWeight(const Run* run, const float* dLogits, const float* x,
                                  const int* classes, const int* classCount, float* dWeight) {
  using Tile = typename S::Tile;
  const int row = static_cast<int>(blockIdx.x) * Tile::M;
  const int column = static_cast<int>(blockIdx.y) * Tile::N;
  const int count = *classCount;
  if (row >= count) {
    return;
  }
  typename Tile::Sums sums;
  Tile::multiply(sharedMemory<float>(), alongRows(Rows<CLASSES<S>>{dLogits}, run->valid),
                 alongRows(Rows<S::WIDTH>{x}, run->valid), row, column, run->valid, sums);
  StoreListed<S::WIDTH> epilogue{dWeight, classes, row, count, column, run->add != 0};
  Tile::each(sums, epilogue);
}

/** dbias[classes[c]] = the sum over tokens of dlogits[., c]; grid: C / 32, rounded up. */
template <class S>
TOPKNOT_DEVICE void sampledBias(const Run* run, const float* dLogits, const int* classes,
                                const int* classCount, float* dBias) {
  const int column = summedColumn();
  const float total = sumOfColumn<CLASSES<S>>(dLogits, run->valid);
  if (threadIdx.x < 32 && column < *classCount) {
    float* to = dBias + classes[column];
    *to = run->add != 0 ? *to + total : total;
  }
}

#define TOPKNOT_SAMPLED_SOFTMAX_LOSS(prefix, S)                                                   \
  TOPKNOT_KERNEL(SAMPLED_THREADS)                                                                 \
  prefix##_forward_table(unsigned* cumulative, int* draws, int* places) {                         \
    sampledTable<S>(cumulative, draws, places);                                                   \
  }                                                                                               \
  TOPKNOT_KERNEL(SAMPLED_THREADS)                                                                 \
  prefix##_forward_draw(const Run* run, const int* targets, const unsigned* cumulative,           \
                        int* draws, int* places) {                                                \
    sampledDraw<S>(run, targets, cumulative, draws, places);                                      \
  }                                                                                               \
  TOPKNOT_KERNEL(SAMPLED_THREADS)                                                                 \
  prefix##_forward_counts(const int* draws, const int* places, int* counts) {                     \
    sampledCounts<S>(draws, places, counts);                                                      \
  }                                                                                               \
  TOPKNOT_KERNEL(SAMPLED_THREADS)                                                                 \
  prefix##_forward_classes(const float* bias, const unsigned* cumulative, const int* draws,       \
                           const int* counts, int* places, int* classes, int* classCount,         \
                           float* offsets, float* drawn) {                                        \
    sampledClasses<S>(bias, cumulative, draws, counts, places, classes, classCount, offsets,      \
                      drawn);                                                                     \
  }                                                                                               \
  TOPKNOT_KERNEL(32 * SAMPLED_WARPS)                                                              \
  prefix##_forward_rows(const float* weight, const int* classes, const int* classCount,           \
                        float* rows) {                                                            \
    sampledRows<S>(weight, classes, classCount, rows);                                            \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, S::Tile::BLOCKS)                                               \
  prefix##_forward_logits(const Run* run, const float* x, const float* rows,                      \
                          const int* classCount, const float* offsets, float* logits) {           \
    sampledLogits<S>(run, x, rows, classCount, offsets, logits);                                  \
  }                                                                                               \
  TOPKNOT_KERNEL(SOFTMAX_THREADS)                                                                 \
  prefix##_forward_loss(const Run* run, const int* targets, const int* classCount,                \
                        const int* places, const float* drawn, float* logits, float* losses) {    \
    sampledLoss<S>(run, targets, classCount, places, drawn, logits, losses);                      \
  }                                                                                               \
  TOPKNOT_KERNEL(SAMPLED_THREADS)                                                                 \
  prefix##_backward_clear(const Run* run, float* dWeight, float* dBias) {                         \
    sampledClear<S>(run, dWeight, dBias);                                                         \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, S::Tile::BLOCKS)                                               \
  prefix##_backward_input(const Run* run, const float* dLogits, const float* rows,                \
                          const int* classCount, float* dx) {                                     \
    sampledInput<S>(run, dLogits, rows, classCount, dx);                                          \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, S::Tile::BLOCKS)                                               \
  prefix##_backward_weight(const Run* run, const float* dLogits, const float* x,                  \
                           const int* classes, const int* classCount, float* dWeight) {           \
    sampledWeight<S>(run, dLogits, x, classes, classCount, dWeight);                              \
  }                                                                                               \
  TOPKNOT_KERNEL(COLUMN_SUMS_THREADS)                                                             \
  prefix##_backward_bias(const Run* run, const float* dLogits, const int* classes,                \
                         const int* classCount, float* dBias) {                                   \
    sampledBias<S>(run, dLogits, classes, classCount, dBias);                                     \
  }
