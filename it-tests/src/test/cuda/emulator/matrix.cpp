#include "matrix.h"

#include <cstring>

#include "memory.h"
#include "sanitizer.h"
#include "warp.h"

namespace emulator {

namespace {

float lowHalf(unsigned pair) { return __builtin_bit_cast(float, pair << 16); }
float highHalf(unsigned pair) { return __builtin_bit_cast(float, pair & 0xFFFF0000u); }

struct Load {
  unsigned* r;
  const char* row;
};

unsigned short element(void* const* all, int matrix, int row, int column) {
  unsigned short value;
  memcpy(&value, static_cast<Load*>(all[matrix * 8 + row])->row + 2 * column, 2);
  return value;
}

template <bool TRANSPOSED>
void exchangeRows(void* const* all) {
  for (int lane = 0; lane < 32; lane++) {
    for (int matrix = 0; matrix < 4; matrix++) {
      const int major = lane / 4, minor = lane % 4 * 2;
      const unsigned low = TRANSPOSED ? element(all, matrix, minor, major)
                                      : element(all, matrix, major, minor);
      const unsigned high = TRANSPOSED ? element(all, matrix, minor + 1, major)
                                       : element(all, matrix, major, minor + 1);
      static_cast<Load*>(all[lane])->r[matrix] = low | high << 16;
    }
  }
}

struct Multiply {
  float* d;
  const unsigned *a, *b;
};

void multiplyFragments(void* const* all) {
  float a[16][16], b[8][16];  // b by columns
  for (int lane = 0; lane < 32; lane++) {
    const auto& fragments = *static_cast<Multiply*>(all[lane]);
    const int g = lane / 4, q = lane % 4;
    for (int i = 0; i < 4; i++) {
      float* to = &a[g + 8 * (i % 2)][2 * q + 8 * (i / 2)];
      to[0] = lowHalf(fragments.a[i]);
      to[1] = highHalf(fragments.a[i]);
    }
    for (int i = 0; i < 2; i++) {
      float* to = &b[g][2 * q + 8 * i];
      to[0] = lowHalf(fragments.b[i]);
      to[1] = highHalf(fragments.b[i]);
    }
  }
  for (int lane = 0; lane < 32; lane++) {
    auto& fragments = *static_cast<Multiply*>(all[lane]);
    for (int i = 0; i < 4; i++) {
      const int row = lane / 4 + 8 * (i / 2), column = lane % 4 * 2 + i % 2;
      float sum = 0;
      for (int k = 0; k < 16; k++) {
        sum += a[row][k] * b[column][k];
      }
      fragments.d[i] += sum;
    }
  }
}

}  // namespace

void loadMatrix4(unsigned (&r)[4], const void* shared, bool transposed) {
  {
    sanitizer::Hidden hidden;
    requireShared(shared, 16, "loadMatrix4");
  }
  sanitizer::reads(shared, 16);
  Load operands{r, static_cast<const char*>(shared)};
  collective(FULL_WARP, transposed ? "loadMatrix4Transposed" : "loadMatrix4", &operands,
             transposed ? exchangeRows<true> : exchangeRows<false>, Site());
}

void multiplyMatrices(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  Multiply operands{d, a, b};
  collective(FULL_WARP, "mmaBf16", &operands, multiplyFragments, Site());
}

}  // namespace emulator
