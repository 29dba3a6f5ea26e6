// Matrix products: c = a b for tiles of c, dense or for the rows of one expert.
//
// A product is a(m, k) times b(k, n). Each operand is a matrix [rows, COLUMNS] in memory, stored by
// rows; its k runs along the columns (weights and activations of a forward product) or along the
// rows (gradients of weights). So the three layouts of training are
//
//   NT  y  = x W^T    a: k along columns, b: k along columns
//   NN  dx = dy W     a: k along columns, b: k along rows
//   TN  dW = dy^T x   a: k along rows,    b: k along rows
//
// and an operand says itself where each of its rows lies: gathered by a list of tokens, interleaved
// from several weights, shifted by a time step. Nothing is copied together before a product.
//
// Why it is built so. A Tile is a policy: how large a block's part of c is, how operands come to
// shared memory, who holds which sums. A product only calls its multiply and each, so that a kernel's
// text is the same for every policy, which the operation's struct names: S::Tile is Fp32Tile or, on
// tensor cores, Bf16Tile of bf16_tile.cuh or WideTile of wide_tile.cuh. FfmaTile below keeps a REG_M
// x REG_N part of c in registers a thread and prefetches the next K columns into registers while it
// multiplies: 2 M N K FLOPs for 4 (M + N) K bytes of global and 4 (REG_M + REG_N) / (REG_M REG_N)
// bytes of shared memory a multiply-add. Sums run over k in ascending order, whatever the grid.
#pragma once

#include "topknot/bf16_tile.cuh"
#include "topknot/operand.cuh"
#include "topknot/run.cuh"
#include "topknot/wide_tile.cuh"

// ---- Tile policies -----------------------------------------------------------------------------

/**
 * M x N values of c in fp32 on the ordinary units, K at a time. A thread holds REG_M x REG_N of
 * them, neighbouring ones: those at rows REG_M (thread / LANES) and on, columns
 * REG_N (thread % LANES) and on.
 */
template <int TILE_M, int TILE_N, int TILE_K, int REG_M, int REG_N>
struct FfmaTile {
  static constexpr int M = TILE_M, N = TILE_N, K = TILE_K;

  /** What activations and their gradients are kept as between products. */
  using Stored = float;

  /** Threads that share the rows of c; in one warp. */
  static constexpr int LANES = N / REG_N;

  static constexpr int THREADS = M / REG_M * LANES;

  /** Of these blocks a multiprocessor has registers for: 80 a thread with 256 threads. */
  static constexpr int BLOCKS = 3;

  static constexpr int STRIDE_M = M + 4, STRIDE_N = N + 4;

  /** Two stages of each operand, stored [K, M] and [K, N]. */
  static constexpr int SHARED_BYTES = 2 * K * (STRIDE_M + STRIDE_N) * 4;

  static_assert(REG_N == 4 && REG_M % 2 == 0 && LANES <= 32 && 32 % LANES == 0, "a warp's rows");

  /** A thread's part of c. */
  struct Sums {
    float at[REG_M][REG_N];

    TOPKNOT_DEVICE Sums() {
#pragma unroll
      for (int i = 0; i < REG_M; i++) {
#pragma unroll
        for (int j = 0; j < REG_N; j++) {
          at[i][j] = 0;
        }
      }
    }
  };

  template <int EXTENT, class Operand>
  TOPKNOT_DEVICE static void put(const Fetched<EXTENT, K, THREADS>& fetched, float* stage) {
    constexpr int STRIDE = EXTENT + 4;
#pragma unroll
    for (int i = 0; i < fetched.COUNT; i++) {
      const int at = static_cast<int>(threadIdx.x) + i * THREADS;
      const float4 four = fetched.values[i];
      if (Operand::alongColumns) {
        float* to = stage + at % (K / 4) * 4 * STRIDE + at / (K / 4);
        to[0] = four.x;
        to[STRIDE] = four.y;
        to[2 * STRIDE] = four.z;
        to[3 * STRIDE] = four.w;
      } else {
        float* to = stage + at / (EXTENT / 4) * STRIDE + at % (EXTENT / 4) * 4;
        *reinterpret_cast<float4*>(to) = four;
      }
    }
  }

