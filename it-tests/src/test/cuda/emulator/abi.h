// What a compiled .cu exports, for any language that can call C.
#pragma once

#define EMULATOR_EXPORT extern "C" __attribute__((visibility("default")))

/** Every kernel takes at most so many parameters, each of 8 bytes. */
constexpr int EMULATOR_PARAMETERS = 24;

/**
 * Runs a kernel of this library to its end. Returns null, or what went wrong, with kernel, block
 * and thread; the text stays valid until the calling thread's next launch. Memory is checked too.
 */
EMULATOR_EXPORT const char* emulator_launch(const char* kernel, const unsigned grid[3],
                                            const unsigned block[3], unsigned long long shared,
                                            const unsigned long long* parameters, int count);

/**
 * For the launches to come: the schedule (0 ascending, 1 descending, 2 random), whether asynchronous
 * copies land when issued (eager) or when waited for, the random schedule's seed, and how many OS
 * threads run blocks.
 */
EMULATOR_EXPORT void emulator_configure(int schedule, int eager, unsigned long long seed,
                                        int workers);

/**
 * Memory between redzones, full of NaN (from 1 GiB on: zeros, and no page in use before it is
 * touched); null if there is none left.
 */
EMULATOR_EXPORT void* emulator_allocate(unsigned long long bytes);

/** Returns null, or what was wrong: overrun redzones, or no such allocation. */
EMULATOR_EXPORT const char* emulator_free(void* address);

/** Returns null, or which allocations of this library were overrun since the last check. */
EMULATOR_EXPORT const char* emulator_check();
