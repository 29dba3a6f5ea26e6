#include "block.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace emulator {

__thread Thread* current = nullptr;
__thread Block* block = nullptr;

namespace {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr size_t STACK_BYTES = 256 << 10;  // instrumented frames are large
#else
constexpr size_t STACK_BYTES = 64 << 10;
#endif
constexpr uint64_t STACK_MARK = 0x746F706B6E6F7421;

constexpr size_t SHARED_REDZONE = 1024;
constexpr size_t SHARED_MOST = 228 << 10;
// On a multiple of 16 and of nothing more, as a kernel may expect.
constexpr size_t SHARED_OFFSET = SHARED_REDZONE + 16;
// Where shared memory starts to the hardware, which keeps some for itself: as misaligned.
constexpr unsigned SHARED_PLACE = 1024 + 16;
constexpr int WARPGROUP = 128;

// Two for the barrier, then as many for each warp as it can have meetings under way, twice.
constexpr unsigned BARRIER_CLOCKS = 2;
constexpr unsigned WARP_CLOCKS = 64;

std::string place(Site site) {
  const char* slash = strrchr(site.file_name(), '/');
  return std::string(slash == nullptr ? site.file_name() : slash + 1) + ":" +
         std::to_string(site.line());
}

bool samePlace(Site a, Site b) {
  return a.line() == b.line() && strcmp(a.file_name(), b.file_name()) == 0;
}

}  // namespace

Block::Block() : sharedArena_(static_cast<char*>(aligned_alloc(1024, SHARED_MOST + 4096))) {
  if (sharedArena_ == nullptr) {
    throw std::bad_alloc();
  }
}

Block::~Block() {
  if (stacks_ != nullptr) {
    munmap(stacks_, STACK_BYTES * stackCount_);
  }
  sanitizer::allow(sharedArena_, SHARED_MOST + 4096);
  free(sharedArena_);
}

void Block::grow(int threads) {
  if (threads <= stackCount_) {
    return;
  }
  if (stacks_ != nullptr) {
    munmap(stacks_, STACK_BYTES * stackCount_);
    stacks_ = nullptr;
    stackCount_ = 0;
  }
  void* memory = mmap(nullptr, STACK_BYTES * threads, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    throw std::bad_alloc();
  }
  stacks_ = static_cast<char*>(memory);
  stackCount_ = threads;
  while (static_cast<int>(fibers_.size()) < threads) {
    fibers_.push_back(std::make_unique<Fiber>());
    fibers_.back()->context.raceDetector =
        sanitizer::createFiber("CUDA " + std::to_string(fibers_.size() - 1));
  }
  for (int i = 0; i < threads; i++) {
    Context& context = fibers_[i]->context;
    context.stack = stacks_ + STACK_BYTES * i;
    context.stackBytes = STACK_BYTES;
    memcpy(context.stack, &STACK_MARK, sizeof STACK_MARK);
  }
}

void Block::begin(const Launch& launch, int worker) {
  launch_ = &launch;
  threads_ = static_cast<int>(launch.block.x * launch.block.y * launch.block.z);
  grow(threads_);
  randomState_ = (launch.configuration.seed + 1) * 0x9E3779B97F4A7C15ull + worker;
  randomState_ |= 1;
  unsigned ring = 1;
  while (ring < static_cast<unsigned>(threads_)) {
    ring *= 2;
  }
  ready_.assign(ring, 0);
  warps_.assign((threads_ + 31) / 32, Warp());
  warpgroups_.resize((threads_ + WARPGROUP - 1) / WARPGROUP);
  clocks_.resize(BARRIER_CLOCKS + warps_.size() * WARP_CLOCKS);
  for (int i = 0; i < threads_; i++) {
    Fiber& fiber = *fibers_[i];
    const dim3 size = launch.block;
    fiber.rank = i;
    fiber.lane = i % 32;
    fiber.warp = i / 32;
    fiber.index = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
    fiber.blockSize = size;
    fiber.gridSize = launch.grid;
    warps_[fiber.warp].lanes |= 1u << fiber.lane;
  }
}