  /**
   * sums += a b for rows firstM and on of c, columns firstN and on, over k from 0 to depth. All
   * threads of the block call it; `shared` is free again when it returns.
   */
  template <class A, class B>
  TOPKNOT_DEVICE static void multiply(float* shared, const A& a, const B& b, int firstM, int firstN,
                                      int depth, Sums& sums) {
    if (depth <= 0) {
      return;
    }
    Fetched<M, K, THREADS> fetchedA;
    Fetched<N, K, THREADS> fetchedB;
    fetchedA.fetch(a, firstM, 0);
    fetchedB.fetch(b, firstN, 0);
    float* stage = shared;
    float* other = shared + K * (STRIDE_M + STRIDE_N);
    put<M, A>(fetchedA, stage);
    put<N, B>(fetchedB, stage + K * STRIDE_M);
    __syncthreads();
    for (int k = 0; k < depth; k += K) {
      const bool more = k + K < depth;
      if (more) {
        fetchedA.fetch(a, firstM, k + K);
        fetchedB.fetch(b, firstN, k + K);
      }
      multiplyStage(stage, sums);
      if (more) {
        put<M, A>(fetchedA, other);
        put<N, B>(fetchedB, other + K * STRIDE_M);
      }
      float* const swap = stage;
      stage = other;
      other = swap;
      __syncthreads();
    }
  }

  /**
   * Calls take(n, sums of a b) for the tiles of columns from firstN on and before endN, one after the
   * other; take may call each.
   */
  template <class A, class B, class Take>
  TOPKNOT_DEVICE static void multiplyAcross(float* shared, const A& a, const B& b, int firstM,
                                            int firstN, int endN, int depth, Take take) {
    for (int n = firstN; n < endN; n += N) {
      Sums sums;
      multiply(shared, a, b, firstM, n, depth, sums);
      take(n, sums);
    }
  }

  TOPKNOT_DEVICE static void multiplyStage(const float* stage, Sums& sums) {
    const float* a = stage + threadIdx.x / LANES * REG_M;
    const float* b = stage + K * STRIDE_M + threadIdx.x % LANES * REG_N;
#pragma unroll
    for (int k = 0; k < K; k++) {
      float left[REG_M];
      if (REG_M % 4 == 0) {
#pragma unroll
        for (int i = 0; i < REG_M; i += 4) {
          const float4 four = *reinterpret_cast<const float4*>(a + k * STRIDE_M + i);
          left[i] = four.x;
          left[i + 1] = four.y;
          left[(i + 2) % REG_M] = four.z;
          left[(i + 3) % REG_M] = four.w;
        }
      } else {
#pragma unroll
        for (int i = 0; i < REG_M; i += 2) {
          const float2 two = *reinterpret_cast<const float2*>(a + k * STRIDE_M + i);
          left[i] = two.x;
          left[i + 1] = two.y;
        }
      }
      const float4 right = *reinterpret_cast<const float4*>(b + k * STRIDE_N);
#pragma unroll
      for (int i = 0; i < REG_M; i++) {
        sums.at[i][0] += left[i] * right.x;
        sums.at[i][1] += left[i] * right.y;
        sums.at[i][2] += left[i] * right.z;
        sums.at[i][3] += left[i] * right.w;
      }
    }
  }

  /** Calls epilogue(row, column, values of neighbouring columns) with places within the tile. */
  template <class Epilogue>
  TOPKNOT_DEVICE static void each(Sums& sums, Epilogue& epilogue) {
    const int row = static_cast<int>(threadIdx.x) / LANES * REG_M;
    const int column = static_cast<int>(threadIdx.x) % LANES * REG_N;
#pragma unroll
    for (int i = 0; i < REG_M; i++) {
      epilogue(row + i, column, sums.at[i]);
    }
  }

  /**
   * As each, of an epilogue that returns a number; then epilogue.total(row, its sum over the tile's
   * columns) by one thread a row. All threads call it.
   */
  template <class Epilogue>
  TOPKNOT_DEVICE static void eachWithTotals(Sums& sums, Epilogue& epilogue) {
    const int row = static_cast<int>(threadIdx.x) / LANES * REG_M;
    const int column = static_cast<int>(threadIdx.x) % LANES * REG_N;
#pragma unroll
    for (int i = 0; i < REG_M; i++) {
      float total = epilogue(row + i, column, sums.at[i]);
#pragma unroll
      for (int distance = LANES / 2; distance > 0; distance /= 2) {
        total += __shfl_xor_sync(WHOLE_WARP, total, distance);
      }
      if (threadIdx.x % LANES == 0) {
        epilogue.total(row + i, total);
      }
    }
  }
};

/** Products in fp32. */
using Fp32Tile = FfmaTile<64, 64, 16, 4, 4>;

/** Products with few rows, in which every block counts: the time steps of a recurrent layer. */
using StepTile = FfmaTile<32, 32, 32, 2, 4>;

// ---- What epilogues do with memory -------------------------------------------------------------

