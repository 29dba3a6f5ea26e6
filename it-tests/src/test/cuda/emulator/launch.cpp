// Launches: finds the kernel, shares its blocks among workers, reports the first error.
#include <dlfcn.h>

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "abi.h"
#include "block.h"
#include "fault.h"

namespace emulator {

namespace {

// As the hardware has them.
constexpr unsigned MOST_THREADS = 1024;
constexpr size_t MOST_SHARED = 227 << 10;

Configuration configuration;
std::mutex launching;
// Kept from launch to launch: mapping and touching the stacks costs more than a small kernel.
std::vector<std::unique_ptr<Block>> workers;

// The race detector sees no race between blocks that run in the same place.
constexpr int PLACES = sanitizer::RACES ? 2 : 1;

char startClock, endClock;

/** The library or program that this code is part of. */
void* self() {
  Dl_info info;
  void* library = nullptr;
  if (dladdr(reinterpret_cast<void*>(&emulator_launch), &info) != 0) {
    library = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
  }
  return library != nullptr ? library : dlopen(nullptr, RTLD_NOW);
}

Kernel find(const char* name) {
  static void* const library = self();
  return reinterpret_cast<Kernel>(dlsym(library, name));
}

std::string told(dim3 size) {
  return "(" + std::to_string(size.x) + ", " + std::to_string(size.y) + ", " +
         std::to_string(size.z) + ")";
}

/** The order in which blocks run, as a permutation that needs no table. */
class Order {
 public:
  Order(const Configuration& configuration, uint64_t blocks)
      : schedule_(configuration.schedule), blocks_(blocks) {
    const uint64_t mixed = (configuration.seed + 1) * 0x9E3779B97F4A7C15ull;
    start_ = (mixed >> 32) % blocks;
    stride_ = mixed % blocks;
    while (greatestCommonDivisor(stride_, blocks) != 1) {
      stride_++;
    }
  }

  uint64_t at(uint64_t i) const {
    switch (schedule_) {
      case Schedule::DESCENDING:
        return blocks_ - 1 - i;
      case Schedule::RANDOM:
        return static_cast<uint64_t>((static_cast<unsigned __int128>(i) * stride_ + start_) %
                                     blocks_);
      case Schedule::ASCENDING:
        break;
    }
    return i;
  }

 private:
  static uint64_t greatestCommonDivisor(uint64_t a, uint64_t b) {
    return b == 0 ? a : greatestCommonDivisor(b, a % b);
  }

  Schedule schedule_;
  uint64_t blocks_, start_, stride_;
};

std::string run(const Launch& launch) {
  const dim3 grid = launch.grid;
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  const Order order(launch.configuration, blocks);
  std::atomic<uint64_t> next{0};
  std::mutex failing;
  std::string error;
  const auto work = [&](int worker) {
    sanitizer::Hidden hidden;
    for (int place = 0; place < PLACES; place++) {
      workers[worker * PLACES + place]->begin(launch, worker);
    }
    for (uint64_t i; (i = next++) < blocks;) {
      Block& block = *workers[worker * PLACES + i % PLACES];
      const uint64_t k = order.at(i);
      const dim3 index{static_cast<unsigned>(k % grid.x),
                       static_cast<unsigned>(k / grid.x % grid.y),
                       static_cast<unsigned>(k / grid.x / grid.y)};
      const std::string text = block.run(index);
      if (!text.empty()) {
        std::lock_guard<std::mutex> lock(failing);
        if (error.empty()) {
          error = "block " + told(index) + ", " + text;
        }
        next = blocks;
      }
    }
  };
  const int count = static_cast<int>(
      std::min<uint64_t>(std::max(1, launch.configuration.workers), blocks));
  while (static_cast<int>(workers.size()) < count * PLACES) {
    workers.push_back(std::make_unique<Block>());
  }
  std::vector<std::thread> others;
  for (int i = 1; i < count; i++) {
    others.emplace_back(work, i);
  }
  work(0);
  for (std::thread& other : others) {
    other.join();
  }
  if (!error.empty()) {
    workers.clear();  // their fibers were left in the middle of something
  }
  return error;
}

std::string refusal(const Launch& launch, int count) {
  const dim3 grid = launch.grid, block = launch.block;
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (launch.kernel == nullptr) {
    return "is not among the library's kernels";
  }
  if (uint64_t{grid.x} * grid.y * grid.z == 0 || grid.x > 0x7FFFFFFF || grid.y > 65535 ||
      grid.z > 65535) {
    return "cannot have the grid " + told(grid);
  }
  if (threads == 0 || threads > MOST_THREADS) {
    return "cannot have the block " + told(block) + ": 1 to 1024 threads";
  }
  if (launch.sharedBytes > MOST_SHARED) {
    return "cannot have " + std::to_string(launch.sharedBytes) + " bytes of shared memory";
  }
  if (count < 0 || count > EMULATOR_PARAMETERS) {
    return "cannot have " + std::to_string(count) + " parameters: at most 24";
  }
  return "";
}

}  // namespace

std::string checkAllocations();

}  // namespace emulator

using namespace emulator;

void emulator_configure(int schedule, int eager, unsigned long long seed, int workers) {
  std::lock_guard<std::mutex> lock(launching);
  configuration = {static_cast<Schedule>(schedule), eager != 0, seed, workers};
}

const char* emulator_launch(const char* kernel, const unsigned grid[3], const unsigned block[3],
                            unsigned long long shared, const unsigned long long* parameters,
                            int count) {
  static thread_local std::string text;
  sanitizer::Hidden hidden;
  std::lock_guard<std::mutex> lock(launching);
  watchFaults();
  Launch launch{};
  launch.kernel = find(kernel);
  launch.grid = {grid[0], grid[1], grid[2]};
  launch.block = {block[0], block[1], block[2]};
  launch.sharedBytes = shared;
  launch.configuration = configuration;
  launch.start = &startClock;
  launch.end = &endClock;
  std::string error = refusal(launch, count);
  if (error.empty()) {
    // What is not given is poison as well.
    poison(launch.parameters, sizeof launch.parameters);
    for (int i = 0; i < count; i++) {
      launch.parameters[i] = parameters[i];
    }
    sanitizer::release(&startClock);
    error = run(launch);
    sanitizer::acquire(&endClock);
    if (error.empty()) {
      error = checkAllocations();
    }
  }
  if (error.empty()) {
    return nullptr;
  }
  text = std::string("kernel ") + kernel + ": " + error;
  return text.c_str();
}
