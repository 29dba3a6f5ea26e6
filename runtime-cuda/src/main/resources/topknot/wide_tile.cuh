// The tile policies of large products on tensor cores, with fp32 sums: on sm_90a wgmma, elsewhere
// mma.sync, with the same launch, the same places in shared memory and the same sums a thread.
//
// WideTile is that of bf16 operands. What bounds a product are the bytes that its operands take to a multiprocessor. So a block has
// 128 x 128 of c, 64 x 128 a warpgroup, and a is stored in bf16: who makes activations and their
// gradients rounds them (Stored). Where b is one of these too, as for the gradients of weights, both
// go to shared memory by cp.async; weights stay fp32, are loaded into registers and rounded on their
// way. Shared memory holds four stages of 32 columns of k: two at which the tensor cores may be, one
// that has landed or is about to, one under way. Two blocks a multiprocessor hide each other's
// barriers and epilogues. Widths are multiples of 8, so that no piece of 16 bytes crosses a row's end.
//
// SplitTile multiplies fp32 operands, each as the sum of two bf16, x = high + low: high high + high low
// + low high leaves out what is below 2^-17 of a product. Three stages of twice as much, a block a
// multiprocessor.
//
// FLOPs: 2 M N K a stage, of SplitTile three times; bytes: (2 M + 4 N) K of global memory, 2 N K less
// where b is bf16, and 4 (M + N) K of SplitTile; 2 (M + N) K of shared memory written, 2 (M + 2 N) K
// read by wgmma.
#pragma once

#include "topknot/epilogue.cuh"
#include "topknot/operand.cuh"

/** Operands are the sum of PARTS bf16. */
template <class STORED, int PARTS, int STAGES>
struct TensorTile {
  static constexpr int M = 128, N = 128, K = 32;
  static constexpr int THREADS = 256;

  /** Of a multiprocessor; two leave 128 registers a thread, too few for mma.sync and for two parts. */
#if defined(TOPKNOT_WGMMA) || defined(TOPKNOT_HOST)
  static constexpr int BLOCKS = PARTS == 1 ? 2 : 1;
#else
  static constexpr int BLOCKS = 1;
#endif

  /** What activations and their gradients are kept as. */
  using Stored = STORED;

  /** Fragments of 16 x 8 that a warp has, side by side. */
  static constexpr int FRAGMENTS = N / 8;

  /** A part of an operand of one stage, and a stage, in values: the parts of a, then those of b. */
  static constexpr int PART = 128 * K, STAGE = 2 * PARTS * PART;

  /** Where b begins in a stage. */
  static constexpr int B = PARTS * PART;

  /** Swizzles repeat every so many bytes. */
  static constexpr int ALIGNMENT = 1024;

  static constexpr int SHARED_BYTES = STAGES * STAGE * 2 + ALIGNMENT;

  /** Stages that are under way while one is multiplied. */
  static constexpr int AHEAD = 2;

  /** The sums of a fragment's half, a row of them a warp. */
  using HalfSums = SharedSums<8, N, 32>;
  static_assert((STAGES - AHEAD) * STAGE * 2 >= THREADS / 32 * HalfSums::BYTES, "behind stages ahead");

  /** A thread's part of c: a row of fragments a warp. */
  struct Sums {
    float at[FRAGMENTS][4];

    TOPKNOT_DEVICE Sums() {
#pragma unroll
      for (int j = 0; j < FRAGMENTS; j++) {
        at[j][0] = at[j][1] = at[j][2] = at[j][3] = 0;
      }
    }
  };

  /**
   * Where (row, column) of a stored operand lies: [128, K], rows of 64 bytes, or two of [K, 64], rows
   * of 128 bytes; their 16-byte chunks permuted as SWIZZLE_64 and SWIZZLE_128 are.
   */
  template <bool ALONG_COLUMNS>
  TOPKNOT_DEVICE static int place(int row, int column) {
    return ALONG_COLUMNS ? row * K + ((column / 8) ^ (row / 2 % 4)) * 8 + column % 8
                         : column / 64 * (64 * K) + row * 64 +
                               ((column % 64 / 8) ^ (row % 8)) * 8 + column % 8;
  }

  /** Brings an operand to shared memory: in bf16 by cp.async, two stages ahead. */
  template <class Operand, class Element>
  struct Carrier {
    Pieces<Operand, 128, K, THREADS, 8> pieces;

    TOPKNOT_DEVICE Carrier(const Operand& operand, int first) : pieces(operand, first) {}

    TOPKNOT_DEVICE void copy(Bf16* stage, int k) {
      pieces.each(k, [&](int i, const Bf16* row, int column, bool real) {
        asyncCopy16(stage + place<Operand::alongColumns>(pieces.rowOf(i), pieces.columnOf()),
                    row + (real ? column : 0), real);
      });
    }

    TOPKNOT_DEVICE void fetch(int) {}
    TOPKNOT_DEVICE void put(Bf16*) const {}
  };

  /** In fp32 over registers, which are loaded two stages ahead. */
  template <class Operand>
  struct Carrier<Operand, float> {
    Pieces<Operand, 128, K, THREADS, 4> pieces;
    float4 values[Pieces<Operand, 128, K, THREADS, 4>::PIECES];

