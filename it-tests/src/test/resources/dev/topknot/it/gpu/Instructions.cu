// One kernel for each instruction that device.cuh wraps and for what else the kernels rely on. Each
// reads words, runs as one block and writes words; Instructions.java has the launches and what must
// come out.
#include "topknot/gemm.cuh"
#include "topknot/noise.cuh"

constexpr unsigned ALL = 0xFFFFFFFFu;

TOPKNOT_DEVICE unsigned word(float value) { return static_cast<unsigned>(bitsOf(value)); }

TOPKNOT_DEVICE float real(unsigned word) { return floatOf(static_cast<int>(word)); }

/** Rows of 16 bytes: lane l points at row (5 l + 3) % 32, so that no two lanes read as by default. */
template <bool TRANSPOSED>
TOPKNOT_DEVICE void loadMatrixAt(const unsigned* in, unsigned* out) {
  unsigned* shared = sharedMemory<unsigned>();
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = 0; i < 4; i++) {
    shared[4 * lane + i] = in[4 * lane + i];
  }
  __syncwarp();
  unsigned loaded[4];
  const unsigned* row = shared + (5 * lane + 3) % 32 * 4;
  if (TRANSPOSED) {
    loadMatrix4Transposed(loaded, row);
  } else {
    loadMatrix4(loaded, row);
  }
  for (int i = 0; i < 4; i++) {
    out[4 * lane + i] = loaded[i];
  }
}

/** 32 rows of 8 bf16; out: r[0..3] of each lane. */
TOPKNOT_KERNEL(32) load_matrix(const unsigned* in, unsigned* out) { loadMatrixAt<false>(in, out); }

/** Likewise. */
TOPKNOT_KERNEL(32) load_matrix_transposed(const unsigned* in, unsigned* out) {
  loadMatrixAt<true>(in, out);
}

/**
 * a [16, 16], b transposed [8, 16], both bf16, d [16, 8] fp32; out: d + 2 a b. The fragments are
 * gathered by hand, by the map that device.cuh tells.
 */
TOPKNOT_KERNEL(32) multiply_matrices(const unsigned* in, unsigned* out) {
  const int g = static_cast<int>(threadIdx.x) / 4;
  const int q = static_cast<int>(threadIdx.x) % 4;
  const unsigned* a = in;
  const unsigned* b = in + 128;
  const unsigned* c = in + 192;
  unsigned left[4], right[2];
  float d[4];
  for (int i = 0; i < 4; i++) {
    left[i] = a[(g + 8 * (i % 2)) * 8 + q + 4 * (i / 2)];
    d[i] = real(c[(g + 8 * (i / 2)) * 8 + 2 * q + i % 2]);
  }
  for (int i = 0; i < 2; i++) {
    right[i] = b[g * 8 + q + 4 * i];
  }
  mmaBf16(d, left, right);
  mmaBf16(d, left, right);
  for (int i = 0; i < 4; i++) {
    out[(g + 8 * (i / 2)) * 8 + 2 * q + i % 2] = word(d[i]);
  }
}

/** out [128, 128] = a b by the wide tile, over `depth` k. */
template <class A, class B>
TOPKNOT_DEVICE void multiplyWideTile(const A& a, const B& b, int depth, unsigned* out) {
  WideTile::Sums sums;
  WideTile::multiply(sharedMemory<float>(), a, b, 0, 0, depth, sums);
  StoreEpilogue<128> epilogue{reinterpret_cast<float*>(out), 0, 128, 0, false};
  WideTile::each(sums, epilogue);
}

/** a [128, 168] bf16, b transposed [128, 168] fp32; out: a b. */
TOPKNOT_KERNEL(256) multiply_wide(const unsigned* in, unsigned* out) {
  const Rows<168, Bf16> a{reinterpret_cast<const Bf16*>(in)};
  const Rows<168> b{reinterpret_cast<const float*>(in + 128 * 84)};
  multiplyWideTile(alongColumns(a, 128), alongColumns(b, 128), 168, out);
}

/** a transposed [168, 128], b [168, 128], both bf16; out: a b. */
TOPKNOT_KERNEL(256) multiply_wide_transposed(const unsigned* in, unsigned* out) {
  const Rows<128, Bf16> a{reinterpret_cast<const Bf16*>(in)};
  const Rows<128, Bf16> b{reinterpret_cast<const Bf16*>(in + 168 * 64)};
  multiplyWideTile(alongRows(a, 168), alongRows(b, 168), 168, out);
}

/**
 * Three groups of copies of 16 bytes a thread, the second not real; then one of 4 bytes, not real
 * for odd threads. Each is waited for on its own and read by another thread.
 */
