// Replays a recording of a device's work. Built by g++ together with kernels and emulator, plain or
// with a sanitizer; or alone, by g++ or nvcc, to launch the kernels of a cubin on a GPU (README.md has
// the command lines):
//
//   replay RECORDING OUTPUT [ascending|descending|random [eager|lazy]]
//   replay RECORDING OUTPUT CUBIN
//
// The file's format is told by Recording.java. OUTPUT receives what the recording read back.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace {

[[noreturn]] void die(const std::string& text) {
  std::fprintf(stderr, "replay: %s\n", text.c_str());
  std::exit(1);
}

}  // namespace

// ---- The device: the emulator, or a GPU --------------------------------------------------------

#ifdef TOPKNOT_HOST

#include "emulator/abi.h"

namespace {

void require(const char* error) {
  if (error != nullptr) {
    die(error);
  }
}

char* allocate(uint64_t bytes) {
  void* memory = emulator_allocate(bytes);
  if (memory == nullptr) {
    die("no memory for " + std::to_string(bytes) + " bytes");
  }
  return static_cast<char*>(memory);
}

void copyIn(char* to, const char* from, uint64_t bytes) { std::memcpy(to, from, bytes); }
void copyOut(char* to, const char* from, uint64_t bytes) { std::memcpy(to, from, bytes); }
void copyWithin(char* to, const char* from, uint64_t bytes) { std::memmove(to, from, bytes); }
void fill(char* to, int value, uint64_t bytes) { std::memset(to, value, bytes); }

void launch(const std::string& kernel, const unsigned grid[3], const unsigned block[3],
            uint64_t shared, std::vector<unsigned long long>& parameters) {
  require(emulator_launch(kernel.c_str(), grid, block, shared, parameters.data(),
                          static_cast<int>(parameters.size())));
}

void configure(int argc, char** argv) {
  const std::string schedule = argc > 3 ? argv[3] : "ascending";
  const bool eager = argc > 4 && std::string(argv[4]) == "eager";
  emulator_configure(schedule == "random" ? 2 : schedule == "descending" ? 1 : 0, eager, 1, 1);
}

}  // namespace

#else

#include <dlfcn.h>

// The driver is taken as it lies on the machine, and so are its functions' types: nothing of CUDA
// is needed to build this.
namespace {

using Address = unsigned long long;

template <typename Type>
Type* driver(const char* name) {
  static void* const library = dlopen("libcuda.so.1", RTLD_NOW);
  void* function = library == nullptr ? nullptr : dlsym(library, name);
  if (function == nullptr) {
    die(std::string("no CUDA driver, or one without ") + name);
  }
  return reinterpret_cast<Type*>(function);
}

/** Calls a function of the driver; ends the program, with the driver's words, if that fails. */
template <typename... Parameters>
void call(const char* name, Parameters... parameters) {
  const int result = driver<int(Parameters...)>(name)(parameters...);
  if (result != 0) {
    const char* text = "unknown error";
    driver<int(int, const char**)>("cuGetErrorString")(result, &text);
    die(std::string(name) + ": " + text);
  }
}

void* kernels;

Address device(const char* address) { return reinterpret_cast<Address>(address); }

char* allocate(uint64_t bytes) {
  Address memory = 0;
  call<Address*, size_t>("cuMemAlloc_v2", &memory, bytes);
  // NaN, as in the emulator.
  call<Address, unsigned char, size_t>("cuMemsetD8_v2", memory, 0xFF, bytes);
  return reinterpret_cast<char*>(memory);
}

void copyIn(char* to, const char* from, uint64_t bytes) {
  call<Address, const void*, size_t>("cuMemcpyHtoD_v2", device(to), from, bytes);
}
void copyOut(char* to, const char* from, uint64_t bytes) {
  call<void*, Address, size_t>("cuMemcpyDtoH_v2", to, device(from), bytes);
}
void copyWithin(char* to, const char* from, uint64_t bytes) {
  call<Address, Address, size_t>("cuMemcpyDtoD_v2", device(to), device(from), bytes);
}
void fill(char* to, int value, uint64_t bytes) {
  call<Address, unsigned char, size_t>("cuMemsetD8_v2", device(to),
                                       static_cast<unsigned char>(value), bytes);
}

void launch(const std::string& kernel, const unsigned grid[3], const unsigned block[3],
            uint64_t shared, std::vector<unsigned long long>& parameters) {
  std::fprintf(stderr, "%s\n", kernel.c_str());  // so that a failure is seen to be this one's
  void* function = nullptr;
  call<void**, void*, const char*>("cuModuleGetFunction", &function, kernels, kernel.c_str());
  if (shared > 48 << 10) {
    constexpr int MOST_DYNAMIC_SHARED_BYTES = 8;
    call<void*, int, int>("cuFuncSetAttribute", function, MOST_DYNAMIC_SHARED_BYTES,
                          static_cast<int>(shared));
  }
  std::vector<void*> addresses;
  for (unsigned long long& parameter : parameters) {
    addresses.push_back(&parameter);
  }
  call<void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**,
       void**>("cuLaunchKernel", function, grid[0], grid[1], grid[2], block[0], block[1], block[2],
               static_cast<unsigned>(shared), nullptr, addresses.data(), nullptr);
  call<>("cuCtxSynchronize");
}

void configure(int argc, char** argv) {
  if (argc < 4) {
    die("on a GPU the third argument is a cubin or PTX file");
  }
  int gpu = 0;
  void* context = nullptr;
  call<unsigned>("cuInit", 0);
  call<int*, int>("cuDeviceGet", &gpu, 0);
  call<void**, int>("cuDevicePrimaryCtxRetain", &context, gpu);
  call<void*>("cuCtxSetCurrent", context);
  call<void**, const char*>("cuModuleLoad", &kernels, argv[3]);
}

}  // namespace