std::string Block::run(dim3 index) {
  sanitizer::Hidden hidden;
  block = this;
  error_.clear();
  round_++;
  prepareShared();
  prepareThreads(index);
  sanitizer::release(launch_->start);
  running_ = takeReady();
  current = &self();
  switchContext(worker_, self().context);
  std::string error = error_;
  if (error.empty()) {
    current = fibers_[0].get();
    error = damagedShared() + overflownStack();
  }
  sanitizer::allow(sharedArena_, SHARED_MOST + 4096);
  current = nullptr;
  block = nullptr;
  return error;
}

void Block::prepareThreads(dim3 index) {
  live_ = threads_;
  readyHead_ = readyTail_ = 0;
  atBarrier_.clear();
  barrierRound_ = 0;
  for (Warp& warp : warps_) {
    warp.arrived = 0;
    warp.nextClock = 0;
  }
  for (Warpgroup& group : warpgroups_) {
    group.arrived.clear();
    group.openProducts.clear();
    group.productGroups.clear();
  }
  worker_.raceDetector = sanitizer::currentFiber();
  for (int i = 0; i < threads_; i++) {
    Fiber& fiber = *fibers_[i];
    fiber.block = index;
    fiber.shared = shared_;
    fiber.exited = false;
    fiber.waitingFor = "its start";
    fiber.site = Site();
    fiber.mask = 0;
    fiber.openCopies.clear();
    fiber.copyGroups.clear();
    // Staggered, or the stacks' tops would all compete for the same lines of the cache.
    prepareContext(fiber.context, &Block::runThread, i * 576 & 0x3FFF);
    makeReady(i);
  }
}

void Block::prepareShared() {
  shared_ = sharedArena_ + SHARED_OFFSET;
  poison(shared_ - SHARED_REDZONE, launch_->sharedBytes + 2 * SHARED_REDZONE);
  sanitizer::forbid(shared_ - SHARED_REDZONE, SHARED_REDZONE);
  sanitizer::forbid(shared_ + launch_->sharedBytes, SHARED_REDZONE);
}

std::string Block::damagedShared() const {
  const size_t bytes = launch_->sharedBytes;
  sanitizer::allow(sharedArena_, SHARED_MOST + 4096);
  const long before = firstDamage(shared_ - SHARED_REDZONE, SHARED_REDZONE, 0);
  if (before >= 0) {
    return "shared memory was written " + std::to_string(SHARED_REDZONE - before) +
           " bytes before its start";
  }
  const long behind = firstDamage(shared_ + bytes, SHARED_REDZONE, bytes);
  if (behind >= 0) {
    return "shared memory was written at byte " + std::to_string(bytes + behind) +
           ", but the launch gave " + std::to_string(bytes) + " bytes";
  }
  return "";
}

std::string Block::overflownStack() const {
  for (int i = 0; i < threads_; i++) {
    if (memcmp(fibers_[i]->context.stack, &STACK_MARK, sizeof STACK_MARK) != 0) {
      return "thread " + std::to_string(i) + " used more than the emulator's " +
             std::to_string(STACK_BYTES >> 10) + " KiB of stack";
    }
  }
  return "";
}

void Block::runThread() {
  Block& block = *emulator::block;
  Fiber& self = block.self();
  enterContext(self.context);
  sanitizer::acquire(block.launch_->start);
  sanitizer::acquire(&block.ends_[(block.round_ + 1) % 2]);
  block.callKernel();
  sanitizer::release(&block.ends_[block.round_ % 2]);
  sanitizer::release(block.launch_->end);
  Context* next;
  {
    sanitizer::Hidden hidden;
    self.exited = true;
    int rank = -1;
    if (--block.live_ > 0) {
      rank = block.takeReady();
      if (rank < 0) {
        block.error_ = block.deadlock();
      }
    }
    if (rank < 0) {
      next = &block.worker_;
    } else {
      block.running_ = rank;
      current = &block.self();
      next = &block.self().context;
    }
  }
  leaveContext(self.context, *next);
}

void Block::callKernel() const {
  const uint64_t* p = launch_->parameters;
  launch_->kernel(p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10], p[11], p[12],
                  p[13], p[14], p[15], p[16], p[17], p[18], p[19], p[20], p[21], p[22], p[23]);
}

void Block::fail(const std::string& text) {
  error_ = "thread " + std::to_string(running_) + ": " + text;
  leaveContext(self().context, worker_);
}

// ---- Who runs next -----------------------------------------------------------------------------

