// Warp collectives: the lanes of a mask meet, exchange their operands and go on.
#pragma once

#include "language.h"

namespace emulator {

constexpr unsigned FULL_WARP = 0xFFFFFFFFu;

/** Called once for all lanes, by the last to arrive; operands[lane] is null outside the mask. */
using Exchange = void (*)(void* const* operands);

/**
 * Waits for all lanes of the mask. Refuses a mask without the caller, and lanes that meet with
 * different masks or at different places of the sources.
 */
void collective(unsigned mask, const char* operation, void* operands, Exchange exchange,
                Site site);

/** What a lane brings to a shuffle; source -1 keeps its own value. */
template <typename T>
struct Shuffle {
  T mine, received;
  int source;
};

template <typename T>
T shuffle(unsigned mask, T value, int source, const char* operation, Site site) {
  Shuffle<T> operands{value, value, source};
  collective(
      mask, operation, &operands,
      [](void* const* all) {
        for (int lane = 0; lane < 32; lane++) {
          auto* to = static_cast<Shuffle<T>*>(all[lane]);
          if (to == nullptr || to->source < 0) {
            continue;
          }
          auto* from = static_cast<Shuffle<T>*>(all[to->source]);
          if (from == nullptr) {
            fail("lane %d shuffles from lane %d, which is outside the mask", lane, to->source);
          }
          to->received = from->mine;
        }
      },
      site);
  return operands.received;
}

unsigned ballot(unsigned mask, bool predicate, const char* operation, Site site);

}  // namespace emulator

inline void __syncwarp(unsigned mask = emulator::FULL_WARP,
                       emulator::Site site = emulator::Site::current()) {
  emulator::collective(mask, "__syncwarp", nullptr, [](void* const*) {}, site);
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              emulator::Site site = emulator::Site::current()) {
  const int first = emulator::current->lane & ~(width - 1);
  return emulator::shuffle(mask, value, first + (source & (width - 1)), "__shfl_sync", site);
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32,
                  emulator::Site site = emulator::Site::current()) {
  const int lane = emulator::current->lane, end = (lane & ~(width - 1)) + width;
  const int source = (lane ^ bits) < end ? lane ^ bits : -1;
  return emulator::shuffle(mask, value, source, "__shfl_xor_sync", site);
}

template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32,
                 emulator::Site site = emulator::Site::current()) {
  const int lane = emulator::current->lane, first = lane & ~(width - 1);
  const int source = lane - static_cast<int>(distance);
  return emulator::shuffle(mask, value, source >= first ? source : -1, "__shfl_up_sync", site);
}

template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32,
                   emulator::Site site = emulator::Site::current()) {
  const int lane = emulator::current->lane, end = (lane & ~(width - 1)) + width;
  const int source = lane + static_cast<int>(distance);
  return emulator::shuffle(mask, value, source < end ? source : -1, "__shfl_down_sync", site);
}

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              emulator::Site site = emulator::Site::current()) {
  return emulator::ballot(mask, predicate != 0, "__ballot_sync", site);
}

inline int __any_sync(unsigned mask, int predicate,
                      emulator::Site site = emulator::Site::current()) {
  return emulator::ballot(mask, predicate != 0, "__any_sync", site) != 0;
}

inline int __all_sync(unsigned mask, int predicate,
                      emulator::Site site = emulator::Site::current()) {
  return emulator::ballot(mask, predicate == 0, "__all_sync", site) == 0;
}