TOPKNOT_KERNEL(128) copy_asynchronously(const unsigned* in, unsigned* out) {
  unsigned* shared = sharedMemory<unsigned>();
  const int thread = static_cast<int>(threadIdx.x);
  const int other = 127 - thread;
  for (int i = 0; i < 13; i++) {
    shared[128 * i + thread] = ALL;
  }
  __syncthreads();
  asyncCopy16(shared + 4 * thread, in + 4 * thread);
  asyncCommit();
  asyncCopy16(shared + 512 + 4 * thread, in + 512 + 4 * thread, false);
  asyncCommit();
  asyncCopy16(shared + 1024 + 4 * thread, in + 1024 + 4 * thread, true);
  asyncCommit();
  asyncCopy4(shared + 1536 + thread, in + 1536 + thread, thread % 2 == 0);
  asyncCommit();
  asyncWait<3>();
  __syncthreads();
  for (int i = 0; i < 4; i++) {
    out[128 * i + thread] = shared[128 * i + other];
  }
  asyncWait<1>();
  __syncthreads();
  for (int i = 4; i < 12; i++) {
    out[128 * i + thread] = shared[128 * i + other];
  }
  asyncWait<0>();
  __syncthreads();
  out[1536 + thread] = shared[1536 + other];
}

/** Triples a, b, c; out: a + b, a - b, a b, a b + c, a / b, the root of |a|. */
TOPKNOT_KERNEL(256) compute_exactly(const unsigned* in, unsigned* out) {
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < 1024; i += 256) {
    const float a = real(in[3 * i]), b = real(in[3 * i + 1]), c = real(in[3 * i + 2]);
    out[6 * i] = word(addExact(a, b));
    out[6 * i + 1] = word(subExact(a, b));
    out[6 * i + 2] = word(mulExact(a, b));
    out[6 * i + 3] = word(fmaExact(a, b, c));
    out[6 * i + 4] = word(divExact(a, b));
    out[6 * i + 5] = word(sqrtExact(fabsf(a)));
  }
}

/** Any words as fp32; out: as bf16, and that as fp32 again. */
TOPKNOT_KERNEL(256) round_to_bf16(const unsigned* in, unsigned* out) {
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < 2048; i += 256) {
    const Bf16 rounded = toBf16(real(in[i]));
    out[2 * i] = rounded;
    out[2 * i + 1] = word(fromBf16(rounded));
  }
}

/** A word a lane; out: from the lanes 1, 2, 4, 8, 16 away, from lane 13, votes and the first. */
TOPKNOT_KERNEL(32) exchange_in_warp(const unsigned* in, unsigned* out) {
  const unsigned own = in[threadIdx.x];
  unsigned* to = out + 9 * threadIdx.x;
  for (int i = 0; i < 5; i++) {
    to[i] = __shfl_xor_sync(ALL, own, 1 << i);
  }
  to[5] = __shfl_sync(ALL, own, 13);
  const unsigned odd = __ballot_sync(ALL, own % 2 == 1);
  to[6] = odd;
  to[7] = __any_sync(ALL, own == in[31]) ? 1 : 0;
  to[8] = static_cast<unsigned>(__ffs(static_cast<int>(odd)));
}

/** 16384 words through 64 KiB of shared memory, in reverse: more than a launch gets unasked. */
TOPKNOT_KERNEL(256) share_much(const unsigned* in, unsigned* out) {
  unsigned* shared = sharedMemory<unsigned>();
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < 16384; i += 256) {
    shared[i] = in[i];
  }
  __syncthreads();
  for (int i = thread; i < 16384; i += 256) {
    out[i] = shared[16383 - i];
  }
}

/** Counts 4096 numbers below 16 with integer atomics in shared memory; out: the counts. */
TOPKNOT_KERNEL(256) count_atomically(const unsigned* in, unsigned* out) {
  int* count = sharedMemory<int>();
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < 16) {
    count[thread] = 0;
  }
  __syncthreads();
  for (int i = thread; i < 4096; i += 256) {
    atomicAdd(&count[in[i]], 1);
  }
  __syncthreads();
  if (thread < 16) {
    out[thread] = static_cast<unsigned>(count[thread]);
  }
}

/** A run record, a stream; out: 4 words, 4 normals, 4 uniforms for each of 16 tokens, 16 counters. */
TOPKNOT_KERNEL(256) draw_noise(const unsigned* in, unsigned* out) {
  const Run* run = reinterpret_cast<const Run*>(in);
  const unsigned stream = in[24];
  const int token = static_cast<int>(threadIdx.x) / 16;
  const int block = static_cast<int>(threadIdx.x) % 16;
  const uint4 words = noiseWords(run, token, stream, block);
  const float4 normal = normals(run, token, stream, block);
  const float4 uniform = uniforms(run, token, stream, block);
  unsigned* to = out + 12 * threadIdx.x;
  to[0] = words.x, to[1] = words.y, to[2] = words.z, to[3] = words.w;
  to[4] = word(normal.x), to[5] = word(normal.y), to[6] = word(normal.z), to[7] = word(normal.w);
  to[8] = word(uniform.x), to[9] = word(uniform.y), to[10] = word(uniform.z);
  to[11] = word(uniform.w);
}

/** The library's functions, which are near and not exact: exp, tanh, log(1 + e^-|x|), erfc. */
TOPKNOT_KERNEL(256) approximate(const unsigned* in, unsigned* out) {
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < 1024; i += 256) {
    const float x = real(in[i]);
    out[4 * i] = word(expf(x));
    out[4 * i + 1] = word(tanhf(x));
    out[4 * i + 2] = word(log1pf(expf(-fabsf(x))));
    out[4 * i + 3] = word(erfcf(x));
  }
}
