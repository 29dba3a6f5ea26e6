// What ThreadSanitizer and AddressSanitizer are told; nothing in an ordinary build.
//
// To ThreadSanitizer each fiber is a thread of its own, and only the synchronization that CUDA
// promises orders two of them: the emulator's own work is hidden, barriers and collectives release
// and acquire clocks (any address; one byte each here).
#pragma once

#include <cstddef>
#include <string>

#if defined(__SANITIZE_THREAD__)
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_set_fiber_name(void* fiber, const char* name);
void __tsan_acquire(void* clock);
void __tsan_release(void* clock);
void __tsan_read_range(void* address, unsigned long bytes);
void __tsan_write_range(void* address, unsigned long bytes);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#elif defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulator::sanitizer {

#if defined(__SANITIZE_THREAD__)

constexpr bool RACES = true;

/** A fiber to the race detector; it costs 0.8 MB and is never given back. */
inline void* createFiber(const std::string& name) {
  void* fiber = __tsan_create_fiber(0);
  __tsan_set_fiber_name(fiber, name.c_str());
  return fiber;
}

inline void* currentFiber() { return __tsan_get_current_fiber(); }

/** While one lives, the calling fiber's accesses are the emulator's, not the kernel's. */
struct Hidden {
  Hidden() {
    AnnotateIgnoreReadsBegin("", 0);
    AnnotateIgnoreWritesBegin("", 0);
  }
  ~Hidden() {
    AnnotateIgnoreWritesEnd("", 0);
    AnnotateIgnoreReadsEnd("", 0);
  }
  Hidden(const Hidden&) = delete;
  Hidden& operator=(const Hidden&) = delete;
};

inline void acquire(const void* clock) { __tsan_acquire(const_cast<void*>(clock)); }
inline void release(const void* clock) { __tsan_release(const_cast<void*>(clock)); }
inline void reads(const void* address, size_t bytes) {
  __tsan_read_range(const_cast<void*>(address), bytes);
}
inline void writes(void* address, size_t bytes) { __tsan_write_range(address, bytes); }

#else

constexpr bool RACES = false;

inline void* createFiber(const std::string&) { return nullptr; }
inline void* currentFiber() { return nullptr; }

struct Hidden {
  Hidden() {}
};

inline void acquire(const void*) {}
inline void release(const void*) {}
inline void reads(const void*, size_t) {}
inline void writes(void*, size_t) {}

#endif

#if defined(__SANITIZE_ADDRESS__)
inline void forbid(const void* address, size_t bytes) { __asan_poison_memory_region(address, bytes); }
inline void allow(const void* address, size_t bytes) { __asan_unpoison_memory_region(address, bytes); }
#else
inline void forbid(const void*, size_t) {}
inline void allow(const void*, size_t) {}
#endif

}  // namespace emulator::sanitizer
