// The border to JavaScript. Every range is checked here, before a kernel touches memory; kernels trust their
// arguments. State belongs to one environment (a worker thread has its own); only the thread pool is shared
// by the process.
// `call` and `callArrays` are on the way of every kernel and speak the C API; the rest is node-addon-api.
#define NAPI_VERSION 8
#include <napi.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "check.h"
#include "kernels.h"
#include "program.h"

namespace thalweg {
namespace {

constexpr int MAILBOX_SLOTS = 64;

/** Instruction sets of this build that the CPU has, best first. */
struct Choices {
  const KernelSet* sets[4];
  int count;
};

Choices supported() {
  Choices c{{}, 0};
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
    c.sets[c.count++] = &avx512::kernels;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) c.sets[c.count++] = &avx2::kernels;
  c.sets[c.count++] = &sse2::kernels;
#elif defined(__aarch64__)
  c.sets[c.count++] = &neon::kernels;
#endif
  return c;
}

/** What one environment owns, and its exports. */
class Instance : public Napi::Addon<Instance> {
 public:
  Instance(Napi::Env env, Napi::Object exports);
  ~Instance() {
    release(context);
    releasePool();
  }

  Context context{availableCores(), {nullptr, 0}, secondCache()};
  Choices choices = supported();
  const KernelSet* set = choices.sets[0];
  Heap memory{nullptr, 0};
  const double* mailbox = nullptr;
  /** Programs by their numbers; null for one that was forgotten. */
  std::vector<std::unique_ptr<Program>> programs;

 private:
  void attach(const Napi::CallbackInfo& info);
  Napi::Value prepare(const Napi::CallbackInfo& info);
  Napi::Value time(const Napi::CallbackInfo& info);
  void forget(const Napi::CallbackInfo& info);
  Napi::Value kernels(const Napi::CallbackInfo& info);
  Napi::Value isas(const Napi::CallbackInfo& info);
  Napi::Value isa(const Napi::CallbackInfo& info);
  void setIsa(const Napi::CallbackInfo& info);
  Napi::Value threads(const Napi::CallbackInfo& info);
  void setThreads(const Napi::CallbackInfo& info);
  Napi::Value jobs(const Napi::CallbackInfo& info);

  /** Holds the heap, so that it outlives every call. */
  Napi::ObjectReference heap_;
};

napi_value throwRange(napi_env env, const Row& row, int argument, const char* problem) {
  char text[160];
  std::snprintf(text, sizeof text, "native: %s: argument %d %s", row.name, argument, problem);
  napi_throw_range_error(env, nullptr, text);
  return nullptr;
}

napi_value throwNoMemory(napi_env env, const char* name) {
  char text[120];
  std::snprintf(text, sizeof text, "native: %s: no memory for packing", name);
  napi_throw_error(env, "ERR_OUT_OF_MEMORY", text);
  return nullptr;
}

/** Runs a checked call; out of memory becomes an exception. */
napi_value run(napi_env env, Instance* instance, int row, const Arg* args) {
  try {
    instance->set->kernels[row](instance->context, args);
  } catch (const std::bad_alloc&) {
    throwNoMemory(env, rows[row].name);
  }
  return nullptr;
}

bool rowOf(napi_env env, napi_value value, int32_t& row) {
  if (napi_get_value_int32(env, value, &row) == napi_ok && row >= 0 && row < ROWS) return true;
  napi_throw_range_error(env, nullptr, "native: no such kernel");
  return false;
}

napi_value call(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value value;
  void* data = nullptr;
  napi_get_cb_info(env, info, &argc, &value, nullptr, &data);
  Instance* instance = static_cast<Instance*>(data);
  int32_t index;
  if (argc < 1 || !rowOf(env, value, index)) return nullptr;
  const Row& row = rows[index];
  if (!instance->memory.base) return throwRange(env, row, 0, "came before the heap was attached");
  Arg args[MOST_ARGUMENTS];
  try {
    readCall(index, instance->mailbox, instance->memory, args);
  } catch (const Refusal& why) {
    return throwRange(env, row, why.argument, why.problem);
  }
  return run(env, instance, index, args);
}

/** Checks one typed array (or null) against its letter and extent. */
bool readArray(napi_env env, const Row& row, int k, napi_value value, Count extent, Arg& arg) {
  napi_valuetype kind;
  napi_typeof(env, value, &kind);
  if (kind == napi_null && (row.marks >> k & 1)) {
    arg.pointer = nullptr;
    return true;
  }
  const char letter = row.sig[k];
  const napi_typedarray_type want = letter == 'p' || letter == 'j' ? napi_int32_array
                                    : letter == 'r'                ? napi_uint32_array
                                                                   : napi_float32_array;
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok ||
      type != want) {
    char text[160];
    std::snprintf(text, sizeof text, "native: %s: argument %d is not a %s", row.name, k,
                  want == napi_int32_array    ? "Int32Array"
                  : want == napi_uint32_array ? "Uint32Array"
                                              : "Float32Array");
    napi_throw_type_error(env, nullptr, text);
    return false;
  }
  if (!data) length = 0;
  if (static_cast<uint64_t>(extent.value) > length) {
    throwRange(env, row, k, "reaches outside its array");
    return false;
  }
  arg.pointer = data;
  return true;
}

