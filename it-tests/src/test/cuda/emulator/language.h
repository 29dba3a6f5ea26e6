// CUDA's words and types, and what a running thread knows about itself.
#pragma once

#include <source_location>

#if !defined(__x86_64__)
#error "the emulator switches fibers in x86-64 assembly"
#endif

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __constant__ static const
#define __align__(bytes) alignas(bytes)

// Static shared memory would outlive its block here and hide from the launch's byte count.
#define __shared__ static_assert(false, "only dynamic shared memory: sharedMemory<T>()");

#pragma GCC diagnostic ignored "-Wunknown-pragmas"  // #pragma unroll

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};

struct int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};

inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }

namespace emulator {

/** A place in the sources, for messages. */
using Site = std::source_location;

/** What one CUDA thread sees of itself. */
struct Thread {
  dim3 index, block, blockSize, gridSize;
  void* shared;
  int rank;  // within the block, x fastest
  int lane, warp;
};

// Read at every threadIdx: compiled with TLS descriptors, whose lookup is short.
extern __thread Thread* current;

/** Ends the launch with an error text that names kernel, block and thread. */
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

/** Waits until every thread of the block is here. */
void barrier(Site site);

}  // namespace emulator

#define threadIdx (emulator::current->index)
#define blockIdx (emulator::current->block)
#define blockDim (emulator::current->blockSize)
#define gridDim (emulator::current->gridSize)

inline void __syncthreads(emulator::Site site = emulator::Site::current()) {
  emulator::barrier(site);
}
