// A kernel, and its launch from a C++ program; README.md has the command lines.
#include <cstdio>

#include "emulator/abi.h"
#include "topknot/device.cuh"

/** out[i] = the sum of the block's 64 values, by pairs through shared memory. */
TOPKNOT_KERNEL(64) sum_of_block(const float* in, float* out) {
  float* partial = sharedMemory<float>();
  const long long at = static_cast<long long>(blockIdx.x) * 64;
  partial[threadIdx.x] = in[at + threadIdx.x];
  for (unsigned half = 32; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) {
      partial[threadIdx.x] = addExact(partial[threadIdx.x], partial[threadIdx.x + half]);
    }
  }
  __syncthreads();
  out[at + threadIdx.x] = partial[0];
}

int main() {
  auto* in = static_cast<float*>(emulator_allocate(256 * sizeof(float)));
  auto* out = static_cast<float*>(emulator_allocate(256 * sizeof(float)));
  for (int i = 0; i < 256; i++) {
    in[i] = static_cast<float>(i % 64);
  }
  const unsigned grid[3] = {4, 1, 1}, block[3] = {64, 1, 1};
  const unsigned long long parameters[2] = {reinterpret_cast<unsigned long long>(in),
                                            reinterpret_cast<unsigned long long>(out)};
  for (int schedule = 0; schedule < 3; schedule++) {
    emulator_configure(schedule, /* eager */ schedule % 2, /* seed */ 7, /* workers */ 1);
    const char* error = emulator_launch("sum_of_block", grid, block, 64 * 4, parameters, 2);
    std::printf("%s, %g\n", error == nullptr ? "fine" : error, out[255]);
  }
}
