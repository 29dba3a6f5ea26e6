// What g++ calls where a kernel does what C++ leaves undefined (-fsanitize=alignment, null, ...):
// these end the launch, not the process. Weak: beside a sanitizer its own library's are linked.
#include "language.h"

namespace {

/** How each of g++'s records starts. */
struct Record {
  const char* file;
  unsigned line, column;
};

[[noreturn]] void report(const Record* record, const char* what) {
  const char* name = record->file;
  for (const char* c = name; *c != 0; c++) {
    if (*c == '/') {
      name = c + 1;
    }
  }
  emulator::fail("%s at %s:%u", what, name, record->line);
}

}  // namespace

#define EMULATOR_HANDLER(name, what)                                      \
  extern "C" __attribute__((weak)) void __ubsan_handle_##name##_abort(    \
      const Record* record) {                                             \
    report(record, what);                                                 \
  }

extern "C" __attribute__((weak)) void __ubsan_handle_type_mismatch_v1_abort(const Record* record,
                                                                           unsigned long address) {
  report(record, address == 0 ? "access through a null pointer" : "misaligned access");
}
EMULATOR_HANDLER(divrem_overflow, "division by zero, or its overflow,")
EMULATOR_HANDLER(add_overflow, "overflow of a signed addition")
EMULATOR_HANDLER(sub_overflow, "overflow of a signed subtraction")
EMULATOR_HANDLER(mul_overflow, "overflow of a signed multiplication")
EMULATOR_HANDLER(negate_overflow, "overflow of a signed negation")
EMULATOR_HANDLER(shift_out_of_bounds, "shift by too much")
EMULATOR_HANDLER(out_of_bounds, "index outside of an array")