napi_value callArrays(napi_env env, napi_callback_info info) {
  size_t argc = MOST_ARGUMENTS;
  napi_value values[MOST_ARGUMENTS];
  void* data = nullptr;
  napi_get_cb_info(env, info, &argc, values, nullptr, &data);
  int32_t index;
  if (argc < 1 || !rowOf(env, values[0], index)) return nullptr;
  const Row& row = rows[index];
  if (std::strlen(row.sig) + 1 != argc)
    return throwRange(env, row, static_cast<int>(argc), "is missing or too many");

  Arg args[MOST_ARGUMENTS];
  Count numbers[MOST_ARGUMENTS], e[MOST_POINTERS];
  int n = 0;
  for (int k = 0; row.sig[k]; ++k) {
    if (isPointer(row.sig[k])) continue;
    double number;
    if (napi_get_value_double(env, values[k + 1], &number) != napi_ok ||
        !readNumber(row.sig[k], number, args[k], numbers[n++]))
      return throwRange(env, row, k, "is not a size");
  }
  row.extents(numbers, e);
  i64 sizes[MOST_ARGUMENTS];
  int p = 0;
  for (int k = 0; row.sig[k]; ++k) {
    if (!isPointer(row.sig[k])) continue;
    const Count extent = extentAt(row, e, k, p++);
    if (!readArray(env, row, k, values[k + 1], extent, args[k])) return nullptr;
    sizes[k] = args[k].pointer ? extent.value : 0;
  }
  const int shared = overlapping(row, args, sizes);
  if (shared >= 0) return throwRange(env, row, shared, "overlaps another");
  return run(env, static_cast<Instance*>(data), index, args);
}

/** The program of that number, or null. */
const Program* programOf(const Instance* instance, double number) {
  const auto& all = instance->programs;
  return number >= 0 && number < static_cast<double>(all.size()) ? all[static_cast<size_t>(number)].get()
                                                                 : nullptr;
}

napi_value runProgram(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value value;
  void* data = nullptr;
  napi_get_cb_info(env, info, &argc, &value, nullptr, &data);
  Instance* instance = static_cast<Instance*>(data);
  double number = -1;
  if (argc == 1) napi_get_value_double(env, value, &number);
  const Program* program = programOf(instance, number);
  if (!program) {
    napi_throw_range_error(env, nullptr, "native: no such program");
    return nullptr;
  }
  try {
    program->run(*instance->set, instance->context);
  } catch (const std::bad_alloc&) {
    throwNoMemory(env, "run");
  }
  return nullptr;
}

void Instance::attach(const Napi::CallbackInfo& info) {
  const auto refuse = [&] {
    throw Napi::RangeError::New(info.Env(), "native: attach needs the heap and a mailbox inside it");
  };
  if (!info[0].IsTypedArray() || !info[1].IsNumber()) refuse();
  if (info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) refuse();
  const Napi::Uint8Array heap = info[0].As<Napi::Uint8Array>();
  const double offset = info[1].As<Napi::Number>().DoubleValue();
  const size_t length = heap.ElementLength();
  uint8_t* memory = const_cast<uint8_t*>(heap.Data());
  if (!memory || offset < 0 || std::fmod(offset, 8) != 0 ||
      offset + MAILBOX_SLOTS * 8 > static_cast<double>(length))
    refuse();
  heap_ = Napi::Persistent(info[0].As<Napi::Object>());
  // The heap is one run of memory that only grows; a part that is never touched still costs nothing.
  wantHugePages(memory, length);
  this->memory = {reinterpret_cast<char*>(memory), length};
  mailbox = static_cast<const double*>(static_cast<const void*>(memory + static_cast<size_t>(offset)));
}