/** Neighbouring values of a row of a matrix [., COLUMNS]; zeros behind COLUMNS. */
template <int COLUMNS, int N>
TOPKNOT_DEVICE void loadChunk(const float* matrix, long long row, int column, float (&values)[N]) {
  const float* from = matrix + row * COLUMNS + column;
  if (N == 4 && COLUMNS % 4 == 0) {
    const float4 four = column < COLUMNS ? *reinterpret_cast<const float4*>(from)
                                         : make_float4(0, 0, 0, 0);
    values[0] = four.x;
    values[1 % N] = four.y;
    values[2 % N] = four.z;
    values[3 % N] = four.w;
  } else if (N == 2 && COLUMNS % 2 == 0) {
    const float2 two = column < COLUMNS ? *reinterpret_cast<const float2*>(from)
                                        : make_float2(0, 0);
    values[0] = two.x;
    values[1 % N] = two.y;
  } else {
#pragma unroll
    for (int i = 0; i < N; i++) {
      values[i] = column + i < COLUMNS ? from[i] : 0.0f;
    }
  }
}

/** Writes those of the values that are not behind COLUMNS. */
template <int COLUMNS, int N>
TOPKNOT_DEVICE void storeChunk(float* matrix, long long row, int column,
                               const float (&values)[N]) {
  float* to = matrix + row * COLUMNS + column;
  if (N == 4 && COLUMNS % 4 == 0) {
    if (column < COLUMNS) {
      *reinterpret_cast<float4*>(to) =
          make_float4(values[0], values[1 % N], values[2 % N], values[3 % N]);
    }
  } else if (N == 2 && COLUMNS % 2 == 0) {
    if (column < COLUMNS) {
      *reinterpret_cast<float2*>(to) = make_float2(values[0], values[1 % N]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; i++) {
      if (column + i < COLUMNS) {
        to[i] = values[i];
      }
    }
  }
}

/** Likewise, rounded. */
template <int COLUMNS, int N>
TOPKNOT_DEVICE void storeChunk(Bf16* matrix, long long row, int column, const float (&values)[N]) {
  Bf16* to = matrix + row * COLUMNS + column;
  if (N == 4 && COLUMNS % 4 == 0) {
    if (column < COLUMNS) {
      *reinterpret_cast<uint2*>(to) = make_uint2(toBf16Pair(values[0], values[1 % N]),
                                                 toBf16Pair(values[2 % N], values[3 % N]));
    }
  } else if (N == 2 && COLUMNS % 2 == 0) {
    if (column < COLUMNS) {
      *reinterpret_cast<unsigned*>(to) = toBf16Pair(values[0], values[1 % N]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; i++) {
      if (column + i < COLUMNS) {
        to[i] = toBf16(values[i]);
      }
    }
  }
}

/** Writes c, or adds it to what is there. */
template <int COLUMNS>
struct StoreEpilogue {
  float* to;
  int firstRow, rows, firstColumn;
  bool add;

  template <int N>
  struct Read {
    float before[N] = {};
  };

  template <int N>
  TOPKNOT_DEVICE void read(int row, int column, Read<N>& chunk) const {
    if (add && firstRow + row < rows) {
      loadChunk<COLUMNS>(to, firstRow + row, firstColumn + column, chunk.before);
    }
  }

  template <int N>
  TOPKNOT_DEVICE void operator()(int row, int column, const float (&values)[N]) const {
    Read<N> chunk;
    read(row, column, chunk);
    (*this)(row, column, values, chunk);
  }

  template <int N>
  TOPKNOT_DEVICE void operator()(int row, int column, const float (&values)[N],
                                 const Read<N>& chunk) const {
    if (firstRow + row >= rows) {
      return;
    }
    if (add) {
      float sum[N];
#pragma unroll
      for (int i = 0; i < N; i++) {
        sum[i] = chunk.before[i] + values[i];
      }
      storeChunk<COLUMNS>(to, firstRow + row, firstColumn + column, sum);
    } else {
      storeChunk<COLUMNS>(to, firstRow + row, firstColumn + column, values);
    }
  }
};

/**
 * Writes f(c + bias) to y and what the slope needs to kept: the same, or c + bias. Either may be
 * null, and so may the bias; both may be one matrix where the slope needs the output.
 */
template <int COLUMNS, Activation F, class Stored = float>
struct ActivateEpilogue {
  const float* bias;
  float* kept;
  Stored* y;
  int firstRow, rows, firstColumn;

  template <int N>
  TOPKNOT_DEVICE void operator()(int row, int column, const float (&values)[N]) const {
    if (firstRow + row >= rows) {
      return;
    }
    float in[N], out[N];
    if (bias != nullptr) {
      loadChunk<COLUMNS>(bias, 0, firstColumn + column, in);
#pragma unroll
      for (int i = 0; i < N; i++) {
        in[i] = values[i] + in[i];
      }
    } else {
#pragma unroll
      for (int i = 0; i < N; i++) {
        in[i] = values[i];
      }
    }
#pragma unroll
    for (int i = 0; i < N; i++) {
      out[i] = activate<F>(in[i]);
    }
    if (y != nullptr) {
      storeChunk<COLUMNS>(y, firstRow + row, firstColumn + column, out);
    }
    if (kept != nullptr && static_cast<const void*>(kept) != y) {
      storeChunk<COLUMNS>(kept, firstRow + row, firstColumn + column, keepsInput(F) ? in : out);
    }
  }
};

// ---- Whole products of a grid (row tiles, column tiles) ----------------------------------------

/** Which tile of c a block has. */
struct BlockPlace {
  int row, column;
};

/**
 * Numbers blocks by columns first: those that run at the same time have few rows of a and all of b,
 * or the weights of few experts, between them, so that both come from memory about once.
 */
TOPKNOT_DEVICE BlockPlace placeOfBlock() {
  const unsigned block = blockIdx.y * gridDim.x + blockIdx.x;
  return {static_cast<int>(block / gridDim.y), static_cast<int>(block % gridDim.y)};
}

/** c [rows, OUTPUTS] = a [rows, INPUTS] times w [OUTPUTS, INPUTS] transposed, then f(c + bias). */
template <class Tile, int INPUTS, int OUTPUTS, Activation F>
TOPKNOT_DEVICE void multiplyActivate(const float* a, const float* w, const float* bias, float* kept,
                                     float* y, int rows) {
  const BlockPlace place = placeOfBlock();
  const int row = place.row * Tile::M;
  const int column = place.column * Tile::N;
  if (row >= rows) {
    return;
  }
  typename Tile::Sums sums;
  Tile::multiply(sharedMemory<float>(), alongColumns(Rows<INPUTS>{a}, rows),
                 alongColumns(Rows<INPUTS>{w}, OUTPUTS), row, column, INPUTS, sums);
  ActivateEpilogue<OUTPUTS, F> epilogue{bias, kept, y, row, rows, column};
  Tile::each(sums, epilogue);
}

/** dx [rows, INPUTS] = dy [rows, OUTPUTS] times w [OUTPUTS, INPUTS]. */
template <class Tile, int INPUTS, int OUTPUTS>
TOPKNOT_DEVICE void multiplyBack(const float* dy, const float* w, float* dx, int rows) {
  const BlockPlace place = placeOfBlock();
  const int row = place.row * Tile::M;
  const int column = place.column * Tile::N;
  if (row >= rows) {
    return;
  }
  typename Tile::Sums sums;
  Tile::multiply(sharedMemory<float>(), alongColumns(Rows<OUTPUTS>{dy}, rows),
                 alongRows(Rows<INPUTS>{w}, OUTPUTS), row, column, OUTPUTS, sums);
  StoreEpilogue<INPUTS> epilogue{dx, row, rows, column, false};
  Tile::each(sums, epilogue);
}

/**
 * dw [Out::columns, In::columns] = the sum over rows of dy^T x, or that added to it; zero where
 * there are no rows. Grid: (Out::columns / M, In::columns / N), rounded up; where SHARED, blocks along
 * y may be fewer and share the tiles of columns evenly.
 */
template <class Tile, bool SHARED = false, class Out, class In>
TOPKNOT_DEVICE void multiplyWeight(Out dy, In x, int rows, float* dw, bool add) {
  const int row = static_cast<int>(blockIdx.x) * Tile::M;
  const auto a = alongRows(dy, rows);
  const auto b = alongRows(x, rows);
  const auto store = [&](int column, typename Tile::Sums& sums) {
    StoreEpilogue<In::columns> epilogue{dw, row, Out::columns, column, add};
    Tile::each(sums, epilogue);
  };
  if (rows == 0 && add) {
    return;
  }
  if (SHARED) {
    const int blocks = static_cast<int>(gridDim.y);
    const int tiles = (In::columns + Tile::N - 1) / Tile::N;
    const int share = (tiles + blocks - 1) / blocks * Tile::N;
    const int first = static_cast<int>(blockIdx.y) * share;
    if (first < In::columns) {
      Tile::multiplyAcross(sharedMemory<float>(), a, b, row, first, min(first + share, In::columns),
                           rows, store);
    }
  } else {
    const int column = static_cast<int>(blockIdx.y) * Tile::N;
    typename Tile::Sums sums;
    Tile::multiply(sharedMemory<float>(), a, b, row, column, rows, sums);
    store(column, sums);
  }
}
