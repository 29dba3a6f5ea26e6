#include "memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "abi.h"
#include "sanitizer.h"

namespace emulator {

namespace {

// What cudaMalloc promises; no more, so that nobody counts on it.
constexpr size_t ALIGNMENT = 256;
constexpr size_t REDZONE = 4096;
// From here on pages are left to the system until they are touched, and hold zeros.
constexpr size_t SPARSE = size_t{1} << 30;

struct Allocation {
  char* raw;
  size_t rawBytes;
  char* start;
  size_t bytes;

  bool sparse() const { return bytes >= SPARSE; }
};

std::mutex mutex;
std::map<const void*, Allocation> allocations;

void forbidRedzones(const Allocation& a) {
  sanitizer::forbid(a.start - REDZONE, REDZONE);
  sanitizer::forbid(a.start + a.bytes, REDZONE);
}

void allowRedzones(const Allocation& a) {
  sanitizer::allow(a.start - REDZONE, REDZONE);
  sanitizer::allow(a.start + a.bytes, REDZONE);
}

std::string damageOf(const Allocation& a) {
  allowRedzones(a);
  const long before = firstDamage(a.start - REDZONE, REDZONE, 0);
  const long behind = firstDamage(a.start + a.bytes, REDZONE, 0);
  forbidRedzones(a);
  const std::string name = "the allocation of " + std::to_string(a.bytes) + " bytes was written ";
  if (before >= 0) {
    return name + std::to_string(REDZONE - before) + " bytes before its start";
  }
  if (behind >= 0) {
    return name + "at byte " + std::to_string(a.bytes + behind);
  }
  return "";
}

void release(const Allocation& a) {
  allowRedzones(a);
  munmap(a.raw, a.rawBytes);
}

}  // namespace

void poison(void* from, size_t bytes) {
  char* to = static_cast<char*>(from);
  for (; bytes >= sizeof POISON; bytes -= sizeof POISON, to += sizeof POISON) {
    memcpy(to, &POISON, sizeof POISON);
  }
  memcpy(to, &POISON, bytes);
}

long firstDamage(const void* from, size_t bytes, size_t phase) {
  static const auto pattern = [] {
    std::array<char, REDZONE + sizeof POISON> filled;
    poison(filled.data(), filled.size());
    return filled;
  }();
  const char* at = static_cast<const char*>(from);
  const char* expected = pattern.data() + phase % sizeof POISON;
  if (memcmp(at, expected, bytes) == 0) {
    return -1;
  }
  return std::mismatch(at, at + bytes, expected).first - at;
}

std::string checkAllocations() {
  std::lock_guard<std::mutex> lock(mutex);
  std::string text;
  for (const auto& [start, allocation] : allocations) {
    const std::string damage = damageOf(allocation);
    if (!damage.empty()) {
      text += (text.empty() ? "" : "; ") + damage;
      // Told once: the next launch is not to blame.
      allowRedzones(allocation);
      poison(allocation.start - REDZONE, REDZONE);
      poison(allocation.start + allocation.bytes, REDZONE);
      forbidRedzones(allocation);
    }
  }
  return text;
}

}  // namespace emulator

using namespace emulator;

void* emulator_allocate(unsigned long long bytes) {
  sanitizer::Hidden hidden;
  Allocation a;
  a.bytes = bytes;
  a.rawBytes = bytes + 2 * REDZONE + ALIGNMENT;
  void* raw = mmap(nullptr, a.rawBytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) {
    return nullptr;
  }
  a.raw = static_cast<char*>(raw);
  a.start = a.raw + REDZONE + ALIGNMENT;
  poison(a.start - REDZONE, REDZONE);
  if (!a.sparse()) {
    poison(a.start, bytes);
  }
  poison(a.start + bytes, REDZONE);
  forbidRedzones(a);
  std::lock_guard<std::mutex> lock(mutex);
  allocations[a.start] = a;
  return a.start;
}

const char* emulator_free(void* address) {
  static thread_local std::string text;
  sanitizer::Hidden hidden;
  std::lock_guard<std::mutex> lock(mutex);
  const auto found = allocations.find(address);
  if (found == allocations.end()) {
    text = "no allocation starts at the address to be freed";
    return text.c_str();
  }
  text = damageOf(found->second);
  release(found->second);
  allocations.erase(found);
  return text.empty() ? nullptr : text.c_str();
}

const char* emulator_check() {
  static thread_local std::string text;
  sanitizer::Hidden hidden;
  text = checkAllocations();
  return text.empty() ? nullptr : text.c_str();
}
