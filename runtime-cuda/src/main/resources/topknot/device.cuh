// The device's instructions as plain functions: the only file with PTX.
//
// Every function has a device half (nvcc, NVRTC; sm_80 and later) and a host half of the same
// signature (g++ with TOPKNOT_HOST, after the emulator's host.h), so that each kernel is one text
// that runs on a GPU and, thread by thread, on a CPU. Nothing is included: NVRTC needs no headers.
#pragma once

// TOPKNOT_KERNEL(threads of a block): blocks that a multiprocessor should hold may follow. Without a
// number it is one: left to itself, ptxas spills to make room for more.

#ifdef TOPKNOT_HOST
#define TOPKNOT_DEVICE inline
#define TOPKNOT_KERNEL(...) extern "C" __attribute__((visibility("default"))) void
#else
#define TOPKNOT_DEVICE __device__ __forceinline__
__host__ __device__ constexpr int blocksAtLeast(int blocks = 1) { return blocks; }
#define TOPKNOT_KERNEL(threads, ...) \
  extern "C" __global__ void __launch_bounds__(threads, blocksAtLeast(__VA_ARGS__))
#endif

typedef unsigned short Bf16;

// ---- Shared memory -----------------------------------------------------------------------------

#ifndef TOPKNOT_HOST
/** The 32-bit address of shared memory that PTX wants in place of a pointer. */
TOPKNOT_DEVICE unsigned sharedAddress(const void* shared) {
  return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}
#endif

/** The block's dynamic shared memory: 16-byte aligned, as many bytes as the launch gave, garbage. */
template <typename T>
TOPKNOT_DEVICE T* sharedMemory() {
#ifdef TOPKNOT_HOST
  return static_cast<T*>(emulator::sharedMemory());
#else
  extern __shared__ __align__(16) unsigned char topknotSharedMemory[];
  return reinterpret_cast<T*>(topknotSharedMemory);
#endif
}

// ---- Exact arithmetic: one rounding an operation, never contracted into an FMA -----------------

TOPKNOT_DEVICE float addExact(float a, float b) {
#ifdef TOPKNOT_HOST
  return a + b;
#else
  return __fadd_rn(a, b);
#endif
}

TOPKNOT_DEVICE float subExact(float a, float b) {
#ifdef TOPKNOT_HOST
  return a - b;
#else
  return __fsub_rn(a, b);
#endif
}

TOPKNOT_DEVICE float mulExact(float a, float b) {
#ifdef TOPKNOT_HOST
  return a * b;
#else
  return __fmul_rn(a, b);
#endif
}

/** a b + c, rounded once. */
TOPKNOT_DEVICE float fmaExact(float a, float b, float c) {
#ifdef TOPKNOT_HOST
  return __builtin_fmaf(a, b, c);
#else
  return __fmaf_rn(a, b, c);
#endif
}

TOPKNOT_DEVICE float divExact(float a, float b) {
#ifdef TOPKNOT_HOST
  return a / b;
#else
  return __fdiv_rn(a, b);
#endif
}

TOPKNOT_DEVICE float sqrtExact(float a) {
#ifdef TOPKNOT_HOST
  return __builtin_sqrtf(a);
#else
  return __fsqrt_rn(a);
#endif
}

TOPKNOT_DEVICE int bitsOf(float value) {
#ifdef TOPKNOT_HOST
  return __builtin_bit_cast(int, value);
#else
  return __float_as_int(value);
#endif
}

TOPKNOT_DEVICE float floatOf(int bits) {
#ifdef TOPKNOT_HOST
  return __builtin_bit_cast(float, bits);
#else
  return __int_as_float(bits);
#endif
}

// ---- bf16 --------------------------------------------------------------------------------------

