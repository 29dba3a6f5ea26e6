// Small kernels, each right and with one planted bug: the emulator must pass the one and find the
// other. All of them map `in` to `out`; 64 threads a block unless told.
#include "topknot/device.cuh"

/** Instantiates a body as kernels `name` and `name_broken`. */
#define PLANTED(name, threads)                                                               \
  TOPKNOT_KERNEL(threads) name(const float* in, float* out) { name##Body<false>(in, out); }  \
  TOPKNOT_KERNEL(threads) name##_broken(const float* in, float* out) {                       \
    name##Body<true>(in, out);                                                               \
  }

/** Each block's 64 values in reverse. Bug: read before all have written. */
template <bool BROKEN>
TOPKNOT_DEVICE void reverseBody(const float* in, float* out) {
  float* shared = sharedMemory<float>();
  const int at = static_cast<int>(blockIdx.x) * 64, t = static_cast<int>(threadIdx.x);
  shared[t] = in[at + t];
  if (!BROKEN) {
    __syncthreads();
  }
  out[at + t] = shared[63 - t];
}
PLANTED(reverse, 64)

/** The sum of four rows of 64, each reversed. Bug: the next row is written while this is read. */
template <bool BROKEN>
TOPKNOT_DEVICE void rowsBody(const float* in, float* out) {
  float* shared = sharedMemory<float>();
  const int t = static_cast<int>(threadIdx.x);
  float sum = 0;
  for (int row = 0; row < 4; row++) {
    shared[t] = in[row * 64 + t];
    __syncthreads();
    sum += shared[63 - t];
    if (!BROKEN) {
      __syncthreads();
    }
  }
  out[t] = sum;
}
PLANTED(rows, 64)

/** Each block's 64 values through shared memory. Bug: the copy is not waited for. */
template <bool BROKEN>
TOPKNOT_DEVICE void arrivalBody(const float* in, float* out) {
  float* shared = sharedMemory<float>();
  const int at = static_cast<int>(blockIdx.x) * 64, t = static_cast<int>(threadIdx.x);
  asyncCopy4(shared + t, in + at + t, true);
  asyncCommit();
  if (!BROKEN) {
    asyncWait<0>();
  }
  __syncthreads();
  out[at + t] = shared[63 - t];
}
PLANTED(arrival, 64)

/** As rows, by copies two rows ahead. Bug: a slot is filled again while others still read it. */
template <bool BROKEN>
TOPKNOT_DEVICE void slotsBody(const float* in, float* out) {
  float* shared = sharedMemory<float>();
  const int t = static_cast<int>(threadIdx.x);
  for (int row = 0; row < 2; row++) {
    asyncCopy4(shared + row * 64 + t, in + row * 64 + t, true);
    asyncCommit();
  }
  float sum = 0;
  for (int row = 0; row < 4; row++) {
    asyncWait<1>();
    __syncthreads();
    sum += shared[row % 2 * 64 + 63 - t];
    if (!BROKEN) {
      __syncthreads();
    }
    if (row < 2) {
      asyncCopy4(shared + row % 2 * 64 + t, in + (row + 2) * 64 + t, true);
    }
    asyncCommit();
  }
  out[t] = sum;
}
PLANTED(slots, 64)

/** Each warp's sum, in all its lanes. Bug: the mask names half the lanes that take part. */
template <bool BROKEN>
TOPKNOT_DEVICE void warpSumBody(const float* in, float* out) {
  const int at = static_cast<int>(blockIdx.x) * 64 + static_cast<int>(threadIdx.x);
  float sum = in[at];
  for (int distance = 16; distance > 0; distance /= 2) {
    sum += __shfl_xor_sync(BROKEN ? 0x0000FFFFu : 0xFFFFFFFFu, sum, distance);
  }
  out[at] = sum;
}
PLANTED(warpSum, 64)

/**
 * 64 rows of one value, in groups of 9, 0, 23, 32 rows, each cut into tiles of 8: block b finds its
 * tile and scales its rows by 1 + group. Bug: off by one, a group's end is taken for its own tile.
 */