    TOPKNOT_DEVICE Carrier(const Operand& operand, int first) : pieces(operand, first) {}

    TOPKNOT_DEVICE void copy(Bf16*, int) {}

    TOPKNOT_DEVICE void fetch(int k) {
      pieces.each(k, [&](int i, const float* row, int column, bool real) {
        values[i] = real ? loadFour<Operand::columns>(row, column) : make_float4(0, 0, 0, 0);
      });
    }

    TOPKNOT_DEVICE void put(Bf16* stage) const {
#pragma unroll
      for (int i = 0; i < pieces.PIECES; i++) {
        float4 four = values[i];
        Bf16* to = stage + place<Operand::alongColumns>(pieces.rowOf(i), pieces.columnOf());
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
          const uint2 pairs = make_uint2(toBf16Pair(four.x, four.y), toBf16Pair(four.z, four.w));
          *reinterpret_cast<uint2*>(to + part * PART) = pairs;
          four = make_float4(four.x - lowerBf16(pairs.x), four.y - upperBf16(pairs.x),
                             four.z - lowerBf16(pairs.y), four.w - upperBf16(pairs.y));
        }
      }
    }
  };

  /** A tile's product: begin, then finish. */
  template <class Left, class Right>
  struct Product {
    Carrier<Left, typename Left::Element> a;
    Carrier<Right, typename Right::Element> b;
    float* const shared;
    const int depth;

    TOPKNOT_DEVICE Product(float* shared, const Left& a, const Right& b, int firstM, int firstN,
                           int depth)
        : a(a, firstM), b(b, firstN), shared(shared), depth(depth) {
      static_assert(PARTS == 2 || (Left::columns % 8 == 0 && Right::columns % 8 == 0), "16 bytes");
    }

    TOPKNOT_DEVICE void fetch(int i) {
      if (i * K < depth) {
        a.fetch(i * K);
        b.fetch(i * K);
      }
    }

    TOPKNOT_DEVICE void put(int i) const {
      if (i * K < depth) {
        a.put(stageOf(stagesOf(shared), i));
        b.put(stageOf(stagesOf(shared), i) + B);
      }
    }

    TOPKNOT_DEVICE void copy(int i) {
      if (i * K < depth) {
        a.copy(stageOf(stagesOf(shared), i), i * K);
        b.copy(stageOf(stagesOf(shared), i) + B, i * K);
      }
      asyncCommit();
    }

    /** Sets the first stages under way; as a loop it spares registers beside a tile's sums. */
    TOPKNOT_DEVICE void begin() {
      fetch(0);
#pragma unroll 1
      for (int i = 0; i < AHEAD; i++) {
        copy(i);
      }
    }

    /** Adds to sums; shared memory is free again when it returns. */
    TOPKNOT_DEVICE void finish(Sums& sums) {
      if (depth <= 0) {
        return;
      }
      put(0);
      fetch(1);
#pragma unroll 1
      for (int i = 0; i * K < depth; i++) {
        asyncWait<AHEAD - 1>();
        shareStage();
        startStage<Left::alongColumns, Right::alongColumns>(stageOf(stagesOf(shared), i), sums);
        put(i + 1);
        fetch(i + 2);
        copy(i + AHEAD);
        endStages<1>();
      }
      endStages<0>();
      __syncthreads();
    }
  };

  /** As FfmaTile::multiply. */
  template <class Left, class Right>
  TOPKNOT_DEVICE static void multiply(float* shared, const Left& a, const Right& b, int firstM,
                                      int firstN, int depth, Sums& sums) {
    Product<Left, Right> product(shared, a, b, firstM, firstN, depth);
    product.begin();
    product.finish(sums);
  }

  /** As FfmaTile::multiplyAcross; while a tile's sums are taken the next one's stages are under way. */
  template <class Left, class Right, class Take>
  TOPKNOT_DEVICE static void multiplyAcross(float* shared, const Left& a, const Right& b, int firstM,
                                            int firstN, int endN, int depth, Take take) {
    Product<Left, Right> product(shared, a, b, firstM, firstN, depth);
    product.begin();
    int n = firstN;
#pragma unroll 1
    do {
      Sums sums;
      product.finish(sums);
      const int column = n;
      n += N;
      if (n < endN) {
        product.a.pieces.find(0);
        product.b.pieces.moveTo(n);
        product.begin();
      }
      take(column, sums);
    } while (n < endN);
  }

  /** Where stages begin in shared memory. */
  TOPKNOT_DEVICE static Bf16* stagesOf(float* shared) {
    return reinterpret_cast<Bf16*>(shared) + (-placeOfShared(shared) & (ALIGNMENT - 1)) / 2;
  }

  TOPKNOT_DEVICE static Bf16* stageOf(Bf16* stages, int i) {
    return stages + i % STAGES * STAGE;
  }