uint64_t Block::random() {
  randomState_ ^= randomState_ << 13;
  randomState_ ^= randomState_ >> 7;
  randomState_ ^= randomState_ << 17;
  return randomState_;
}

void Block::makeReady(int rank) { ready_[readyTail_++ & (ready_.size() - 1)] = rank; }

int Block::takeReady() {
  if (readyHead_ == readyTail_) {
    return -1;
  }
  const size_t last = ready_.size() - 1;
  switch (launch_->configuration.schedule) {
    case Schedule::ASCENDING:
      return ready_[readyHead_++ & last];
    case Schedule::RANDOM: {
      const unsigned chosen = readyHead_ + static_cast<unsigned>(random() % (readyTail_ - readyHead_));
      std::swap(ready_[chosen & last], ready_[(readyTail_ - 1) & last]);
      break;
    }
    case Schedule::DESCENDING:
      break;
  }
  return ready_[--readyTail_ & last];
}

void Block::runNext() {
  const int rank = takeReady();
  if (rank < 0) {
    fail(deadlock());
  }
  Fiber& from = self();
  running_ = rank;
  Fiber& to = self();
  current = &to;
  if (&from != &to) {
    switchContext(from.context, to.context);
  }
}

void Block::waitHere(const char* what, Site site) {
  self().waitingFor = what;
  self().site = site;
  runNext();
}

std::string Block::deadlock() const {
  std::string text = "deadlock:";
  const auto told = [this](int rank) {
    const Fiber& fiber = *fibers_[rank];
    return fiber.exited ? std::string(" ended")
                        : std::string(" at ") + fiber.waitingFor + " (" + place(fiber.site) + ")";
  };
  for (int first = 0; first < threads_;) {
    int last = first;
    while (last + 1 < threads_ && told(last + 1) == told(first)) {
      last++;
    }
    text += (first == 0 ? " threads " : "; threads ") + std::to_string(first) + "-" +
            std::to_string(last) + told(first);
    first = last + 1;
  }
  return text;
}

// ---- Meetings ----------------------------------------------------------------------------------

void Block::barrier(Site site) {
  const char* clock;
  {
    sanitizer::Hidden hidden;
    // Two in turn: who leaves late must not see what others did before the next barrier.
    clock = clocks_.data() + (barrierRound_ & 1);
  }
  sanitizer::release(clock);
  {
    sanitizer::Hidden hidden;
    if (!atBarrier_.empty() && !samePlace(fibers_[atBarrier_[0]]->site, site)) {
      fail("this thread is at the __syncthreads of " + place(site) + ", thread " +
           std::to_string(atBarrier_[0]) + " at the one of " +
           place(fibers_[atBarrier_[0]]->site));
    }
    if (static_cast<int>(atBarrier_.size()) + 1 == threads_) {
      for (int rank : atBarrier_) {
        makeReady(rank);
      }
      atBarrier_.clear();
      barrierRound_++;
    } else {
      atBarrier_.push_back(running_);
      waitHere("__syncthreads", site);
    }
  }
  sanitizer::acquire(clock);
}

void Block::collective(unsigned mask, const char* operation, void* operands, Exchange exchange,
                       Site site) {
  Fiber* me;
  const char* clock;
  bool orders;
  {
    sanitizer::Hidden hidden;
    me = &self();
    Warp& warp = warps_[me->warp];
    if ((mask >> me->lane & 1) == 0) {
      fail(std::string(operation) + " at " + place(site) + ": its mask lacks the calling lane");
    }
    if ((mask & ~warp.lanes) != 0) {
      fail(std::string(operation) + " at " + place(site) +
           ": its mask names lanes that the block does not have");
    }
    const unsigned waiting = warp.arrived & mask;
    me->clock = waiting != 0
                    ? fibers_[me->warp * 32 + __builtin_ctz(waiting)]->clock
                    : clocks_.data() + BARRIER_CLOCKS + me->warp * WARP_CLOCKS +
                          (warp.nextClock++ % WARP_CLOCKS);
    clock = me->clock;
    // A shuffle or a vote carries its values; of memory it promises nothing.
    orders = strcmp(operation, "__syncwarp") == 0;
  }
  if (orders) {
    sanitizer::release(clock);
  }
  {
    sanitizer::Hidden hidden;
    meet(mask, operation, operands, exchange, site);
  }
  if (orders) {
    sanitizer::acquire(clock);
  }
}

