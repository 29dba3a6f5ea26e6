// A libcuda.so.1 whose one device is this machine: memory is malloc's, and a module's kernels are
// those of an emulator library. What a module is loaded from is text: the library's path, then for
// each kernel a line with its name and its number of parameters, which a launch does not say.
// It holds what the runtime calls; JCuda's natives bind each function when it is first called.
// Work is done at once, but on a stream that does not block only when that is waited for. Only what
// is asked of a stream that captures is captured; work on the default stream, which waits for all
// that block, spoils the captures of these.

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <list>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace {

using Launch = const char* (*)(const char*, const unsigned[3], const unsigned[3],
                               unsigned long long, const unsigned long long*, int);

struct Module {
  Launch launch;
  std::map<std::string, int> parameters;
};

struct Function {
  Module* module;
  std::string name;
  int parameters;
  int shared = 48 << 10;
};

using Graph = std::vector<std::function<int()>>;

struct Stream {
  bool blocking;
  Graph* capturing = nullptr;
  bool spoilt = false;
  Graph late;
};

enum {
  FINE = 0,
  INVALID = 1,
  NO_MEMORY = 2,
  NOT_FOUND = 500,
  LAUNCH_FAILED = 719,
  CAPTURE_UNSUPPORTED = 900,
  CAPTURE_INVALIDATED = 901,
  CAPTURE_IMPLICIT = 906
};

constexpr unsigned long long MEMORY = 1ull << 30;
thread_local void* current = nullptr;
int context;
std::list<Stream> streams;

int run(const Graph& graph) {
  for (auto& action : graph) {
    if (int code = action()) {
      return code;
    }
  }
  return FINE;
}

Stream* find(void* handle) {
  for (Stream& stream : streams) {
    if (&stream == handle) {
      return &stream;
    }
  }
  return nullptr;
}

int onDefault(const std::function<int()>& action) {
  bool spoils = false;
  for (Stream& stream : streams) {
    if (stream.blocking && stream.capturing) {
      stream.spoilt = spoils = true;
    }
  }
  return spoils ? CAPTURE_IMPLICIT : action();
}

int act(void* on, std::function<int()> action) {
  if (current != &context) {
    return INVALID;
  }
  if (!on) {
    return onDefault(action);
  }
  Stream* stream = find(on);
  if (!stream) {
    return INVALID;
  }
  if (stream->capturing) {
    stream->capturing->push_back(action);
    return FINE;
  }
  if (stream->blocking) {
    return action();
  }
  stream->late.push_back(action);
  return FINE;
}

}  // namespace

