// What a product multiplies: matrices [rows, COLUMNS] in fp32 or, for a tile that wants it so, bf16,
// stored by rows, each row found by its operand, and k running along the columns or along the rows
// (gemm.cuh). Outside of an operand all is zero, so that tiles need no cases for edges: rows behind
// the last are not read at all. Where a row lies is said in two steps, of which only the first,
// number(r), may read a list: row(number) is its address.
//
// Four neighbouring values are one load of 16 bytes wherever COLUMNS is a multiple of 4 (every buffer
// starts at a multiple of 16 bytes), else four of 4.
#pragma once

#include "topknot/device.cuh"

/** Rows one after the other. */
template <int COLUMNS, class ELEMENT = float>
struct Rows {
  using Element = ELEMENT;
  static constexpr int columns = COLUMNS;
  static constexpr bool listed = false;
  const ELEMENT* data;

  TOPKNOT_DEVICE int number(int r) const { return r; }
  TOPKNOT_DEVICE const ELEMENT* row(int number) const {
    return data + static_cast<long long>(number) * COLUMNS;
  }
};

/** Row r is row list[r] of a matrix. */
template <int COLUMNS, class ELEMENT = float>
struct ListedRows {
  using Element = ELEMENT;
  static constexpr int columns = COLUMNS;
  static constexpr bool listed = true;
  const ELEMENT* data;
  const int* list;

  TOPKNOT_DEVICE int number(int r) const { return list[r]; }
  TOPKNOT_DEVICE const ELEMENT* row(int number) const {
    return data + static_cast<long long>(number) * COLUMNS;
  }
};

/** Row 2 r is row r of one matrix, row 2 r + 1 that of another. */
template <int COLUMNS>
struct PairedRows {
  using Element = float;
  static constexpr int columns = COLUMNS;
  static constexpr bool listed = false;
  const float* even;
  const float* odd;

  TOPKNOT_DEVICE int number(int r) const { return r; }
  TOPKNOT_DEVICE const float* row(int number) const {
    return (number % 2 == 0 ? even : odd) + static_cast<long long>(number / 2) * COLUMNS;
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
  using Element = typename Matrix::Element;
  static constexpr int columns = Matrix::columns;
  static constexpr bool listed = Matrix::listed;
  Matrix matrix;
  int rows;

  /** The number of a row, or -1 behind the last. */
  TOPKNOT_DEVICE int number(int row) const { return row < rows ? matrix.number(row) : -1; }

  TOPKNOT_DEVICE float4 four(int row, int column) const {
    return row < rows ? loadFour<Matrix::columns>(matrix.row(matrix.number(row)), column)
                      : make_float4(0, 0, 0, 0);
  }
};

/** An operand whose k runs along its rows, of which there are `rows`; column m (or n). */
template <class Matrix>
struct KAlongRows {
  static constexpr bool alongColumns = false;
  using Element = typename Matrix::Element;
  static constexpr int columns = Matrix::columns;
  static constexpr bool listed = Matrix::listed;
  Matrix matrix;
  int rows;

  /** The number of a row, or -1 behind the last. */
  TOPKNOT_DEVICE int number(int row) const { return row < rows ? matrix.number(row) : -1; }

  TOPKNOT_DEVICE float4 four(int row, int column) const {
    return row < rows ? loadFour<Matrix::columns>(matrix.row(matrix.number(row)), column)
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

/**
 * A thread's rows of an operand's stages of K, `PIECES` a stage with VALUES neighbouring columns of
 * each. Rows that a list names are found once or, where k runs along them, a stage ahead, so that no
 * load waits for another.
 */
template <class Operand, int EXTENT, int K, int THREADS, int VALUES>
struct Pieces {
  static constexpr int PIECES = EXTENT * K / (VALUES * THREADS);
  static constexpr int LANES = (Operand::alongColumns ? K : EXTENT) / VALUES;  // threads a row
  static_assert(PIECES * VALUES * THREADS == EXTENT * K, "equal parts");

  const Operand operand;
  int first;  // of m or n
  int numbers[PIECES];

  TOPKNOT_DEVICE Pieces(const Operand& operand, int first) : operand(operand), first(first) {
    find(0);
  }

  /** From the first stage on again, for the tile whose m or n begin here. */
  TOPKNOT_DEVICE void moveTo(int firstOfTile) {
    first = firstOfTile;
    find(0);
  }

  /** The row within a stage of a piece, and the column of all. */
  TOPKNOT_DEVICE static int rowOf(int i) {
    return static_cast<int>(threadIdx.x) / LANES + i * (THREADS / LANES);
  }

  TOPKNOT_DEVICE static int columnOf() {
    return static_cast<int>(threadIdx.x) % LANES * VALUES;
  }

  TOPKNOT_DEVICE int number(int i, int k) const {
    return operand.number(rowOf(i) + (Operand::alongColumns ? first : k));
  }

  TOPKNOT_DEVICE void find(int k) {
#pragma unroll
    for (int i = 0; i < PIECES; i++) {
      numbers[i] = number(i, k);
    }
  }

  /** Calls take(i, row of the matrix, column, whether they are real) for the stage from `k` on. */
  template <class Take>
  TOPKNOT_DEVICE void each(int k, Take take) {
    const int column = columnOf() + (Operand::alongColumns ? k : first);
#pragma unroll
    for (int i = 0; i < PIECES; i++) {
      const int row = Operand::listed ? numbers[i] : number(i, k);
      take(i, operand.matrix.row(max(row, 0)), column, row >= 0 && column < Operand::columns);
    }
    if (Operand::listed && !Operand::alongColumns) {
      find(k + K);
    }
  }
};
