// CUDA's integer intrinsics and atomics. Mathematical functions are the C library's.
#pragma once

#include <math.h>

#include "language.h"

inline int __popc(unsigned value) { return __builtin_popcount(value); }
inline int __ffs(int value) { return __builtin_ffs(value); }
inline int __clz(int value) { return value == 0 ? 32 : __builtin_clz(value); }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<unsigned long long>(a) * b >> 32);
}

template <typename T>
T __ldg(const T* address) {
  return *address;
}

#define EMULATOR_MIN_MAX(T)                             \
  inline T min(T a, T b) { return b < a ? b : a; }      \
  inline T max(T a, T b) { return a < b ? b : a; }
EMULATOR_MIN_MAX(int)
EMULATOR_MIN_MAX(unsigned)
EMULATOR_MIN_MAX(long long)
EMULATOR_MIN_MAX(unsigned long long)
#undef EMULATOR_MIN_MAX

// Integers only: floating-point atomics would make sums depend on the schedule. Relaxed, so that
// the race detector does not take one for synchronization.
#define EMULATOR_ATOMICS(T)                                                              \
  inline T atomicAdd(T* address, T value) {                                              \
    return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);                         \
  }                                                                                      \
  inline T atomicOr(T* address, T value) {                                               \
    return __atomic_fetch_or(address, value, __ATOMIC_RELAXED);                          \
  }                                                                                      \
  inline T atomicMax(T* address, T value) {                                              \
    T old = __atomic_load_n(address, __ATOMIC_RELAXED);                                  \
    while (old < value && !__atomic_compare_exchange_n(address, &old, value, false,      \
                                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED)) { \
    }                                                                                    \
    return old;                                                                          \
  }
EMULATOR_ATOMICS(int)
EMULATOR_ATOMICS(unsigned)
EMULATOR_ATOMICS(unsigned long long)
#undef EMULATOR_ATOMICS

inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
