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

/** All lanes of a warp, as its collectives want to be told. */
constexpr unsigned WHOLE_WARP = 0xFFFFFFFFu;

// ---- Shared memory -----------------------------------------------------------------------------

#ifndef TOPKNOT_HOST
/** The 32-bit address of shared memory that PTX wants in place of a pointer. */
TOPKNOT_DEVICE unsigned sharedAddress(const void* shared) {
  return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}
#endif

/** Where shared memory lies, as the hardware counts for swizzles and descriptors. */
TOPKNOT_DEVICE unsigned placeOfShared(const void* shared) {
#ifdef TOPKNOT_HOST
  return emulator::placeOfShared(shared);
#else
  return sharedAddress(shared);
#endif
}

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

/** Two values as toBf16, the first in the lower half. */
TOPKNOT_DEVICE unsigned toBf16Pair(float low, float high) {
#ifdef TOPKNOT_HOST
  return static_cast<unsigned>(toBf16(low)) | static_cast<unsigned>(toBf16(high)) << 16;
#else
  unsigned pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#endif
}

TOPKNOT_DEVICE float fromBf16(Bf16 value) {
  return floatOf(static_cast<int>(static_cast<unsigned>(value) << 16));
}

/** The values of a pair. */
TOPKNOT_DEVICE float lowerBf16(unsigned pair) { return floatOf(static_cast<int>(pair << 16)); }

TOPKNOT_DEVICE float upperBf16(unsigned pair) {
  return floatOf(static_cast<int>(pair & 0xFFFF0000u));
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

// ---- Tensor cores of a warpgroup (wgmma, sm_90a), each called by all of 128 neighbouring threads -
// Operands are read from shared memory while the threads go on: between a product's start and the
// wait for it nobody may write to them, nor touch its sums. What threads wrote to shared memory is
// seen after each called fenceShared, and a barrier.

#if defined(__CUDA_ARCH_FEAT_SM90_ALL) || (defined(TOPKNOT_HOST) && !defined(TOPKNOT_WITHOUT_WGMMA))
#define TOPKNOT_WGMMA
#endif

#ifdef TOPKNOT_WGMMA

/** How 16-byte chunks of a row are permuted: chunk c of row r lies at c ^ (r % 8), or r / 2 % 4. */
enum Swizzle { SWIZZLE_128 = 1, SWIZZLE_64 = 2 };

/**
 * An operand in shared memory, its start at a multiple of 1024 bytes but for k. Rows of 64 or 128
 * bytes lie one after the other, `stride` bytes from eight to the next eight. Where k runs along the
 * columns a row is that of one m (or n); where it runs along the rows, a row has 64 values of m (or
 * n), and the next 64 are in rows of their own, `leading` bytes away.
 */
TOPKNOT_DEVICE unsigned long long matrixDescriptor(const void* shared, unsigned leading,
                                                   unsigned stride, Swizzle swizzle) {
  const unsigned low = (placeOfShared(shared) >> 4) + (leading >> 4 << 16);  // below 2^18 bytes
  const unsigned high = stride >> 4 | static_cast<unsigned>(swizzle) << 30;
  return static_cast<unsigned long long>(high) << 32 | low;
}

/** What this thread wrote to shared memory, to be read by matrix products. */
TOPKNOT_DEVICE void fenceShared() {
#ifndef TOPKNOT_HOST
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

/** Before the first of several products: their sums are in order. */
TOPKNOT_DEVICE void warpgroupFence() {
#ifndef TOPKNOT_HOST
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

/**
 * Starts d += a b, where a is 64x16, b is 16x128 and d is 64x128, in fp32; k along the columns of
 * each or, where so, along its rows. Warp w of the group has rows 16 w and on; d[j] of a thread is
 * as of mmaBf16 for columns 8 j and on.
 */
template <bool A_COLUMNS, bool B_COLUMNS>
TOPKNOT_DEVICE void startProduct(float (&d)[16][4], unsigned long long a, unsigned long long b) {
#ifdef TOPKNOT_HOST
  emulator::startProduct(&d[0][0], 128, a, A_COLUMNS, b, B_COLUMNS);
#else
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "%64, %65, 1, 1, 1, %66, %67;"
      : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]),
        "+f"(d[1][0]), "+f"(d[1][1]), "+f"(d[1][2]), "+f"(d[1][3]),
        "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]),
        "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]), "+f"(d[3][3]),
        "+f"(d[4][0]), "+f"(d[4][1]), "+f"(d[4][2]), "+f"(d[4][3]),
        "+f"(d[5][0]), "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]),
        "+f"(d[6][0]), "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]),
        "+f"(d[7][0]), "+f"(d[7][1]), "+f"(d[7][2]), "+f"(d[7][3]),
        "+f"(d[8][0]), "+f"(d[8][1]), "+f"(d[8][2]), "+f"(d[8][3]),
        "+f"(d[9][0]), "+f"(d[9][1]), "+f"(d[9][2]), "+f"(d[9][3]),
        "+f"(d[10][0]), "+f"(d[10][1]), "+f"(d[10][2]), "+f"(d[10][3]),
        "+f"(d[11][0]), "+f"(d[11][1]), "+f"(d[11][2]), "+f"(d[11][3]),
        "+f"(d[12][0]), "+f"(d[12][1]), "+f"(d[12][2]), "+f"(d[12][3]),
        "+f"(d[13][0]), "+f"(d[13][1]), "+f"(d[13][2]), "+f"(d[13][3]),
        "+f"(d[14][0]), "+f"(d[14][1]), "+f"(d[14][2]), "+f"(d[14][3]),
        "+f"(d[15][0]), "+f"(d[15][1]), "+f"(d[15][2]), "+f"(d[15][3])
      : "l"(a), "l"(b), "n"(A_COLUMNS ? 0 : 1), "n"(B_COLUMNS ? 0 : 1));
#endif
}

/** Closes the warpgroup's products since the last time into a group. */
TOPKNOT_DEVICE void commitProducts() {
#ifdef TOPKNOT_HOST
  emulator::commitProducts();
#else
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

/** Waits until at most N of the warpgroup's latest groups are still under way. */
template <int N>
TOPKNOT_DEVICE void waitForProducts() {
#ifdef TOPKNOT_HOST
  emulator::waitForProducts(N);
#else
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
#endif
}

#endif