/** Rounds to the nearest bf16, ties to even; every NaN becomes 0x7FFF. */
TOPKNOT_DEVICE Bf16 toBf16(float value) {
#ifdef TOPKNOT_HOST
  const unsigned bits = __builtin_bit_cast(unsigned, value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) {
    return 0x7FFF;
  }
  return static_cast<Bf16>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
#else
  Bf16 rounded;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(rounded) : "f"(value));
  return rounded;
#endif
}

TOPKNOT_DEVICE float fromBf16(Bf16 value) {
  return floatOf(static_cast<int>(static_cast<unsigned>(value) << 16));
}

// ---- Asynchronous copies from global to shared memory (cp.async) -------------------------------
// A copy has landed for the thread that issued it after commit and wait; for the other threads of
// the block after a barrier as well.

/** Copies 16 bytes; both addresses are multiples of 16. Zeros, and source unread, unless real. */
TOPKNOT_DEVICE void asyncCopy16(void* shared, const void* source, bool real) {
#ifdef TOPKNOT_HOST
  emulator::asyncCopy(shared, source, 16, real);
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(sharedAddress(shared)),
               "l"(source), "r"(real ? 16 : 0)
               : "memory");
#endif
}

TOPKNOT_DEVICE void asyncCopy16(void* shared, const void* source) {
#ifdef TOPKNOT_HOST
  emulator::asyncCopy(shared, source, 16, true);
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(sharedAddress(shared)),
               "l"(source)
               : "memory");
#endif
}

/** Copies 4 bytes; both addresses are multiples of 4. Zeros, and source unread, unless real. */
TOPKNOT_DEVICE void asyncCopy4(void* shared, const void* source, bool real) {
#ifdef TOPKNOT_HOST
  emulator::asyncCopy(shared, source, 4, real);
#else
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(sharedAddress(shared)),
               "l"(source), "r"(real ? 4 : 0)
               : "memory");
#endif
}

/** Closes the calling thread's open copies into a group. */
TOPKNOT_DEVICE void asyncCommit() {
#ifdef TOPKNOT_HOST
  emulator::asyncCommit();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/** Waits until at most N of the calling thread's latest groups are still under way. */
template <int N>
TOPKNOT_DEVICE void asyncWait() {
#ifdef TOPKNOT_HOST
  emulator::asyncWait(N);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

// ---- Tensor cores (ldmatrix, mma.sync), each called by all 32 lanes of a warp ------------------

/**
 * Loads four 8x8 matrices of bf16 from shared memory. Lane l gives the address of row l % 8 of
 * matrix l / 8 (16 bytes, 16-byte aligned); r[i] of lane l is the pair at row l / 4, columns
 * 2 (l % 4) and + 1 of matrix i.
 */
TOPKNOT_DEVICE void loadMatrix4(unsigned (&r)[4], const void* shared) {
#ifdef TOPKNOT_HOST
  emulator::loadMatrix4(r, shared, false);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(sharedAddress(shared))
               : "memory");
#endif
}

/** As loadMatrix4, each matrix transposed: r[i] holds rows 2 (l % 4) and + 1, column l / 4. */
TOPKNOT_DEVICE void loadMatrix4Transposed(unsigned (&r)[4], const void* shared) {
#ifdef TOPKNOT_HOST
  emulator::loadMatrix4(r, shared, true);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(sharedAddress(shared))
               : "memory");
#endif
}

/**
 * d += a b, where a is 16x16, b is 16x8 and d is 16x8, in fp32. With g = lane / 4, q = lane % 4:
 *
 *   a[0..3]: rows g, g + 8, g, g + 8; columns 2q, 2q, 2q + 8, 2q + 8, and + 1 in the upper half;
 *   b[0..1]: rows 2q, 2q + 8, and + 1 in the upper half; column g;
 *   d[0..3]: rows g, g, g + 8, g + 8; columns 2q, 2q + 1, 2q, 2q + 1.
 */
TOPKNOT_DEVICE void mmaBf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#ifdef TOPKNOT_HOST
  emulator::multiplyMatrices(d, a, b);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}
