// The tile policy of products with bf16 operands and fp32 sums: mma.sync m16n8k16, sm_80 and later.
//
// Matrices stay fp32 in memory, so that master weights, gradients and the plan are those of fp32; an
// operand is rounded to the nearest bf16 on its way to shared memory. Either orientation is stored as
// it lies in memory, 16 bytes at a time, at places permuted so that neither the stores nor ldmatrix
// meet in a bank: an operand with k along its rows is transposed by ldmatrix. 8 warps, 2 x 4, have
// 32 x 16 of c each: 4 mma for 3 ldmatrix of 512 bytes.
//
// FLOPs: 2 M N K a stage; bytes: 4 (M + N) K of global memory, 6 (M + N) K of shared memory and more.
#pragma once

#include "topknot/epilogue.cuh"
#include "topknot/operand.cuh"

struct Bf16Tile {
  using Stored = float;
  static constexpr int M = 64, N = 64, K = 32;
  static constexpr int THREADS = 256;
  static constexpr int BLOCKS = 3;  // of a multiprocessor: 80 registers a thread

  /** Warps along a row of c, and how much of c each has, in fragments of 16 x 8. */
  static constexpr int WARPS_N = 4, FRAGMENTS_M = 2, FRAGMENTS_N = 2;

  /** One operand of one stage, in values. */
  static constexpr int OPERAND = 64 * K;

  static constexpr int SHARED_BYTES = 2 * 2 * OPERAND * 2;

  /** The sums of a block, where its stages were. */
  using BlockSums = SharedSums<M, N, THREADS>;
  static_assert(BlockSums::BYTES <= SHARED_BYTES, "where stages were");

  /** A thread's part of c: the fragments of its warp. */
  struct Sums {
    float at[FRAGMENTS_M][FRAGMENTS_N][4];

    TOPKNOT_DEVICE Sums() {
#pragma unroll
      for (int i = 0; i < FRAGMENTS_M; i++) {
#pragma unroll
        for (int j = 0; j < FRAGMENTS_N; j++) {
          at[i][j][0] = at[i][j][1] = at[i][j][2] = at[i][j][3] = 0;
        }
      }
    }
  };

  /** Where (row, column) of a stored operand lies: [64, K] or [K, 64], rows of 4 or 8 x 16 bytes. */
  template <bool ALONG_COLUMNS>
  TOPKNOT_DEVICE static int place(int row, int column) {
    return ALONG_COLUMNS ? row * K + ((column / 8) ^ (row / 2 % 4)) * 8 + column % 8
                         : row * 64 + ((column / 8) ^ (row % 8)) * 8 + column % 8;
  }

  template <class Operand>
  TOPKNOT_DEVICE static void put(const Fetched<64, K, THREADS>& fetched, Bf16* stage) {
#pragma unroll
    for (int i = 0; i < fetched.COUNT; i++) {
      const int at = static_cast<int>(threadIdx.x) + i * THREADS;
      const int row = Operand::alongColumns ? at / (K / 4) : at / 16;
      const int column = Operand::alongColumns ? at % (K / 4) * 4 : at % 16 * 4;
      const float4 four = fetched.values[i];
      *reinterpret_cast<uint2*>(stage + place<Operand::alongColumns>(row, column)) =
          make_uint2(pair(four.x, four.y), pair(four.z, four.w));
    }
  }

  TOPKNOT_DEVICE static unsigned pair(float low, float high) {
    return static_cast<unsigned>(toBf16(low)) | static_cast<unsigned>(toBf16(high)) << 16;
  }

  /** A tile's product, whose next stage is in registers. */
  template <class A, class B>
  struct Product {
    const A& a;
    const B& b;
    Fetched<M, K, THREADS> fetchedA;
    Fetched<N, K, THREADS> fetchedB;

    TOPKNOT_DEVICE Product(const A& a, const B& b) : a(a), b(b) {}

    TOPKNOT_DEVICE void fetch(int firstM, int firstN, int k) {
      fetchedA.fetch(a, firstM, k);
      fetchedB.fetch(b, firstN, k);
    }

    TOPKNOT_DEVICE void put(Bf16* stage) const {
      Bf16Tile::put<A>(fetchedA, stage);
      Bf16Tile::put<B>(fetchedB, stage + OPERAND);
    }