extern "C" {

int cuInit(unsigned) { return getenv("TOPKNOT_NO_DEVICE") ? 100 : FINE; }
int cuDriverGetVersion(int* version) {
  *version = 12040;
  return FINE;
}
int cuDeviceGetCount(int* count) {
  *count = 1;
  return FINE;
}
int cuDeviceGet(int* device, int index) {
  *device = index;
  return index == 0 ? FINE : INVALID;
}
int cuDeviceGetName(char* name, int length, int) {
  snprintf(name, length, "host");
  return FINE;
}
int cuDeviceTotalMem_v2(size_t* bytes, int) {
  *bytes = MEMORY;
  return FINE;
}
int cuDeviceGetAttribute(int* value, int attribute, int) {
  *value = attribute == 75 ? 8 : attribute == 76 ? 6 : attribute == 97 ? 99 << 10 : 1;
  return FINE;
}
int cuDevicePrimaryCtxRetain(void** to, int) {
  *to = &context;
  return FINE;
}
int cuCtxSetCurrent(void* c) {
  current = c;
  return FINE;
}
int cuStreamCreate(void** to, unsigned flags) {
  streams.push_back({flags == 0});
  *to = &streams.back();
  return flags > 1 ? INVALID : FINE;
}
int cuStreamSynchronize(void* s) {
  Stream* stream = find(s);
  if (!stream) {
    return INVALID;
  }
  if (stream->capturing) {
    stream->spoilt = true;
    return CAPTURE_UNSUPPORTED;
  }
  int code = run(stream->late);
  stream->late.clear();
  return code;
}
int cuMemGetInfo_v2(size_t* free, size_t* total) {
  *free = *total = MEMORY;
  return FINE;
}
int cuMemAlloc_v2(unsigned long long* address, size_t bytes) {
  if (bytes > MEMORY) {
    return NO_MEMORY;
  }
  *address = reinterpret_cast<unsigned long long>(malloc(bytes));
  return FINE;
}
int cuMemFree_v2(unsigned long long address) {
  free(reinterpret_cast<void*>(address));
  return FINE;
}
int cuMemAllocHost_v2(void** to, size_t bytes) {
  *to = malloc(bytes);
  return FINE;
}
int cuMemFreeHost(void* block) {
  free(block);
  return FINE;
}
int cuMemcpyHtoDAsync_v2(unsigned long long to, const void* from, size_t bytes, void* s) {
  return act(s, [=] { return memcpy(reinterpret_cast<void*>(to), from, bytes), FINE; });
}
int cuMemcpyDtoHAsync_v2(void* to, unsigned long long from, size_t bytes, void* s) {
  return act(s, [=] { return memcpy(to, reinterpret_cast<void*>(from), bytes), FINE; });
}
int cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, size_t bytes, void* s) {
  return act(s, [=] {
    return memcpy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes), FINE;
  });
}
int cuMemsetD32Async(unsigned long long to, unsigned word, size_t words, void* s) {
  return act(s, [=] {
    for (size_t i = 0; i < words; i++) {
      reinterpret_cast<unsigned*>(to)[i] = word;
    }
    return FINE;
  });
}
int cuModuleLoadData(void** module, const void* image) {
  std::istringstream text(static_cast<const char*>(image));
  std::string path;
  std::getline(text, path);
  void* library = dlopen(path.c_str(), RTLD_NOW);
  if (!library) {
    return 209;
  }
  Module* loaded = new Module{reinterpret_cast<Launch>(dlsym(library, "emulator_launch")), {}};
  std::string name;
  int count;
  while (text >> name >> count) {
    loaded->parameters[name] = count;
  }
  *module = loaded;
  return FINE;
}
int cuModuleUnload(void* module) {
  delete static_cast<Module*>(module);
  return FINE;
}
int cuModuleGetFunction(void** function, void* module, const char* name) {
  Module* m = static_cast<Module*>(module);
  auto found = m->parameters.find(name);
  if (found == m->parameters.end()) {
    return NOT_FOUND;
  }
  *function = new Function{m, name, found->second};
  return FINE;
}
int cuFuncSetAttribute(void* function, int attribute, int value) {
  if (attribute != 8 || value > 99 << 10) {
    return INVALID;
  }
  static_cast<Function*>(function)->shared = value;
  return FINE;
}
int cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned shared, void* s, void** parameters, void**) {
  Function* f = static_cast<Function*>(function);
  if (static_cast<int>(shared) > f->shared) {
    return INVALID;
  }
  std::vector<unsigned long long> values;
  for (int i = 0; i < f->parameters; i++) {
    values.push_back(*static_cast<unsigned long long*>(parameters[i]));
  }
  return act(s, [=] {
    const unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
    const char* error =
        f->module->launch(f->name.c_str(), grid, block, shared, values.data(), f->parameters);
    if (error) {
      fprintf(stderr, "%s\n", error);
    }
    return error ? LAUNCH_FAILED : FINE;
  });
}
int cuStreamBeginCapture_v2(void* s, int) {
  Stream* stream = find(s);
  if (!stream || stream->capturing) {
    return INVALID;
  }
  stream->capturing = new Graph();
  stream->spoilt = false;
  return FINE;
}
int cuStreamEndCapture(void* s, void** graph) {
  Stream* stream = find(s);
  if (!stream || !stream->capturing) {
    return INVALID;
  }
  *graph = stream->spoilt ? nullptr : stream->capturing;
  if (stream->spoilt) {
    delete stream->capturing;
  }
  stream->capturing = nullptr;
  return stream->spoilt ? CAPTURE_INVALIDATED : FINE;
}
int cuGraphInstantiateWithFlags(void** executable, void* graph, unsigned long long) {
  *executable = new Graph(*static_cast<Graph*>(graph));
  return FINE;
}
int cuGraphDestroy(void* graph) {
  delete static_cast<Graph*>(graph);
  return FINE;
}
int cuGraphExecDestroy(void* graph) { return cuGraphDestroy(graph); }
int cuGraphLaunch(void* graph, void* s) {
  return act(s, [=] { return run(*static_cast<Graph*>(graph)); });
}
}