#endif

// ---- The recording -----------------------------------------------------------------------------

namespace {

class File {
 public:
  File(const char* path, const char* mode) : path_(path), file_(std::fopen(path, mode)) {
    if (file_ == nullptr) {
      die("cannot open " + path_);
    }
  }
  ~File() { std::fclose(file_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  /** False at the file's end. */
  bool next(uint32_t& kind) { return std::fread(&kind, sizeof kind, 1, file_) == 1; }

  template <typename T>
  T get() {
    T value;
    get(reinterpret_cast<char*>(&value), sizeof value);
    return value;
  }

  void get(char* to, uint64_t bytes) {
    if (std::fread(to, 1, bytes, file_) != bytes) {
      die(path_ + " ends within a record");
    }
  }

  void put(const char* from, uint64_t bytes) {
    if (std::fwrite(from, 1, bytes, file_) != bytes) {
      die("cannot write " + path_);
    }
  }

 private:
  std::string path_;
  std::FILE* file_;
};

class Replay {
 public:
  Replay(File& in, File& out) : in_(in), out_(out) {}

  void run() {
    char magic[8];
    in_.get(magic, sizeof magic);
    if (std::memcmp(magic, "TOPKNOT1", sizeof magic) != 0) {
      die("not a recording of a kind known here");
    }
    for (uint32_t kind; in_.next(kind);) {
      switch (kind) {
        case 1:
          add();
          break;
        case 2:
          write();
          break;
        case 3:
          launchKernel();
          break;
        case 4:
          read();
          break;
        case 5:
          copy();
          break;
        case 6:
          set();
          break;
        default:
          die("record of unknown kind " + std::to_string(kind));
      }
    }
  }

  unsigned launches() const { return launches_; }

 private:
  struct Allocation {
    char* start = nullptr;
    uint64_t bytes = 0;
  };

  struct Range {
    char* start;
    uint64_t bytes;  // to the allocation's end
  };

  void add() {
    const auto id = in_.get<uint64_t>(), bytes = in_.get<uint64_t>();
    allocations_[id] = {allocate(bytes), bytes};
  }

  Range place() {
    const auto id = in_.get<uint64_t>(), offset = in_.get<uint64_t>();
    const auto found = allocations_.find(id);
    if (found == allocations_.end() || offset > found->second.bytes) {
      die("no allocation " + std::to_string(id) + " of more than " + std::to_string(offset) +
          " bytes");
    }
    return {found->second.start + offset, found->second.bytes - offset};
  }

  uint64_t length(const Range& range) {
    const auto bytes = in_.get<uint64_t>();
    if (bytes > range.bytes) {
      die(std::to_string(bytes) + " bytes where " + std::to_string(range.bytes) + " are left");
    }
    return bytes;
  }

  void write() {
    const Range to = place();
    buffer_.resize(length(to));
    in_.get(buffer_.data(), buffer_.size());
    copyIn(to.start, buffer_.data(), buffer_.size());
  }

  void read() {
    const Range from = place();
    buffer_.resize(length(from));
    copyOut(buffer_.data(), from.start, buffer_.size());
    out_.put(buffer_.data(), buffer_.size());
  }

  void copy() {
    const Range to = place(), from = place();
    const uint64_t bytes = length(to.bytes < from.bytes ? to : from);
    copyWithin(to.start, from.start, bytes);
  }

  void set() {
    const Range to = place();
    const uint64_t bytes = length(to);
    fill(to.start, static_cast<int>(in_.get<uint32_t>()), bytes);
  }

  void launchKernel() {
    std::string name(in_.get<uint32_t>(), ' ');
    in_.get(&name[0], name.size());
    unsigned grid[3], block[3];
    in_.get(reinterpret_cast<char*>(grid), sizeof grid);
    in_.get(reinterpret_cast<char*>(block), sizeof block);
    const auto shared = in_.get<uint64_t>();
    const auto count = in_.get<uint32_t>();
    if (count > 24) {
      die(name + " has " + std::to_string(count) + " parameters, more than 24");
    }
    std::vector<unsigned long long> parameters;
    for (uint32_t i = 0; i < count; i++) {
      if (in_.get<uint32_t>() == 1) {
        parameters.push_back(reinterpret_cast<unsigned long long>(place().start));
      } else {
        in_.get<uint64_t>();
        parameters.push_back(in_.get<uint64_t>());
      }
    }
    launch(name, grid, block, shared, parameters);
    launches_++;
  }

  File& in_;
  File& out_;
  std::map<uint64_t, Allocation> allocations_;
  std::vector<char> buffer_;
  unsigned launches_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    die("usage: replay RECORDING OUTPUT [CUBIN or schedule [eager]]");
  }
  configure(argc, argv);
  File in(argv[1], "rb"), out(argv[2], "wb");
  Replay replay(in, out);
  replay.run();
  std::printf("replayed %u launches\n", replay.launches());
}
