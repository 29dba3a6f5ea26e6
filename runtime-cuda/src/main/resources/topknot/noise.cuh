// Random numbers that are a pure function of (seed, step, token, stream, index): Philox4x32-10 of
// Salmon et al. (SC 2011) and Box and Muller's normals, to the bit those of runtime.cpu.Noise.
//
// Key: the seed; counter: (step, global token, index / 4, stream). One counter gives four numbers,
// so a thread that works on four neighbouring elements draws once. The normal is made with single
// operations of one rounding each (device.cuh's exact arithmetic, nothing contracted, no library
// logarithm or sine), because every backend must choose the same experts.
//
// About 100 integer operations a counter, and 60 of fp32 for its four normals; no memory.
#pragma once

#include "topknot/run.cuh"

enum Purpose { PURPOSE_GATE = 0, PURPOSE_DROPOUT = 1, PURPOSE_SAMPLE = 3 };

/** The number of a layer's stream, as runtime.cpu.Noise.stream with gate 0. */
template <int LAYER, Purpose PURPOSE>
constexpr unsigned NOISE_STREAM =
    static_cast<unsigned>(LAYER) << 16 | static_cast<unsigned>(PURPOSE) << 13;

/** The four words of a counter. */
TOPKNOT_DEVICE uint4 philox(uint4 counter, unsigned long long key) {
  unsigned k0 = static_cast<unsigned>(key);
  unsigned k1 = static_cast<unsigned>(key >> 32);
#pragma unroll
  for (int round = 0; round < 10; round++) {
    const unsigned long long p0 = 0xD2511F53ull * counter.x;
    const unsigned long long p1 = 0xCD9E8D57ull * counter.z;
    counter = make_uint4(static_cast<unsigned>(p1 >> 32) ^ counter.y ^ k0,
                         static_cast<unsigned>(p1),
                         static_cast<unsigned>(p0 >> 32) ^ counter.w ^ k1,
                         static_cast<unsigned>(p0));
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return counter;
}

/** The words of numbers 4 block to 4 block + 3 of a token of the running call. */
TOPKNOT_DEVICE uint4 noiseWords(const Run* run, int token, unsigned stream, int block) {
  return philox(make_uint4(static_cast<unsigned>(run->step),
                           static_cast<unsigned>(run->firstToken) + static_cast<unsigned>(token),
                           static_cast<unsigned>(block), stream),
                run->seed);
}

/** ln u for a normal u in (0, 1]; runtime.cpu.Noise explains the polynomial. */
TOPKNOT_DEVICE float noiseLog(float u) {
  const int bits = bitsOf(u);
  const int exponent = (bits - 0x3F3504F3) >> 23;
  const float f = subExact(
      floatOf(static_cast<int>(static_cast<unsigned>(bits) - (static_cast<unsigned>(exponent) << 23))),
      1.0f);
  const float k = static_cast<float>(exponent);
  float p = -0.07286021f;
  p = fmaExact(p, f, 0.1256589f);
  p = fmaExact(p, f, -0.13212356f);
  p = fmaExact(p, f, 0.14238907f);
  p = fmaExact(p, f, -0.16621207f);
  p = fmaExact(p, f, 0.1999899f);
  p = fmaExact(p, f, -0.2500084f);
  p = fmaExact(p, f, 0.33333373f);
  const float g = mulExact(f, f);
  const float tail =
      fmaExact(k, 1.4286068e-6f, fmaExact(-0.5f, g, mulExact(mulExact(f, g), p)));
  return fmaExact(k, 0.69314575f, addExact(f, tail));
}

/** Two normal numbers of two words. */
TOPKNOT_DEVICE float2 boxMuller(unsigned radiusWord, unsigned angleWord) {
  const float u = fmaExact(static_cast<float>(radiusWord), 0x1p-32f, 0x1p-33f);
  const float radius = sqrtExact(mulExact(-2.0f, noiseLog(u)));
  // the angle in turns is quarter / 4 + f with |f| <= 1/8
  const unsigned quarter = (angleWord + 0x20000000u) >> 30;
  const float f =
      mulExact(static_cast<float>(static_cast<int>(angleWord - (quarter << 30))), 0x1p-32f);
  const float g = mulExact(f, f);
  const float sine =
      mulExact(f, fmaExact(g, fmaExact(g, fmaExact(g, -75.83747f, 81.604614f), -41.34176f),
                           6.2831855f));
  const float cosine = fmaExact(
      g, fmaExact(g, fmaExact(g, fmaExact(g, 58.814777f, -85.4295f), 64.93918f), -19.739208f),
      1.0f);
  const float x = quarter % 2 == 0 ? cosine : sine;
  const float y = quarter % 2 == 0 ? sine : cosine;
  return make_float2(mulExact(radius, quarter == 1 || quarter == 2 ? -x : x),
                     mulExact(radius, quarter >= 2 ? -y : y));
}

/** Standard normal numbers 4 block to 4 block + 3 of a token of the running call. */
TOPKNOT_DEVICE float4 normals(const Run* run, int token, unsigned stream, int block) {
  const uint4 words = noiseWords(run, token, stream, block);
  const float2 first = boxMuller(words.x, words.y);
  const float2 second = boxMuller(words.z, words.w);
  return make_float4(first.x, first.y, second.x, second.y);
}

/** Standard normal number `index` of a token of the running call. */
TOPKNOT_DEVICE float normalAt(const Run* run, int token, unsigned stream, int index) {
  const uint4 words = noiseWords(run, token, stream, index / 4);
  const float2 pair =
      index % 4 < 2 ? boxMuller(words.x, words.y) : boxMuller(words.z, words.w);
  return index % 2 == 0 ? pair.x : pair.y;
}

/** Uniform numbers strictly between 0 and 1: odd multiples of 2^-24. */
TOPKNOT_DEVICE float4 uniforms(const Run* run, int token, unsigned stream, int block) {
  const uint4 words = noiseWords(run, token, stream, block);
  return make_float4(fmaExact(static_cast<float>(words.x >> 9), 0x1p-23f, 0x1p-24f),
                     fmaExact(static_cast<float>(words.y >> 9), 0x1p-23f, 0x1p-24f),
                     fmaExact(static_cast<float>(words.z >> 9), 0x1p-23f, 0x1p-24f),
                     fmaExact(static_cast<float>(words.w >> 9), 0x1p-23f, 0x1p-24f));
}