    /** Adds to sums, from the stage that was fetched on; shared memory is free when it returns. */
    TOPKNOT_DEVICE void finish(float* shared, int firstM, int firstN, int depth, Sums& sums) {
      Bf16* stage = reinterpret_cast<Bf16*>(shared);
      Bf16* other = stage + 2 * OPERAND;
      put(stage);
      __syncthreads();
      for (int k = 0; k < depth; k += K) {
        const bool more = k + K < depth;
        if (more) {
          fetch(firstM, firstN, k + K);
        }
        multiplyStage<A::alongColumns, B::alongColumns>(stage, stage + OPERAND, sums);
        if (more) {
          put(other);
        }
        Bf16* const swap = stage;
        stage = other;
        other = swap;
        __syncthreads();
      }
    }
  };

  /** As FfmaTile::multiply. */
  template <class A, class B>
  TOPKNOT_DEVICE static void multiply(float* shared, const A& a, const B& b, int firstM, int firstN,
                                      int depth, Sums& sums) {
    if (depth <= 0) {
      return;
    }
    Product<A, B> product(a, b);
    product.fetch(firstM, firstN, 0);
    product.finish(shared, firstM, firstN, depth, sums);
  }

  /** As FfmaTile::multiplyAcross; while a tile's sums are taken the next one's stage is loaded. */
  template <class A, class B, class Take>
  TOPKNOT_DEVICE static void multiplyAcross(float* shared, const A& a, const B& b, int firstM,
                                            int firstN, int endN, int depth, Take take) {
    Product<A, B> product(a, b);
    product.fetchedB.fetch(b, firstN, 0);
#pragma unroll 1
    for (int n = firstN; n < endN; n += N) {
      Sums sums;
      product.fetchedA.fetch(a, firstM, 0);
      product.finish(shared, firstM, n, depth, sums);
      if (n + N < endN) {
        product.fetchedB.fetch(b, n + N, 0);
      }
      take(n, sums);
      __syncthreads();  // shared memory has been read
    }
  }

  template <bool A_COLUMNS, bool B_COLUMNS>
  TOPKNOT_DEVICE static void multiplyStage(const Bf16* a, const Bf16* b, Sums& sums) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const int m = warp / WARPS_N * 16 * FRAGMENTS_M;
    const int n = warp % WARPS_N * 8 * FRAGMENTS_N;
    const int within = lane % 8;  // of the 8x8 matrix whose row this lane points to
    const int first = lane / 8 % 2 * 8;
    const int second = lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < K; k += 16) {
      unsigned left[FRAGMENTS_M][4], right[4];
#pragma unroll
      for (int i = 0; i < FRAGMENTS_M; i++) {
        if (A_COLUMNS) {
          loadMatrix4(left[i], a + place<true>(m + 16 * i + first + within, k + second));
        } else {
          loadMatrix4Transposed(left[i], a + place<false>(k + second + within, m + 16 * i + first));
        }
      }
      if (B_COLUMNS) {
        loadMatrix4(right, b + place<true>(n + second + within, k + first));
      } else {
        loadMatrix4Transposed(right, b + place<false>(k + first + within, n + second));
      }
#pragma unroll
      for (int j = 0; j < FRAGMENTS_N; j++) {
        const unsigned columns[2] = {right[2 * j], right[2 * j + 1]};
#pragma unroll
        for (int i = 0; i < FRAGMENTS_M; i++) {
          mmaBf16(sums.at[i][j], left[i], columns);
        }
      }
    }
  }

  /** The sums in shared memory. */
  TOPKNOT_DEVICE static BlockSums share(const Sums& sums) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const BlockSums shared{sharedMemory<float>()};
#pragma unroll
    for (int i = 0; i < FRAGMENTS_M; i++) {
#pragma unroll
      for (int j = 0; j < FRAGMENTS_N; j++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
          shared.put((warp / WARPS_N * FRAGMENTS_M + i) * 16 + half * 8 + lane / 4,
                     (warp % WARPS_N * FRAGMENTS_N + j) * 8 + lane % 4 * 2, sums.at[i][j][2 * half],
                     sums.at[i][j][2 * half + 1]);
        }
      }
    }
    __syncthreads();
    return shared;
  }

  /** As FfmaTile::each. */
  template <class Epilogue>
  TOPKNOT_DEVICE static void each(Sums& sums, Epilogue& epilogue) {
    share(sums).each(static_cast<int>(threadIdx.x), 0, epilogue);
  }

  /** As FfmaTile::eachWithTotals. */
  template <class Epilogue>
  TOPKNOT_DEVICE static void eachWithTotals(Sums& sums, Epilogue& epilogue) {
    share(sums).eachWithTotals(static_cast<int>(threadIdx.x), 0, epilogue);
  }
};
