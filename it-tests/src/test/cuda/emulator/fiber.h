// Fibers: stacks that one OS thread switches between.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sanitizer.h"

namespace emulator {

/** A point of execution to come back to: a fiber's, or the worker's own. */
struct Context {
  void* stackPointer = nullptr;
  char* stack = nullptr;  // lowest address; null for the worker's own stack
  size_t stackBytes = 0;
  void* raceDetector = nullptr;    // ThreadSanitizer's fiber
  void* addressDetector = nullptr;  // AddressSanitizer's fake stack
};

/** Leaves `from`, to return when something switches back to it; goes on in `to`. */
void switchContext(Context& from, Context& to);

/** Leaves a context that nothing will come back to. */
[[noreturn]] void leaveContext(Context& from, Context& to);

/** The first thing on a fresh context: completes the switch into it. */
void enterContext(Context& self);

/** Makes the context start `entry` on its stack at the next switch to it. */
void prepareContext(Context& context, void (*entry)(), size_t stagger);

}  // namespace emulator
