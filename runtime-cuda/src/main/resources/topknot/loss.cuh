// The loss of a call: the sum of its valid tokens' losses, in double and in a fixed order, and
// whether it is finite. One block: thread i adds tokens i, i + 256, ..., then pairs of threads.
// losses [TOKENS] in; run->loss and run->status out. TOKENS FLOPs, 4 TOKENS bytes.
#pragma once

#include "topknot/rows.cuh"

constexpr int LOSS_THREADS = 256;

/** One block; shared: 2048 bytes. */
TOPKNOT_DEVICE void lossTotal(Run* run, const float* losses) {
  const int valid = run->valid;
  double sum = 0;
#pragma unroll 4
  for (int token = static_cast<int>(threadIdx.x); token < valid; token += LOSS_THREADS) {
    sum += losses[token];
  }
  sum = sumOfBlock<LOSS_THREADS>(sum, sharedMemory<double>());
  if (threadIdx.x == 0) {
    run->loss = sum;
    if (!(sum - sum == 0) && run->status == STATUS_FINE) {
      run->status = STATUS_LOSS;
    }
  }
}

#define TOPKNOT_LOSS(prefix, S)                                                          \
  TOPKNOT_KERNEL(LOSS_THREADS) prefix##_forward_total(Run* run, const float* losses) {   \
    lossTotal(run, losses);                                                              \
  }
