// The block's shared memory and the device's global memory, both between redzones.
#pragma once

#include <cstddef>

#include "language.h"

namespace emulator {

/**
 * What memory holds before it is written, and what redzones hold: NaN as fp32, as fp64 and as a
 * pair of bf16, no plausible integer.
 */
constexpr unsigned POISON = 0xFFE5FFE5u;

/** Fills with POISON, from its first byte on. */
void poison(void* from, size_t bytes);

/** The first of at most 4096 bytes that is not POISON's from its byte `phase` % 4 on; -1: none. */
long firstDamage(const void* from, size_t bytes, size_t phase);

/**
 * The block's dynamic shared memory, 16-byte aligned and no more, POISON when the block starts.
 * Writes beyond the launch's byte count are reported when the block ends.
 */
inline void* sharedMemory() { return current->shared; }

/** The place of an address in shared memory as the hardware counts: no more aligned than it is. */
unsigned placeOfShared(const void* address);

/** Refuses an address range outside the block's shared memory, or one that is misaligned. */
void requireShared(const void* address, unsigned bytes, const char* operation);

}  // namespace emulator
