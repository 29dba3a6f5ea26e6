#include "async.h"

#include <cstring>

#include "block.h"

namespace emulator {

namespace {

void land(const AsyncCopy& copy) {
  if (copy.source == nullptr) {
    memset(copy.shared, 0, copy.bytes);
  } else {
    memcpy(copy.shared, copy.source, copy.bytes);
  }
}

}  // namespace

void asyncCopy(void* shared, const void* source, unsigned bytes, bool real) {
  {
    sanitizer::Hidden hidden;
    block->requireShared(shared, bytes, "asyncCopy");
    if (reinterpret_cast<uintptr_t>(source) % bytes != 0) {
      fail("asyncCopy: source %p is no multiple of %u", source, bytes);
    }
  }
  // Seen by the race detector when issued: from then on the hardware may read and write.
  if (real) {
    sanitizer::reads(source, bytes);
  }
  sanitizer::writes(shared, bytes);
  sanitizer::Hidden hidden;
  const AsyncCopy copy{static_cast<char*>(shared),
                       real ? static_cast<const char*>(source) : nullptr, bytes};
  if (block->eager()) {
    land(copy);
  } else {
    block->self().openCopies.push_back(copy);
  }
}

void asyncCommit() {
  sanitizer::Hidden hidden;
  Fiber& self = block->self();
  self.copyGroups.push_back(std::move(self.openCopies));
  self.openCopies.clear();
}

void asyncWait(unsigned groupsUnderWay) {
  sanitizer::Hidden hidden;
  auto& groups = block->self().copyGroups;
  while (groups.size() > groupsUnderWay) {
    for (const AsyncCopy& copy : groups.front()) {
      land(copy);
    }
    groups.erase(groups.begin());
  }
}

}  // namespace emulator
