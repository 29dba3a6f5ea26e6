// How sums get from where tensor cores leave them to an epilogue: through shared memory, so that
// neighbouring threads have neighbouring columns. A warp then reads and writes whole lines of a row,
// where fragments alone would give it eight rows of 32 bytes each: an epilogue that only stores took
// more than half the time of a product with few columns of k.
#pragma once

#include "topknot/device.cuh"

/** Neighbouring columns that a thread has of a row. */
constexpr int EPILOGUE_CHUNK = 4;

template <class>
using Void = void;

/** What an epilogue reads of a chunk before it goes on: Read of those that have one, else nothing. */
template <class Epilogue, class = void>
struct Reading {
  struct Chunk {};

  TOPKNOT_DEVICE static void read(const Epilogue&, int, int, Chunk&) {}

  TOPKNOT_DEVICE static auto finish(const Epilogue& epilogue, int row, int column,
                                    const float (&values)[EPILOGUE_CHUNK], const Chunk&) {
    return epilogue(row, column, values);
  }
};

template <class Epilogue>
struct Reading<Epilogue, Void<typename Epilogue::template Read<EPILOGUE_CHUNK>>> {
  using Chunk = typename Epilogue::template Read<EPILOGUE_CHUNK>;

  TOPKNOT_DEVICE static void read(const Epilogue& epilogue, int row, int column, Chunk& chunk) {
    epilogue.read(row, column, chunk);
  }

  TOPKNOT_DEVICE static auto finish(const Epilogue& epilogue, int row, int column,
                                    const float (&values)[EPILOGUE_CHUNK], const Chunk& chunk) {
    return epilogue(row, column, values, chunk);
  }
};

/** ROWS x N sums in shared memory, for THREADS threads; whoever writes and reads them has barriers. */
template <int ROWS, int N, int THREADS>
struct SharedSums {
  static constexpr int BYTES = ROWS * N * 4;

  /** Threads that share a row, all of one warp. */
  static constexpr int LANES = N / EPILOGUE_CHUNK;
  static_assert(N % 32 == 0 && LANES <= 32 && THREADS % LANES == 0, "a row is within a warp");

  /** Rows that are read at a time, and how often. */
  static constexpr int STEP = THREADS / LANES, STEPS = ROWS / STEP;
  static_assert(STEPS * STEP == ROWS, "whole steps");

  float* at;

  /** Chunks of 8 columns are permuted, so that rows of fragments do not meet in a bank. */
  TOPKNOT_DEVICE float* of(int row, int column) const {
    return at + row * N + (column ^ row % 4 * 8);
  }

  /** Two neighbouring columns. */
  TOPKNOT_DEVICE void put(int row, int column, float first, float second) const {
    *reinterpret_cast<float2*>(of(row, column)) = make_float2(first, second);
  }

  /**
   * Calls take(row, what calls the epilogue) for each chunk of thread `thread`, with rows of the tile,
   * of which these begin at `firstRow`. What the epilogue reads of some chunks is under way before it
   * goes on with the first, and so before it writes.
   */
  template <class Epilogue, class Take>
  TOPKNOT_DEVICE void each(int thread, int firstRow, const Epilogue& epilogue, Take take) const {
    using Reads = Reading<Epilogue>;
    constexpr bool WARP = THREADS == 32;  // else a block, three of which leave 80 registers a thread
    constexpr int BATCH = WARP && sizeof(typename Reads::Chunk) <= 16 ? 4 : 2;
    static_assert(STEPS % BATCH == 0, "whole batches");
    const int column = thread % LANES * EPILOGUE_CHUNK;
#pragma unroll(WARP ? STEPS : 1)
    for (int first = 0; first < STEPS; first += BATCH) {
      typename Reads::Chunk chunks[BATCH];
#pragma unroll
      for (int i = 0; i < BATCH; i++) {
        Reads::read(epilogue, firstRow + rowOf(thread, first + i), column, chunks[i]);
      }
#pragma unroll
      for (int i = 0; i < BATCH; i++) {
        const int row = rowOf(thread, first + i);
        const float4 four = *reinterpret_cast<const float4*>(of(row, column));
        const float values[EPILOGUE_CHUNK] = {four.x, four.y, four.z, four.w};
        take(firstRow + row,
             [&] { return Reads::finish(epilogue, firstRow + row, column, values, chunks[i]); });
      }
    }
  }

  /** Calls the epilogue for all chunks. */
  template <class Epilogue>
  TOPKNOT_DEVICE void each(int thread, int firstRow, const Epilogue& epilogue) const {
    each(thread, firstRow, epilogue, [](int, auto finish) { finish(); });
  }

  /** Likewise, then epilogue.total(row, the sum of what it returned for a row) by a thread a row. */
  template <class Epilogue>
  TOPKNOT_DEVICE void eachWithTotals(int thread, int firstRow, const Epilogue& epilogue) const {
    each(thread, firstRow, epilogue, [&](int row, auto finish) {
      float total = finish();
#pragma unroll
      for (int distance = LANES / 2; distance > 0; distance /= 2) {
        total += __shfl_xor_sync(WHOLE_WARP, total, distance);
      }
      if (thread % LANES == 0) {
        epilogue.total(row, total);
      }
    });
  }

 private:
  TOPKNOT_DEVICE static int rowOf(int thread, int step) { return step * STEP + thread / LANES; }
};
