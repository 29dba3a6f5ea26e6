#include "fiber.h"

// Saves what the System V ABI says a callee preserves, then exchanges the stacks.
extern "C" void topknot_emulator_switch(void** save, void* resume);
asm(R"(
.text
.hidden topknot_emulator_switch
.globl topknot_emulator_switch
.type topknot_emulator_switch, @function
topknot_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size topknot_emulator_switch, . - topknot_emulator_switch
)");

namespace emulator {

namespace {

constexpr int SAVED_REGISTERS = 6;

#if defined(__SANITIZE_ADDRESS__)
// The worker's stack as AddressSanitizer told it on the way out.
thread_local const void* workerStack = nullptr;
thread_local size_t workerStackBytes = 0;

void announce(void** save, const Context& to) {
  const bool worker = to.stack == nullptr;
  __sanitizer_start_switch_fiber(save, worker ? workerStack : to.stack,
                                 worker ? workerStackBytes : to.stackBytes);
}

void complete(Context& self) {
  const void* stack = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(self.addressDetector, &stack, &bytes);
  if (self.stack != nullptr && workerStack == nullptr) {
    workerStack = stack;  // the first switch of all comes from the worker
    workerStackBytes = bytes;
  }
}
#else
void announce(void**, const Context&) {}
void complete(Context&) {}
#endif

// Not instrumented: between the detector's switch and the stacks' it would see the wrong fiber.
__attribute__((no_sanitize("thread"))) void exchange(Context& from, Context& to) {
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(to.raceDetector, 1);  // 1: a switch orders nothing
#endif
  topknot_emulator_switch(&from.stackPointer, to.stackPointer);
}

}  // namespace

void switchContext(Context& from, Context& to) {
  announce(&from.addressDetector, to);
  exchange(from, to);
  complete(from);
}

void leaveContext(Context& from, Context& to) {
  announce(nullptr, to);
  exchange(from, to);
  __builtin_unreachable();
}

void enterContext(Context& self) { complete(self); }

void prepareContext(Context& context, void (*entry)(), size_t stagger) {
  uintptr_t top = reinterpret_cast<uintptr_t>(context.stack) + context.stackBytes - stagger;
  top &= ~uintptr_t{63};
  auto* frame = reinterpret_cast<void**>(top) - 8;
  frame[0] = reinterpret_cast<void*>(entry);  // where the switch returns to
  frame[1] = nullptr;                         // and the end of every backtrace
  context.stackPointer = frame - SAVED_REGISTERS;
  context.addressDetector = nullptr;
}

}  // namespace emulator