#ifdef TOPKNOT_WGMMA

  /** What this thread brought to shared memory is there for all, as that of all is for this thread. */
  TOPKNOT_DEVICE static void shareStage() {
    fenceShared();
    __syncthreads();
  }

  /** Of 16 columns of k, from `k` on; `first` is of m or n. */
  template <bool ALONG_COLUMNS>
  TOPKNOT_DEVICE static unsigned long long descriptor(const Bf16* operand, int first, int k) {
    return ALONG_COLUMNS
               ? matrixDescriptor(operand + first * K + k, 16, 8 * K * 2, SWIZZLE_64)
               : matrixDescriptor(operand + first * K + k * 64, 64 * K * 2, 8 * 128, SWIZZLE_128);
  }

  template <bool A_COLUMNS, bool B_COLUMNS>
  TOPKNOT_DEVICE static void startStage(const Bf16* stage, Sums& sums) {
    const int m = static_cast<int>(threadIdx.x) / 128 * 64;
    warpgroupFence();
#pragma unroll
    for (int k = 0; k < K; k += 16) {
#pragma unroll
      for (int parts = 0; parts < 2 * PARTS - 1; parts++) {
        startProduct<A_COLUMNS, B_COLUMNS>(
            sums.at, descriptor<A_COLUMNS>(stage + parts / 2 * PART, m, k),
            descriptor<B_COLUMNS>(stage + B + parts % 2 * PART, 0, k));
      }
    }
    commitProducts();
  }

  /** Waits for all stages that were started but the latest N. */
  template <int N>
  TOPKNOT_DEVICE static void endStages() {
    waitForProducts<N>();
  }

#else

  TOPKNOT_DEVICE static void shareStage() { __syncthreads(); }

  template <bool A_COLUMNS, bool B_COLUMNS>
  TOPKNOT_DEVICE static void startStage(const Bf16* stage, Sums& sums) {
#pragma unroll
    for (int parts = 0; parts < 2 * PARTS - 1; parts++) {
      multiplyParts<A_COLUMNS, B_COLUMNS>(stage + parts / 2 * PART, stage + B + parts % 2 * PART,
                                          sums);
    }
  }

  template <bool A_COLUMNS, bool B_COLUMNS>
  TOPKNOT_DEVICE static void multiplyParts(const Bf16* a, const Bf16* b, Sums& sums) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int m = static_cast<int>(threadIdx.x) / 32 * 16;
    const int within = lane % 8;  // of the 8x8 matrix whose row this lane points to
    const int first = lane / 8 % 2 * 8;
    const int second = lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < K; k += 16) {
      unsigned left[4];
      if (A_COLUMNS) {
        loadMatrix4(left, a + place<true>(m + first + within, k + second));
      } else {
        loadMatrix4Transposed(left, a + place<false>(k + second + within, m + first));
      }
#pragma unroll
      for (int n = 0; n < N; n += 16) {
        unsigned right[4];
        if (B_COLUMNS) {
          loadMatrix4(right, b + place<true>(n + second + within, k + first));
        } else {
          loadMatrix4Transposed(right, b + place<false>(k + first + within, n + second));
        }
#pragma unroll
        for (int j = 0; j < 2; j++) {
          const unsigned columns[2] = {right[2 * j], right[2 * j + 1]};
          mmaBf16(sums.at[n / 8 + j], left, columns);
        }
      }
    }
  }

  template <int N>
  TOPKNOT_DEVICE static void endStages() {}

#endif

  /** Calls take(sums in shared memory, row of c of the first) for each half of the warp's fragments. */
  template <class Take>
  TOPKNOT_DEVICE static void eachHalf(const Sums& sums, Take take) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    Bf16* const behind = stagesOf(sharedMemory<float>()) + AHEAD * STAGE;
    const HalfSums shared{reinterpret_cast<float*>(behind) + warp * (HalfSums::BYTES / 4)};
#pragma unroll
    for (int half = 0; half < 2; half++) {
      __syncwarp();
#pragma unroll
      for (int j = 0; j < FRAGMENTS; j++) {
        shared.put(lane / 4, j * 8 + lane % 4 * 2, sums.at[j][2 * half], sums.at[j][2 * half + 1]);
      }
      __syncwarp();
      take(shared, warp * 16 + half * 8);
    }
  }

  /** As FfmaTile::each. */
  template <class Epilogue>
  TOPKNOT_DEVICE static void each(Sums& sums, Epilogue& epilogue) {
    eachHalf(sums, [&](HalfSums shared, int firstRow) {
      shared.each(static_cast<int>(threadIdx.x) % 32, firstRow, epilogue);
    });
  }

  /** As FfmaTile::eachWithTotals. */
  template <class Epilogue>
  TOPKNOT_DEVICE static void eachWithTotals(Sums& sums, Epilogue& epilogue) {
    eachHalf(sums, [&](HalfSums shared, int firstRow) {
      shared.eachWithTotals(static_cast<int>(threadIdx.x) % 32, firstRow, epilogue);
    });
  }
};

/** Products with bf16 operands. */
using WideTile = TensorTile<Bf16, 1, 4>;

/** Products of fp32 operands on tensor cores, to about 2^-17. */
using SplitTile = TensorTile<float, 2, 3>;
