// One block of threads: fibers, who runs next, the barrier, the warps' meetings, shared memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "abi.h"
#include "fiber.h"
#include "memory.h"
#include "warp.h"

namespace emulator {

/** Who runs next, and in which order the blocks come. */
enum class Schedule {
  ASCENDING,   // first come, first served: the threads in lockstep
  DESCENDING,  // the last made ready runs first: each warp far ahead of the others
  RANDOM,
};

struct Configuration {
  Schedule schedule = Schedule::ASCENDING;
  bool eager = false;  // asynchronous copies land when issued, not when waited for
  uint64_t seed = 1;
  int workers = 1;
};

struct AsyncCopy {
  char* shared;
  const char* source;  // null: zeros
  unsigned bytes;
};

/** A product of a warpgroup (wgmma) that was started: operands' descriptors, each thread's sums. */
struct GroupProduct {
  uint64_t a, b;
  bool aColumns, bColumns;  // k along the columns
  int columns;              // of d
  float* d[128];
};

/** What the 128 threads of a warpgroup do together. */
struct Warpgroup {
  std::vector<int> arrived;
  std::vector<GroupProduct> openProducts;
  std::vector<std::vector<GroupProduct>> productGroups;
};

/** One CUDA thread's fiber. */
struct Fiber : Thread {
  Context context;
  bool exited = false;
  const char* waitingFor = "";
  Site site;
  // In a warp's meeting:
  unsigned mask = 0;
  void* operands = nullptr;
  const char* clock = nullptr;
  // cp.async:
  std::vector<AsyncCopy> openCopies;
  std::vector<std::vector<AsyncCopy>> copyGroups;
};

/** A kernel, given all parameters there can be: one with fewer leaves the rest alone. */
using Kernel = void (*)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                        uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                        uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                        uint64_t, uint64_t, uint64_t);

/** A kernel and its parameters, as the host launches it. */
struct Launch {
  Kernel kernel;
  uint64_t parameters[EMULATOR_PARAMETERS];
  dim3 grid, block;
  size_t sharedBytes;
  Configuration configuration;
  const char* start;  // the detector's clocks: what happened before the launch,
  const char* end;    // and what happens after it
};

/**
 * Runs blocks of one launch after another on the calling OS thread. To the race detector they are
 * ordered, as they share stacks and shared memory; what two of these run is not.
 */
class Block {
 public:
  Block();
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  /** Readies stacks and tables for a launch; worker seeds the random schedule. */
  void begin(const Launch& launch, int worker);

  /** Runs one block to its end; returns the error text, empty if there was none. */
  std::string run(dim3 index);

  // Called on fibers:
  [[noreturn]] void fail(const std::string& text);
  void barrier(Site site);
  void collective(unsigned mask, const char* operation, void* operands, Exchange exchange,
                  Site site);
  /** Waits for all threads of the warpgroup; the last to arrive calls exchange(group, operands). */
  void warpgroup(const char* operation, void* operands,
                 void (*exchange)(Warpgroup& group, void* const* operands));
  void requireShared(const void* address, unsigned bytes, const char* operation) const;
  /** The shared memory that starts at a place, as the hardware counts, of which it has `bytes`. */
  const char* sharedAt(unsigned place, unsigned bytes, const char* operation) const;
  unsigned placeOfShared(const void* address) const;
  Fiber& self() { return *fibers_[running_]; }
  bool eager() const { return launch_->configuration.eager; }

 private:
  static void runThread();

  void grow(int threads);
  void prepareThreads(dim3 index);
  void prepareShared();
  std::string damagedShared() const;
  void callKernel() const;
  std::string overflownStack() const;

  void makeReady(int rank);
  int takeReady();
  void runNext();
  void waitHere(const char* what, Site site);
  void meet(unsigned mask, const char* operation, void* operands, Exchange exchange, Site site);
  std::string deadlock() const;
  uint64_t random();

  struct Warp {
    unsigned arrived = 0;   // lanes that wait in a meeting
    unsigned nextClock = 0;
    unsigned lanes = 0;     // that exist
  };

  const Launch* launch_ = nullptr;
  Context worker_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  char* stacks_ = nullptr;
  int stackCount_ = 0;

  int threads_ = 0, live_ = 0, running_ = 0;
  std::string error_;
  uint64_t randomState_ = 1;

  std::vector<int> ready_;  // a ring
  unsigned readyHead_ = 0, readyTail_ = 0;

  std::vector<int> atBarrier_;
  unsigned barrierRound_ = 0;
  std::vector<Warp> warps_;
  std::vector<Warpgroup> warpgroups_;

  char* sharedArena_ = nullptr;  // redzone, shared memory, redzone
  char* shared_ = nullptr;
  // See sanitizer.h: the barrier's and the warps' clocks, and, in turn, those of this place's last
  // block and of this one: a thread that starts late must not see what others of its block did.
  std::vector<char> clocks_;
  char ends_[2] = {};
  unsigned round_ = 0;
};

/** The block that runs on this OS thread. */
extern __thread Block* block;

}  // namespace emulator
