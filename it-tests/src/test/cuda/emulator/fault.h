// A kernel's wild access ends the launch, not the process.
#pragma once

namespace emulator {

/** From now on, a fault of a kernel is an error of its launch; all others stay the process's. */
void watchFaults();

}  // namespace emulator