void Block::meet(unsigned mask, const char* operation, void* operands, Exchange exchange,
                 Site site) {
  Fiber& me = self();
  Warp& warp = warps_[me.warp];
  me.operands = operands;
  me.mask = mask;
  warp.arrived |= 1u << me.lane;
  if ((warp.arrived & mask) != mask) {
    waitHere(operation, site);
    return;
  }
  void* all[32];
  for (int lane = 0; lane < 32; lane++) {
    all[lane] = nullptr;
    if ((mask >> lane & 1) == 0) {
      continue;
    }
    Fiber& other = *fibers_[me.warp * 32 + lane];
    if (lane != me.lane && (other.mask != mask || strcmp(other.waitingFor, operation) != 0 ||
                            !samePlace(other.site, site))) {
      char masks[64];
      snprintf(masks, sizeof masks, "masks %08x and %08x", mask, other.mask);
      fail(std::string("lanes of a warp disagree: lane ") + std::to_string(me.lane) + " is at " +
           operation + " (" + place(site) + "), lane " + std::to_string(lane) + " at " +
           other.waitingFor + " (" + place(other.site) + "), with " + masks);
    }
    all[lane] = other.operands;
  }
  exchange(all);
  warp.arrived &= ~mask;
  for (int lane = 0; lane < 32; lane++) {
    if (lane != me.lane && (mask >> lane & 1) != 0) {
      makeReady(me.warp * 32 + lane);
    }
  }
}

void Block::warpgroup(const char* operation, void* operands,
                      void (*exchange)(Warpgroup& group, void* const* operands)) {
  Fiber& me = self();
  Warpgroup& group = warpgroups_[me.rank / WARPGROUP];
  me.operands = operands;
  for (int rank : group.arrived) {
    if (strcmp(fibers_[rank]->waitingFor, operation) != 0) {
      fail(std::string("threads of a warpgroup disagree: this one is at ") + operation +
           ", thread " + std::to_string(rank) + " at " + fibers_[rank]->waitingFor);
    }
  }
  group.arrived.push_back(me.rank);
  if (group.arrived.size() < WARPGROUP) {
    waitHere(operation, Site());
    return;
  }
  void* all[WARPGROUP];
  for (int i = 0; i < WARPGROUP; i++) {
    all[i] = fibers_[me.rank / WARPGROUP * WARPGROUP + i]->operands;
  }
  exchange(group, all);
  for (int rank : group.arrived) {
    if (rank != me.rank) {
      makeReady(rank);
    }
  }
  group.arrived.clear();
}

const char* Block::sharedAt(unsigned place, unsigned bytes, const char* operation) const {
  const char* address = shared_ + (static_cast<long>(place) - SHARED_PLACE);
  requireShared(address, bytes, operation);
  return address;
}

unsigned Block::placeOfShared(const void* address) const {
  return static_cast<unsigned>(static_cast<const char*>(address) - shared_) + SHARED_PLACE;
}

void Block::requireShared(const void* address, unsigned bytes,
                          const char* operation) const {
  const long offset = static_cast<const char*>(address) - shared_;
  const long most = static_cast<long>(launch_->sharedBytes) - static_cast<long>(bytes);
  if (offset < 0 || offset > most) {
    emulator::fail("%s: %u bytes at byte %ld of shared memory, which has %zu", operation, bytes,
                   offset, launch_->sharedBytes);
  }
  if (offset % bytes != 0) {
    emulator::fail("%s: byte %ld of shared memory is no multiple of %u", operation, offset, bytes);
  }
}

// ---- What kernels call -------------------------------------------------------------------------

void fail(const char* format, ...) {
  sanitizer::Hidden hidden;
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  block->fail(text);
}

void barrier(Site site) { block->barrier(site); }

void collective(unsigned mask, const char* operation, void* operands, Exchange exchange,
                Site site) {
  block->collective(mask, operation, operands, exchange, site);
}

unsigned placeOfShared(const void* address) { return block->placeOfShared(address); }

void requireShared(const void* address, unsigned bytes, const char* operation) {
  block->requireShared(address, bytes, operation);
}

}  // namespace emulator
