#include "fault.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)

void emulator::watchFaults() {}  // the sanitizers tell more

#else

#include <dlfcn.h>
#include <signal.h>

#include "abi.h"
#include "block.h"

namespace emulator {

namespace {

struct sigaction before[NSIG];

void handle(int signal, siginfo_t* info, void* context) {
  if (block != nullptr && current != nullptr) {
    // Leaves the signal handler for good, which SA_NODEFER allows: nothing is left blocked.
    fail("access to the address %p, which nothing is at", info->si_addr);
  }
  // Not a kernel's: a virtual machine, for one, lives by such signals.
  const struct sigaction& next = before[signal];
  if ((next.sa_flags & SA_SIGINFO) != 0) {
    next.sa_sigaction(signal, info, context);
  } else if (next.sa_handler != SIG_DFL && next.sa_handler != SIG_IGN) {
    next.sa_handler(signal);
  } else {
    sigaction(signal, &next, nullptr);  // and the access, repeated, ends the process
  }
}

}  // namespace

void watchFaults() {
  static const bool watching = [] {
    // The handler stays, and so must its code.
    Dl_info info;
    if (dladdr(reinterpret_cast<void*>(&emulator_launch), &info) != 0) {
      dlopen(info.dli_fname, RTLD_NOW | RTLD_NODELETE);
    }
    for (int signal : {SIGSEGV, SIGBUS}) {
      sigaction(signal, nullptr, &before[signal]);
      struct sigaction ours = before[signal];
      ours.sa_sigaction = handle;
      ours.sa_flags |= SA_SIGINFO | SA_NODEFER;
      sigaction(signal, &ours, nullptr);
    }
    return true;
  }();
  static_cast<void>(watching);
}

}  // namespace emulator

#endif