template <bool BROKEN>
TOPKNOT_DEVICE void tilesBody(const float* in, float* out) {
  const int rows[4] = {9, 0, 23, 32};
  int tile = static_cast<int>(blockIdx.x), start = 0, group = 0;
  for (; group < 4; group++) {
    const int tiles = (rows[group] + 7) / 8;
    if (BROKEN ? tile <= tiles : tile < tiles) {
      break;
    }
    tile -= tiles;
    start += rows[group];
  }
  const int row = tile * 8 + static_cast<int>(threadIdx.x);
  if (group < 4 && threadIdx.x < 8 && row < rows[group]) {
    out[start + row] = in[start + row] * static_cast<float>(1 + group);
  }
}
PLANTED(tiles, 64)

/** Neighbours' differences. Bug: the last thread writes behind the launch's shared memory. */
template <bool BROKEN>
TOPKNOT_DEVICE void neighboursBody(const float* in, float* out) {
  float* shared = sharedMemory<float>();
  const int at = static_cast<int>(blockIdx.x) * 64, t = static_cast<int>(threadIdx.x);
  if (t == 0) {
    shared[0] = in[at];
  }
  if (BROKEN || t < 63) {
    shared[t + 1] = in[at + t];
  }
  __syncthreads();
  out[at + t] = in[at + t] - shared[t];
}
PLANTED(neighbours, 64)

/** Doubles 250 values with 256 threads. Bug: the rest is written too. */
template <bool BROKEN>
TOPKNOT_DEVICE void tailBody(const float* in, float* out) {
  const int at = static_cast<int>(blockIdx.x) * 64 + static_cast<int>(threadIdx.x);
  if (BROKEN || at < 250) {
    out[at] = at < 250 ? 2 * in[at] : 0;
  }
}
PLANTED(tail, 64)

/** Moves the negative values of 64 to the front, in order. Bug: places are drawn by an atomic. */
template <bool BROKEN>
TOPKNOT_DEVICE void ranksBody(const float* in, float* out) {
  int* shared = sharedMemory<int>();
  const int t = static_cast<int>(threadIdx.x), lane = t % 32, warp = t / 32;
  const bool negative = in[t] < 0;
  if (t < 3) {
    shared[t] = 0;
  }
  __syncthreads();
  const unsigned votes = __ballot_sync(~0u, negative);
  if (lane == 0) {
    shared[warp] = __popc(votes);
  }
  __syncthreads();
  const int before = warp * shared[0] + __popc(votes & ((1u << lane) - 1));
  const int all = shared[0] + shared[1];
  if (negative) {
    out[BROKEN ? atomicAdd(shared + 2, 1) : before] = in[t];
  } else {
    out[all + t - before] = in[t];
  }
}
PLANTED(ranks, 64)

/** The sum of each block's values, by one thread. Bug: 65 values are read, one never written. */
template <bool BROKEN>
TOPKNOT_DEVICE void unwrittenBody(const float* in, float* out) {
  float* shared = sharedMemory<float>();
  const int at = static_cast<int>(blockIdx.x) * 64, t = static_cast<int>(threadIdx.x);
  shared[t] = in[at + t];
  __syncthreads();
  float sum = 0;
  for (int i = 0; i < (BROKEN ? 65 : 64); i++) {
    sum += shared[i];
  }
  out[at + t] = sum;
}
PLANTED(unwritten, 64)

/**
 * One warp: out (16 x 8) = a (16 x 16, at in) times b (16 x 8, row by row, at in + 256), in bf16.
 * Bug: lanes 16 to 31 give the addresses of the rows above theirs.
 */
template <bool BROKEN>
TOPKNOT_DEVICE void productBody(const float* in, float* out) {
  Bf16* a = sharedMemory<Bf16>();
  Bf16* b = a + 256;  // rows of 16, the upper 8 unused
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) {
    a[i] = toBf16(in[i]);
    b[i] = i % 16 < 8 ? toBf16(in[256 + i / 16 * 8 + i % 16]) : static_cast<Bf16>(0);
  }
  __syncwarp();
  unsigned fragmentA[4], fragmentB[4];
  const int wrong = BROKEN && lane >= 16 ? 15 : 0;
  loadMatrix4(fragmentA, a + (lane + wrong) % 16 * 16 + lane / 16 * 8);
  loadMatrix4Transposed(fragmentB, b + lane % 16 * 16 + lane / 16 * 8);
  const unsigned left[2] = {fragmentB[0], fragmentB[1]};
  float d[4] = {};
  mmaBf16(d, fragmentA, left);
  for (int i = 0; i < 4; i++) {
    out[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = d[i];
  }
}
PLANTED(product, 32)

