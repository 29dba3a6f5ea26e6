// The CUDA that our kernels speak, for g++: included before a .cu file by -include host.h.
// What each part does is told by its header; README.md says how to build and run.
#pragma once

#include "emulator/language.h"
#include "emulator/warp.h"
#include "emulator/memory.h"
#include "emulator/async.h"
#include "emulator/matrix.h"
#include "emulator/arithmetic.h"
