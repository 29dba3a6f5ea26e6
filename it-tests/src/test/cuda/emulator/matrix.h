// ldmatrix, mma.sync and wgmma as PTX documents fragments and descriptors; device.cuh states the maps.
#pragma once

#include "language.h"

namespace emulator {

void loadMatrix4(unsigned (&r)[4], const void* shared, bool transposed);
void multiplyMatrices(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]);

/**
 * d [64, columns] += a b of a warpgroup, executed when started or, where copies land early, only when
 * waited for: so operands are read before a copy that was not waited for, and after one that came too
 * soon. They are found by descriptors, their k along the columns or along the rows.
 */
void startProduct(float* d, int columns, unsigned long long a, bool aColumns, unsigned long long b,
                  bool bColumns);
void commitProducts();
void waitForProducts(unsigned groupsUnderWay);

}  // namespace emulator