/** Doubles 64 values. Bug: half the threads wait for all at a barrier. */
template <bool BROKEN>
TOPKNOT_DEVICE void branchBody(const float* in, float* out) {
  const int t = static_cast<int>(threadIdx.x);
  if (!BROKEN || t < 32) {
    __syncthreads();
  }
  out[t] = 2 * in[t];
}
PLANTED(branch, 64)

/**
 * Each block's first value doubled, in out[block]. Bug: through one cell that all blocks share,
 * which is right as long as no two blocks run at a time.
 */
template <bool BROKEN>
TOPKNOT_DEVICE void blocksBody(const float* in, float* out) {
  if (threadIdx.x == blockIdx.x) {
    float* cell = out + (BROKEN ? 64 : blockIdx.x);
    *cell = in[blockIdx.x * 64];
    out[blockIdx.x] = 2 * *cell;
  }
}
PLANTED(blocks, 64)

/**
 * Swaps neighbours of a warp through shared memory. Bug: a shuffle in place of the barrier, which
 * brings the lanes together, but orders no memory.
 */
template <bool BROKEN>
TOPKNOT_DEVICE void swapBody(const float* in, float* out) {
  float* shared = sharedMemory<float>();
  const int t = static_cast<int>(threadIdx.x);
  shared[t] = in[t];
  if (BROKEN) {
    __shfl_sync(0xFFFFFFFFu, t, 0);
  } else {
    __syncwarp();
  }
  out[t] = shared[t ^ 1];
}
PLANTED(swap, 64)

/** Copies 252 values by fours. Bug: from an address that is no multiple of 16 bytes. */
template <bool BROKEN>
TOPKNOT_DEVICE void alignedBody(const float* in, float* out) {
  float* shared = sharedMemory<float>();
  const int t = static_cast<int>(threadIdx.x);
  asyncCopy16(shared + 4 * t, in + 4 * t + (BROKEN ? 1 : 0), t < 63);
  asyncCommit();
  asyncWait<0>();
  for (int i = 0; i < 4; i++) {
    out[4 * t + i] = shared[4 * t + i];
  }
}
PLANTED(aligned, 64)

/** As aligned, without shared memory. Bug: vectors at addresses that are no multiple of 16 bytes. */
template <bool BROKEN>
TOPKNOT_DEVICE void vectorsBody(const float* in, float* out) {
  const int at = 4 * static_cast<int>(threadIdx.x);
  if (at < 252) {
    const float4 four = *reinterpret_cast<const float4*>(in + at + (BROKEN ? 1 : 0));
    *reinterpret_cast<float4*>(out + at) = four;
  }
}
PLANTED(vectors, 64)

/** Doubles 64 values, each in a row 2^27 wide of which one is there. Bug: 32-bit offsets. */
template <bool BROKEN>
TOPKNOT_DEVICE void offsetsBody(const float* in, float* out) {
  const int row = static_cast<int>(threadIdx.x), width = 1 << 27;
  const long long offset = BROKEN ? row * width : static_cast<long long>(row) * width;
  out[offset / width] = 2 * in[offset / width];
}
PLANTED(offsets, 64)

/** 64 values in the order that indices give. Bug: the last index is never written. */
template <bool BROKEN>
TOPKNOT_DEVICE void gatherBody(const float* in, float* out) {
  int* indices = sharedMemory<int>();
  const int t = static_cast<int>(threadIdx.x);
  if (!BROKEN || t < 63) {
    indices[t] = 63 - t;
  }
  __syncthreads();
  out[t] = in[1000LL * 1000 * 1000 * (indices[t] / 64) + indices[t] % 64];
}
PLANTED(gather, 64)