Napi::Value Instance::prepare(const Napi::CallbackInfo& info) {
  const double offset = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : -1;
  const double length = info[1].IsNumber() ? info[1].As<Napi::Number>().DoubleValue() : -1;
  const double workers = info[2].IsNumber() ? info[2].As<Napi::Number>().DoubleValue() : 0;
  const double end = static_cast<double>(memory.bytes);
  if (!(offset >= 0 && length >= 0 && offset + 8 * length <= end) || std::fmod(offset, 8) != 0 ||
      !(workers >= 1 && workers <= 256))
    throw Napi::RangeError::New(info.Env(), "native: the program reaches outside the heap");
  const char* code = memory.base + static_cast<size_t>(offset);
  try {
    programs.emplace_back(new Program(static_cast<const double*>(static_cast<const void*>(code)),
                                      static_cast<size_t>(length), memory, static_cast<int>(workers)));
  } catch (const Refusal& why) {
    char text[160];
    std::snprintf(text, sizeof text, "native: program: %s: argument %d %s", rows[why.row].name, why.argument,
                  why.problem);
    throw Napi::RangeError::New(info.Env(), text);
  }
  // Numbers of forgotten programs are used again, so a long life of many plans costs nothing.
  for (size_t k = 0; k + 1 < programs.size(); ++k)
    if (!programs[k]) {
      programs[k] = std::move(programs.back());
      programs.pop_back();
      return Napi::Number::New(info.Env(), static_cast<double>(k));
    }
  return Napi::Number::New(info.Env(), static_cast<double>(programs.size() - 1));
}

Napi::Value Instance::time(const Napi::CallbackInfo& info) {
  const Program* program =
      programOf(this, info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : -1);
  if (!program) throw Napi::RangeError::New(info.Env(), "native: no such program");
  Napi::Float64Array ns = Napi::Float64Array::New(info.Env(), program->size());
  try {
    program->run(*set, context, ns.Data());
  } catch (const std::bad_alloc&) {
    throwNoMemory(info.Env(), "run");
  }
  return ns;
}

void Instance::forget(const Napi::CallbackInfo& info) {
  const double number = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : -1;
  if (programOf(this, number)) programs[static_cast<size_t>(number)].reset();
}

Napi::Value Instance::kernels(const Napi::CallbackInfo& info) {
  Napi::Array list = Napi::Array::New(info.Env(), ROWS);
  for (int k = 0; k < ROWS; ++k) {
    Napi::Array pair = Napi::Array::New(info.Env(), 2);
    pair[0u] = rows[k].name;
    pair[1u] = rows[k].sig;
    list[static_cast<uint32_t>(k)] = pair;
  }
  return list;
}

Napi::Value Instance::isas(const Napi::CallbackInfo& info) {
  Napi::Array list = Napi::Array::New(info.Env(), choices.count);
  for (int k = 0; k < choices.count; ++k) list[k] = choices.sets[k]->isa;
  return list;
}

Napi::Value Instance::isa(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), set->isa); }

void Instance::setIsa(const Napi::CallbackInfo& info) {
  const std::string name = info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : "";
  for (int k = 0; k < choices.count; ++k)
    if (name == choices.sets[k]->isa) {
      set = choices.sets[k];
      return;
    }
  throw Napi::RangeError::New(info.Env(), "native: this CPU or build has no instruction set '" + name + "'");
}

Napi::Value Instance::threads(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), context.threads);
}

void Instance::setThreads(const Napi::CallbackInfo& info) {
  const double n = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : 0;
  if (!(n >= 1 && n <= MOST_EXACT) || n != std::floor(n))
    throw Napi::RangeError::New(info.Env(), "native: threads must be a whole number of at least 1");
  context.threads = n > 256 ? 256 : static_cast<int>(n);
}

Napi::Value Instance::jobs(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), sharedJobs());
}

Instance::Instance(Napi::Env env, Napi::Object exports) {
  retainPool();
  DefineAddon(exports,
              {InstanceMethod("attach", &Instance::attach), InstanceMethod("kernels", &Instance::kernels),
               InstanceMethod("prepare", &Instance::prepare), InstanceMethod("time", &Instance::time),
               InstanceMethod("forget", &Instance::forget), InstanceMethod("isas", &Instance::isas),
               InstanceMethod("isa", &Instance::isa), InstanceMethod("setIsa", &Instance::setIsa),
               InstanceMethod("threads", &Instance::threads),
               InstanceMethod("setThreads", &Instance::setThreads), InstanceMethod("jobs", &Instance::jobs)});
  const auto define = [&](const char* name, napi_callback callback) {
    napi_value function;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, this, &function);
    exports[name] = Napi::Value(env, function);
  };
  define("call", call);
  define("callArrays", callArrays);
  define("run", runProgram);
}

}  // namespace
}  // namespace thalweg

using thalweg::Instance;
NODE_API_ADDON(Instance)
