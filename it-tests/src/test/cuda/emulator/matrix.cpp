#include "matrix.h"

#include <cstring>

#include "block.h"
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

// ---- Products of a warpgroup -------------------------------------------------------------------

constexpr int GROUP_ROWS = 64, GROUP_DEPTH = 16, GROUP_MOST_COLUMNS = 256;
constexpr const char* PRODUCT = "startProduct";

/** Where (m or n, k) of an operand lies in shared memory, by its descriptor. */
unsigned placeOf(uint64_t descriptor, bool columns, int mn, int k) {
  const auto field = [descriptor](int bit) {
    return static_cast<unsigned>(descriptor >> bit & 0x3FFF) << 4;
  };
  const unsigned start = field(0), leading = field(16), stride = field(32);
  const int mode = static_cast<int>(descriptor >> 62);
  if (mode == 0 || (descriptor >> 49 & 7) != 0) {
    fail("%s: a descriptor without swizzle, or with an offset", PRODUCT);
  }
  const int row = mode == 1 ? 128 : mode == 2 ? 64 : 32;  // bytes
  const int values = row / 2;
  const unsigned place =
      columns ? start + mn / 8 * stride + mn % 8 * row + 2 * k
              : start + mn / values * leading + k / 8 * stride + k % 8 * row + mn % values * 2;
  return place ^ (place >> 7 & (row / 16 - 1)) << 4;
}

float valueAt(uint64_t descriptor, bool columns, int mn, int k) {
  unsigned short value;
  memcpy(&value, block->sharedAt(placeOf(descriptor, columns, mn, k), 2, PRODUCT), 2);
  return lowHalf(value);
}

void execute(const GroupProduct& product) {
  static thread_local float a[GROUP_ROWS][GROUP_DEPTH], b[GROUP_DEPTH][GROUP_MOST_COLUMNS];
  for (int k = 0; k < GROUP_DEPTH; k++) {
    for (int m = 0; m < GROUP_ROWS; m++) {
      a[m][k] = valueAt(product.a, product.aColumns, m, k);
    }
    for (int n = 0; n < product.columns; n++) {
      b[k][n] = valueAt(product.b, product.bColumns, n, k);
    }
  }
  float row[GROUP_MOST_COLUMNS];
  for (int m = 0; m < GROUP_ROWS; m++) {
    for (int n = 0; n < product.columns; n++) {
      row[n] = 0;
    }
    for (int k = 0; k < GROUP_DEPTH; k++) {
      for (int n = 0; n < product.columns; n++) {
        row[n] += a[m][k] * b[k][n];
      }
    }
    for (int n = 0; n < product.columns; n++) {
      float* d = product.d[m / 16 * 32 + m % 8 * 4 + n % 8 / 2];
      d[n / 8 * 4 + m % 16 / 8 * 2 + n % 2] += row[n];
    }
  }
}

}  // namespace

void startProduct(float* d, int columns, unsigned long long a, bool aColumns, unsigned long long b,
                  bool bColumns) {
  GroupProduct mine{a, b, aColumns, bColumns, columns, {d}};
  // Seen by the race detector when started: from then on the hardware may read.
  for (int k = 0; sanitizer::RACES && k < GROUP_DEPTH; k++) {
    for (int mn = current->lane; mn < columns; mn += 32) {
      if (mn < GROUP_ROWS) {
        sanitizer::reads(block->sharedAt(placeOf(a, aColumns, mn, k), 2, PRODUCT), 2);
      }
      sanitizer::reads(block->sharedAt(placeOf(b, bColumns, mn, k), 2, PRODUCT), 2);
    }
  }
  sanitizer::Hidden hidden;
  block->warpgroup(PRODUCT, &mine, [](Warpgroup& group, void* const* all) {
    GroupProduct product = *static_cast<GroupProduct*>(all[0]);
    for (int i = 0; i < 128; i++) {
      const auto& other = *static_cast<GroupProduct*>(all[i]);
      if (other.a != product.a || other.b != product.b) {
        fail("%s: descriptors differ within the warpgroup", PRODUCT);
      }
      product.d[i] = other.d[0];
    }
    if (block->eager()) {
      group.openProducts.push_back(product);
    } else {
      execute(product);
    }
  });
}

void commitProducts() {
  sanitizer::Hidden hidden;
  block->warpgroup("commitProducts", nullptr, [](Warpgroup& group, void* const*) {
    group.productGroups.push_back(std::move(group.openProducts));
    group.openProducts.clear();
  });
}

void waitForProducts(unsigned groupsUnderWay) {
  sanitizer::Hidden hidden;
  unsigned most = groupsUnderWay;
  block->warpgroup("waitForProducts", &most, [](Warpgroup& group, void* const* all) {
    auto& groups = group.productGroups;
    while (groups.size() > *static_cast<unsigned*>(all[0])) {
      for (const GroupProduct& product : groups.front()) {
        execute(product);
      }
      groups.erase(groups.begin());
    }
  });
}

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
