// ldmatrix and mma.sync as PTX documents their fragments; device.cuh states the maps.
#pragma once

#include "language.h"

namespace emulator {

void loadMatrix4(unsigned (&r)[4], const void* shared, bool transposed);
void multiplyMatrices(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]);

}  // namespace emulator
