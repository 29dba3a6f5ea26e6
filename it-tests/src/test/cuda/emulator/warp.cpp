#include "warp.h"

namespace emulator {

unsigned ballot(unsigned mask, bool predicate, const char* operation, Site site) {
  struct Vote {
    bool predicate;
    unsigned result;
  } vote{predicate, 0};
  collective(
      mask, operation, &vote,
      [](void* const* all) {
        unsigned result = 0;
        for (int lane = 0; lane < 32; lane++) {
          if (all[lane] != nullptr && static_cast<Vote*>(all[lane])->predicate) {
            result |= 1u << lane;
          }
        }
        for (int lane = 0; lane < 32; lane++) {
          if (all[lane] != nullptr) {
            static_cast<Vote*>(all[lane])->result = result;
          }
        }
      },
      site);
  return vote.result;
}

}  // namespace emulator
