// Adam without a first moment and with a factored second one ([S17] appendix D), with clipping by
// the global norm: of each matrix, running means of its squared gradients over each row, R, and over
// each column, C. Then v^ = R C^T / mean(R), corrected for the updates it has seen, and
// p -= rate g / (sqrt(v^) + epsilon). Where the mean is 0, as of an expert never used, so is v^.
//
// Shapes: the arenas of parameters and gradients, ROWS means of rows and COLUMNS of columns, of all
// matrices one after the other; a bias has one row. A block takes a tile of 256 x 512 of one matrix,
// TILES in all. The norm leaves each tile's sums over its rows and columns, in double, for the
// update, which adds them in a fixed order; what follows is of single roundings, as
// runtime.cpu.AdamFactored's. `slices` is as for Adam; frozen matrices keep values and means.
// FLOPs: 4 a parameter for the norm, 8 for the update. Bytes: 4 and 12 a parameter.
#pragma once

#include "topknot/adam.cuh"

constexpr int FACTORED_ROWS = 256, FACTORED_COLUMNS = 512;

/** Columns of a lane: every 32nd. */
constexpr int FACTORED_LANE = FACTORED_COLUMNS / 32;

constexpr int FACTORED_WARPS = ADAM_THREADS / 32;

/** Matrices of one shape, neighbours in all arenas. Mirrored by runtime.cuda.MatrixTable. */
struct Matrices {
  long long tile, slice;            // numbers of the first
  long long rowMeans, columnMeans;  // where their means begin
  long long rowSums, columnSums;    // where their sums begin: those of each tile across, or down
  long long rows, columns;          // of each matrix
};

