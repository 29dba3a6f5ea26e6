// What a product multiplies: matrices [rows, COLUMNS] in fp32, stored by rows, each row found by its
// operand, and k running along the columns or along the rows (gemm.cuh). Outside of an operand all
// is zero, so that tiles need no cases for edges: rows behind the last are not read at all.
//
// Four neighbouring values are one load of 16 bytes wherever COLUMNS is a multiple of 4 (every buffer
// starts at a multiple of 16 bytes), else four of 4.
#pragma once

#include "topknot/device.cuh"

/** Rows one after the other. */
template <int COLUMNS>
struct Rows {
  static constexpr int columns = COLUMNS;
  const float* data;

  TOPKNOT_DEVICE const float* row(int r) const {
    return data + static_cast<long long>(r) * COLUMNS;
  }
};

/** Row r is row list[r] of a matrix. */
template <int COLUMNS>
struct ListedRows {
  static constexpr int columns = COLUMNS;
  const float* data;
  const int* list;

  TOPKNOT_DEVICE const float* row(int r) const {
    return data + static_cast<long long>(list[r]) * COLUMNS;
  }
};

/** Row 2 r is row r of one matrix, row 2 r + 1 that of another. */
template <int COLUMNS>
struct PairedRows {
  static constexpr int columns = COLUMNS;
  const float* even;
  const float* odd;

  TOPKNOT_DEVICE const float* row(int r) const {
    return (r % 2 == 0 ? even : odd) + static_cast<long long>(r / 2) * COLUMNS;
  }
};

/** Values `column` to `column + 3` of a row; zeros behind COLUMNS. */
template <int COLUMNS>
TOPKNOT_DEVICE float4 loadFour(const float* row, int column) {
  if (COLUMNS % 4 == 0) {
    return column < COLUMNS ? *reinterpret_cast<const float4*>(row + column)
                            : make_float4(0, 0, 0, 0);
  }
  return make_float4(column < COLUMNS ? row[column] : 0.0f,
                     column + 1 < COLUMNS ? row[column + 1] : 0.0f,
                     column + 2 < COLUMNS ? row[column + 2] : 0.0f,
                     column + 3 < COLUMNS ? row[column + 3] : 0.0f);
}

/** An operand whose k runs along its columns: row m (or n) of `rows`. */
template <class Matrix>
struct KAlongColumns {
  static constexpr bool alongColumns = true;
  Matrix matrix;
  int rows;

  TOPKNOT_DEVICE float4 four(int row, int column) const {
    return row < rows ? loadFour<Matrix::columns>(matrix.row(row), column)
                      : make_float4(0, 0, 0, 0);
  }
};

/** An operand whose k runs along its rows, of which there are `rows`; column m (or n). */
template <class Matrix>
struct KAlongRows {
  static constexpr bool alongColumns = false;
  Matrix matrix;
  int rows;

  TOPKNOT_DEVICE float4 four(int row, int column) const {
    return row < rows ? loadFour<Matrix::columns>(matrix.row(row), column)
                      : make_float4(0, 0, 0, 0);
  }
};

template <class Matrix>
TOPKNOT_DEVICE KAlongColumns<Matrix> alongColumns(Matrix matrix, int rows) {
  return {matrix, rows};
}

template <class Matrix>
TOPKNOT_DEVICE KAlongRows<Matrix> alongRows(Matrix matrix, int rows) {
  return {matrix, rows};
}

/** The part of an operand's next K that a thread carries to shared memory. */
template <int EXTENT, int K, int THREADS>
struct Fetched {
  static constexpr int COUNT = EXTENT * K / (4 * THREADS);
  static_assert(COUNT * 4 * THREADS == EXTENT * K, "equal loads");

  float4 values[COUNT];

  template <class Operand>
  TOPKNOT_DEVICE void fetch(const Operand& operand, int first, int k) {
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
      const int at = static_cast<int>(threadIdx.x) + i * THREADS;
      if (Operand::alongColumns) {
        values[i] = operand.four(first + at / (K / 4), k + at % (K / 4) * 4);
      } else {
        values[i] = operand.four(k + at / (EXTENT / 4), first + at % (EXTENT / 4) * 4);
      }
    }
  }
};
