// The sum over rows of a matrix [rows, COLUMNS], which is the gradient of a bias.
//
// A block has 32 columns and 8 threads a column; each adds every eighth row, in runs of 64 so that
// the rounding error of a long sum stays that of a short one, and the eight sums are added in their
// order. One addition and 4 bytes an element: bandwidth is all. Grid: COLUMNS / 32, rounded up.
#pragma once

#include "topknot/run.cuh"

constexpr int COLUMN_SUMS_THREADS = 256;
constexpr int COLUMN_SUMS_SHARED_BYTES = 256 * 4;

/** The column of the calling thread, of whose block only the first warp has the sums. */
TOPKNOT_DEVICE int summedColumn() {
  return static_cast<int>(blockIdx.x) * 32 + static_cast<int>(threadIdx.x) % 32;
}

/** In the first warp of a block, the sums of its columns over the first `rows` rows. */
template <int COLUMNS>
TOPKNOT_DEVICE float sumOfColumn(const float* from, int rows) {
  float* sums = sharedMemory<float>();
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int part = static_cast<int>(threadIdx.x) / 32;
  const int column = summedColumn();
  float total = 0;
  if (column < COLUMNS) {
    for (int first = part; first < rows; first += 64 * 8) {
      const int end = min(rows, first + 64 * 8);
      float run = 0;
      for (int row = first; row < end; row += 8) {
        run += from[static_cast<long long>(row) * COLUMNS + column];
      }
      total += run;
    }
  }
  sums[threadIdx.x] = total;
  __syncthreads();
  if (part == 0) {
    for (int i = 1; i < 8; i++) {
      total += sums[i * 32 + lane];
    }
  }
  return total;
}

/** to [1, COLUMNS] = the sum of the first `rows` rows of `from`, or that added to it. */
template <int COLUMNS>
TOPKNOT_DEVICE void sumColumns(const float* from, int rows, float* to, bool add) {
  const int column = summedColumn();
  const float total = sumOfColumn<COLUMNS>(from, rows);
  if (threadIdx.x < 32 && column < COLUMNS) {
    to[column] = add ? to[column] + total : total;
  }
}