/** The last entry whose FIRST is not above `at`. */
template <long long Matrices::*FIRST>
TOPKNOT_DEVICE const Matrices* matricesAt(const Matrices* all, long long entries, long long at) {
  long long low = 0, high = entries;
  while (high - low > 1) {
    const long long middle = (low + high) / 2;
    if (all[middle].*FIRST <= at) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return all + low;
}

TOPKNOT_DEVICE long long tilesAcross(const Matrices* of) {
  return (of->columns + FACTORED_COLUMNS - 1) / FACTORED_COLUMNS;
}

TOPKNOT_DEVICE long long tilesDown(const Matrices* of) {
  return (of->rows + FACTORED_ROWS - 1) / FACTORED_ROWS;
}

/** The tile of the block. */
struct FactoredTile {
  const Matrices* of;
  long long copy, slice;   // which matrix
  long long down, across;  // which tile of it
  long long row, column;   // where the tile begins
  int rows, columns;       // its size
};

TOPKNOT_DEVICE FactoredTile factoredTile(const Matrices* all, long long entries) {
  FactoredTile tile;
  tile.of = matricesAt<&Matrices::tile>(all, entries, blockIdx.x);
  const long long across = tilesAcross(tile.of), ofMatrix = across * tilesDown(tile.of);
  const long long number = static_cast<long long>(blockIdx.x) - tile.of->tile;
  tile.copy = number / ofMatrix;
  tile.slice = tile.of->slice + tile.copy;
  tile.down = number % ofMatrix / across;
  tile.across = number % across;
  tile.row = tile.down * FACTORED_ROWS;
  tile.column = tile.across * FACTORED_COLUMNS;
  const long long rows = tile.of->rows - tile.row, columns = tile.of->columns - tile.column;
  tile.rows = rows < FACTORED_ROWS ? static_cast<int>(rows) : FACTORED_ROWS;
  tile.columns = columns < FACTORED_COLUMNS ? static_cast<int>(columns) : FACTORED_COLUMNS;
  return tile;
}

/**
 * The sums of squared gradients of a tile: over each row, each column and all, squares[tile]. A warp
 * takes every 8th row. Grid: tiles; shared: 32768 bytes.
 */
TOPKNOT_DEVICE void factoredSums(const Run* run, const float* gradients, const Matrices* matrices,
                                 long long entries, const long long* slices, long long count,
                                 double* rowSums, double* columnSums, double* squares) {
  const FactoredTile tile = factoredTile(matrices, entries);
  double* shared = sharedMemory<double>();
  double sum = 0;
  if (!(run->frozen != 0 && isFrozenSlice(slices, count, tile.slice))) {
    const Matrices* of = tile.of;
    const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
    const float scale = run->gradientScale;
    const float* from = gradients + slices[tile.slice] + tile.row * of->columns + tile.column;
    double* ofRows =
        rowSums + of->rowSums + (tile.copy * tilesAcross(of) + tile.across) * of->rows + tile.row;
    double* ofColumns = columnSums + of->columnSums +
                        (tile.copy * tilesDown(of) + tile.down) * of->columns + tile.column;
    double inColumn[FACTORED_LANE] = {};
    for (int row = warp; row < tile.rows; row += FACTORED_WARPS) {
      const float* g = from + row * of->columns;
      double inRow = 0;
#pragma unroll
      for (int i = 0; i < FACTORED_LANE; i++) {
        const int column = lane + 32 * i;
        const double scaled = column < tile.columns ? mulExact(g[column], scale) : 0.0f;
        inRow += scaled * scaled;
        inColumn[i] += scaled * scaled;
      }
      inRow = sumOfWarp(inRow);
      if (lane == 0) {
        ofRows[row] = inRow;
      }
    }
#pragma unroll
    for (int i = 0; i < FACTORED_LANE; i++) {
      shared[warp * FACTORED_COLUMNS + lane + 32 * i] = inColumn[i];
    }
    __syncthreads();
    for (int column = thread; column < tile.columns; column += ADAM_THREADS) {
      double ofColumn = 0;
#pragma unroll
      for (int w = 0; w < FACTORED_WARPS; w++) {
        ofColumn += shared[w * FACTORED_COLUMNS + column];
      }
      ofColumns[column] = ofColumn;
      sum += ofColumn;
    }
  }
  // without a barrier: where a thread writes here, no other has read
  sum = sumOfBlock<ADAM_THREADS>(sum, shared);
  if (threadIdx.x == 0) {
    squares[blockIdx.x] = sum;
  }
}

/**
 * Moves a running mean.
 *
 * @param sums of the parts of it, `length` apart
 * @param over how many squares it is
 */
TOPKNOT_DEVICE void moveMean(const Run* run, float* mean, const double* sums, long long length,
                             long long parts, long long over) {
  double sum = 0;
#pragma unroll 8
  for (long long part = 0; part < parts; part++) {
    sum += sums[part * length];
  }
  const double clip = clipOf(run);
  const float latest = static_cast<float>(sum * clip * clip / static_cast<double>(over));
  *mean = subExact(addExact(addExact(mulExact(run->keepSecond, *mean),
                                     mulExact(run->addSecond, latest)),
                            ADAM_FLUSH),
                   ADAM_FLUSH);
}

/** Moves all running means, unless the run forbids it. Grid: a thread each. */
template <class S>
TOPKNOT_DEVICE void factoredMeans(const Run* run, float* rowMeans, float* columnMeans,
                                  const Matrices* matrices, long long entries,
                                  const long long* slices, long long count, const double* rowSums,
                                  const double* columnSums) {
  const long long at = static_cast<long long>(blockIdx.x) * ADAM_THREADS + threadIdx.x;
  if (!mayCommit(run) || at >= S::ROWS + S::COLUMNS) {
    return;
  }
  const bool ofRow = at < S::ROWS;
  const long long mean = ofRow ? at : at - S::ROWS;
  const Matrices* of = ofRow ? matricesAt<&Matrices::rowMeans>(matrices, entries, mean)
                             : matricesAt<&Matrices::columnMeans>(matrices, entries, mean);
  const long long length = ofRow ? of->rows : of->columns;
  const long long number = mean - (ofRow ? of->rowMeans : of->columnMeans);
  const long long copy = number / length;
  if (run->frozen != 0 && isFrozenSlice(slices, count, of->slice + copy)) {
    return;
  }
  const long long parts = ofRow ? tilesAcross(of) : tilesDown(of);
  const double* sums = ofRow ? rowSums + of->rowSums : columnSums + of->columnSums;
  moveMean(run, (ofRow ? rowMeans : columnMeans) + mean,
           sums + copy * parts * length + number % length, length, parts,
           ofRow ? of->columns : of->rows);
}

/** One step of a tile, unless the run forbids it. Grid: tiles; shared: 2048 bytes. */
TOPKNOT_DEVICE void factoredStep(const Run* run, float* parameters, const float* gradients,
                                 const float* rowMeans, const float* columnMeans,
                                 const Matrices* matrices, long long entries,
                                 const long long* slices, long long count) {
  const FactoredTile tile = factoredTile(matrices, entries);
  if (!mayCommit(run) || (run->frozen != 0 && isFrozenSlice(slices, count, tile.slice))) {
    return;
  }
  const Matrices* of = tile.of;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const float* ofRows = rowMeans + of->rowMeans + tile.copy * of->rows;
  const float* ofColumns = columnMeans + of->columnMeans + tile.copy * of->columns;
  // the mean over either is that of the matrix: the fewer are added up
  const bool fewerRows = of->rows <= of->columns;
  const long long fewer = fewerRows ? of->rows : of->columns;
  double sum = 0;
  for (long long i = thread; i < fewer; i += ADAM_THREADS) {
    sum += (fewerRows ? ofRows : ofColumns)[i];
  }
  const double mean = sumOfBlock<ADAM_THREADS>(sum, sharedMemory<double>()) / fewer;

  float inColumn[FACTORED_LANE];
#pragma unroll
  for (int i = 0; i < FACTORED_LANE; i++) {
    const int column = lane + 32 * i;
    inColumn[i] = column < tile.columns ? ofColumns[tile.column + column] : 0.0f;
  }
  const float scale = mulExact(clipOf(run), run->gradientScale);
  const float rate = run->rate, rootScale = run->rootScale, epsilon = run->epsilon;
  const long long first = slices[tile.slice] + tile.row * of->columns + tile.column;
  for (int row = warp; row < tile.rows; row += FACTORED_WARPS) {
    float* p = parameters + first + row * of->columns;
    const float* g = gradients + first + row * of->columns;
    const float inRow = mean > 0 ? static_cast<float>(ofRows[tile.row + row] / mean) : 0.0f;
#pragma unroll
    for (int i = 0; i < FACTORED_LANE; i++) {
      const int column = lane + 32 * i;
      if (column < tile.columns) {
        const float root = mulExact(sqrtExact(mulExact(inRow, inColumn[i])), rootScale);
        p[column] = subExact(p[column], divExact(mulExact(rate, mulExact(scale, g[column])),
                                                 addExact(root, epsilon)));
      }
    }
  }
}

#define TOPKNOT_ADAM_FACTORED(prefix, S)                                                         \
  TOPKNOT_KERNEL(ADAM_THREADS)                                                                   \
  prefix##_norm_sums(const Run* run, const float* gradients, const Matrices* matrices,           \
                     long long entries, const long long* slices, long long count,                \
                     double* rowSums, double* columnSums, double* squares) {                     \
    factoredSums(run, gradients, matrices, entries, slices, count, rowSums, columnSums,          \
                 squares);                                                                       \
  }                                                                                              \
  TOPKNOT_KERNEL(ADAM_THREADS) prefix##_norm_total(Run* run, const double* squares) {            \
    adamNorm<S::TILES>(run, squares);                                                            \
  }                                                                                              \
  TOPKNOT_KERNEL(ADAM_THREADS)                                                                   \
  prefix##_update_means(const Run* run, float* rowMeans, float* columnMeans,                     \
                        const Matrices* matrices, long long entries, const long long* slices,    \
                        long long count, const double* rowSums, const double* columnSums) {      \
    factoredMeans<S>(run, rowMeans, columnMeans, matrices, entries, slices, count, rowSums,      \
                     columnSums);                                                                \
  }                                                                                              \
  TOPKNOT_KERNEL(ADAM_THREADS)                                                                   \
  prefix##_update_step(const Run* run, float* parameters, const float* gradients,                \
                       const float* rowMeans, const float* columnMeans,                          \
                       const Matrices* matrices, long long entries, const long long* slices,     \
                       long long count) {                                                        \
    factoredStep(run, parameters, gradients, rowMeans, columnMeans, matrices, entries, slices,   \
                 count);                                                                         \
  }
