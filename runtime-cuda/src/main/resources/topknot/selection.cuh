// The k largest of a row of logits by one warp, ties to the lower index, and the softmax over them.
//
// Each entry becomes a key of 64 bits: the value, as an integer of the same order, above the
// complement of the index. Keys are distinct whatever the row holds (a NaN is below everything), so
// "the next in line" is the largest key below the one before, and whether an entry was chosen is
// one comparison with the last chosen key. A lane holds the HELD best of its part of the row in
// registers; HELD rounds of a maximum over the warp take them out in falling order, and if more are
// wanted, the row is passed over again for keys below. Bytes: 4 n a pass, one pass for k < 8.
#pragma once

#include "topknot/gemm.cuh"
#include "topknot/rows.cuh"

typedef unsigned long long Key;

/** The key of a row's entry; never 0. */
TOPKNOT_DEVICE Key keyOf(float value, int index) {
  const unsigned bits = static_cast<unsigned>(bitsOf(addExact(value, 0.0f)));  // -0 becomes 0
  const unsigned ordered =
      value != value ? 0u : (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
  return static_cast<Key>(ordered) << 32 | ~static_cast<unsigned>(index);
}

TOPKNOT_DEVICE int indexOf(Key key) { return static_cast<int>(~static_cast<unsigned>(key)); }

TOPKNOT_DEVICE float valueOf(Key key) {
  const unsigned ordered = static_cast<unsigned>(key >> 32);
  return floatOf(static_cast<int>((ordered >> 31) != 0 ? ordered & 0x7FFFFFFFu : ~ordered));
}

TOPKNOT_DEVICE Key maxOfWarp(Key key) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) {
    const Key other = __shfl_xor_sync(WHOLE_WARP, key, distance);
    key = other > key ? other : key;
  }
  return key;
}

/** Puts a key among a lane's best, which fall. */
template <int HELD>
TOPKNOT_DEVICE void hold(Key (&held)[HELD], Key key) {
#pragma unroll
  for (int i = 0; i < HELD; i++) {
    if (key > held[i]) {
      const Key smaller = held[i];
      held[i] = key;
      key = smaller;
    }
  }
}

/** The largest of the row's keys below a limit in held[0], and so on: a lane's part of them. */
template <int N, int HELD>
TOPKNOT_DEVICE void holdBelow(const float* row, Key limit, Key (&held)[HELD]) {
#pragma unroll
  for (int i = 0; i < HELD; i++) {
    held[i] = 0;
  }
  for (int column = 4 * laneOfThread(); column < N; column += 128) {
    float values[4];
    loadChunk<N>(row, 0, column, values);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const Key key = keyOf(values[i], column + i);
      if (column + i < N && key < limit) {
        hold(held, key);
      }
    }
  }
}

/** The largest key of a row below a limit; 0 if there is none. */
template <int N>
TOPKNOT_DEVICE Key largestBelow(const float* row, Key limit) {
  Key held[1];
  holdBelow<N>(row, limit, held);
  return maxOfWarp(held[0]);
}

/** Writes the COUNT largest keys of a row in falling order to shared memory. */
template <int N, int COUNT>
TOPKNOT_DEVICE void rankRow(const float* row, Key* order) {
  constexpr int HELD = COUNT < 8 ? COUNT : 8;
  Key limit = ~0ull;
  for (int first = 0; first < COUNT; first += HELD) {
    Key held[HELD];
    holdBelow<N>(row, limit, held);
#pragma unroll
    for (int r = 0; r < HELD; r++) {
      limit = maxOfWarp(held[0]);
      if (held[0] == limit) {
#pragma unroll
        for (int i = 0; i + 1 < HELD; i++) {
          held[i] = held[i + 1];
        }
        held[HELD - 1] = 0;
      }
      if (laneOfThread() == 0 && first + r < COUNT) {
        order[first + r] = limit;
      }
    }
  }
  __syncwarp();
}

/** Writes the chosen K of a row, and the softmax over them, to the token's places. */
template <int K>
TOPKNOT_DEVICE void softmaxChosen(const Key* order, int* chosen, float* gates) {
  const double largest = valueOf(order[0]);
  double sum = 0;
  for (int j = laneOfThread(); j < K; j += 32) {
    sum += exp(valueOf(order[j]) - largest);
  }
  sum = sumOfWarp(sum);
  for (int j = laneOfThread(); j < K; j += 32) {
    chosen[j] = indexOf(order[j]);
    gates[j] = static_cast<float>(exp(valueOf(order[j]) - largest) / sum);
  }
}

/** The softmax over a whole row at its largest entry, in every lane. */
template <int N>
TOPKNOT_DEVICE double largestProbability(const float* row, float largest) {
  double sum = 0;
  for (int i = laneOfThread(); i < N; i += 32) {
    sum += expf(row[i] - largest);
  }
  return 1 / sumOfWarp(sum);
}
