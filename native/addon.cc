// The border to JavaScript. Every range is checked here, before a kernel touches memory; kernels trust their
// arguments. State belongs to one environment (a worker thread has its own); only the thread pool is shared
// by the process.
#define NAPI_VERSION 8
#include <node_api.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <new>

#include "extents.h"
#include "kernels.h"

namespace thalweg {
namespace {

constexpr int MOST_ARGUMENTS = 24;
constexpr int MAILBOX_SLOTS = 64;
constexpr double MOST_EXACT = 9007199254740991.0;

struct Row {
  const char* name;
  const char* sig;
  Extents extents;
  unsigned optional;
};

const Row rows[] = {
#define KERNEL(name, sig, extent, optional) {#name, sig, &extents::extent, optional},
#include "kernels.inc"
#undef KERNEL
};
constexpr int ROWS = sizeof rows / sizeof *rows;

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

struct Instance {
  Context context{1, {nullptr, 0}};
  Choices choices = supported();
  const KernelSet* set = choices.sets[0];
  char* base = nullptr;
  size_t bytes = 0;
  const double* mailbox = nullptr;
  /** Holds the heap, so that it outlives every call. */
  napi_ref heap = nullptr;
};

Instance* instanceOf(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return static_cast<Instance*>(data);
}

napi_value throwRange(napi_env env, const Row& row, int argument, const char* problem) {
  char text[160];
  std::snprintf(text, sizeof text, "native: %s: argument %d %s", row.name, argument, problem);
  napi_throw_range_error(env, nullptr, text);
  return nullptr;
}

bool isPointer(char letter) { return letter != 'n' && letter != 's'; }

/** Reads a number argument into `arg` and, for the extents, into `count`. */
bool readNumber(char letter, double value, Arg& arg, Count& count) {
  if (letter == 's') {
    arg.number = value;
    return true;
  }
  if (!(value >= 0 && value <= MOST_EXACT) || value != std::floor(value)) return false;
  arg.integer = static_cast<i64>(value);
  count = Count(arg.integer);
  return true;
}

/** Elements behind the pointer that is argument `k` and pointer `p` of the row. */
Count extentAt(const Row& row, const Count* e, int k, int p) {
  return row.sig[k] == 'f' ? e[row.sig[1] == 'f' ? 1 : MOST_POINTERS - 1] : e[p];
}

/** Runs a checked call; out of memory becomes an exception. */
napi_value run(napi_env env, Instance* instance, int row, const Arg* args) {
  try {
    instance->set->kernels[row](instance->context, args);
  } catch (const std::bad_alloc&) {
    char text[120];
    std::snprintf(text, sizeof text, "native: %s: no memory for packing", rows[row].name);
    napi_throw_error(env, "ERR_OUT_OF_MEMORY", text);
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
  if (!instance->base) return throwRange(env, row, 0, "came before the heap was attached");

  Arg args[MOST_ARGUMENTS];
  Count numbers[MOST_ARGUMENTS], e[MOST_POINTERS];
  const double* mail = instance->mailbox;
  int n = 0;
  for (int k = 0; row.sig[k]; ++k)
    if (!isPointer(row.sig[k]) && !readNumber(row.sig[k], mail[k], args[k], numbers[n++]))
      return throwRange(env, row, k, "is not a size");
  row.extents(numbers, e);
  int p = 0;
  for (int k = 0; row.sig[k]; ++k) {
    if (!isPointer(row.sig[k])) continue;
    const Count extent = extentAt(row, e, k, p++);
    const double offset = mail[k];
    const size_t bytes = instance->bytes;
    if (!(offset >= 0 && offset <= static_cast<double>(bytes)))
      return throwRange(env, row, k, "reaches outside the heap");
    const size_t at = static_cast<size_t>(offset);
    if (static_cast<double>(at) != offset || at % 4 != 0)
      return throwRange(env, row, k, "is not a whole element's place");
    if (at == 0 && (row.optional >> k & 1)) {
      args[k].pointer = nullptr;
      continue;
    }
    if (static_cast<uint64_t>(extent.value) > (bytes - at) / 4 || (at == 0 && extent.value > 0))
      return throwRange(env, row, k, "reaches outside the heap");
    args[k].pointer = instance->base + at;
  }
  return run(env, instance, index, args);
}

/** Checks one typed array (or null) against its letter and extent. */
bool readArray(napi_env env, const Row& row, int k, napi_value value, Count extent, Arg& arg) {
  napi_valuetype kind;
  napi_typeof(env, value, &kind);
  if (kind == napi_null && (row.optional >> k & 1)) {
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
  int p = 0;
  for (int k = 0; row.sig[k]; ++k)
    if (isPointer(row.sig[k]) && !readArray(env, row, k, values[k + 1], extentAt(row, e, k, p++), args[k]))
      return nullptr;
  return run(env, static_cast<Instance*>(data), index, args);
}

napi_value attach(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value values[2];
  void* data = nullptr;
  napi_get_cb_info(env, info, &argc, values, nullptr, &data);
  Instance* instance = static_cast<Instance*>(data);
  napi_typedarray_type type;
  size_t length = 0;
  void* memory = nullptr;
  double offset = -1;
  if (argc < 2 ||
      napi_get_typedarray_info(env, values[0], &type, &length, &memory, nullptr, nullptr) != napi_ok ||
      type != napi_uint8_array || !memory || napi_get_value_double(env, values[1], &offset) != napi_ok ||
      offset < 0 || std::fmod(offset, 8) != 0 || offset + MAILBOX_SLOTS * 8 > static_cast<double>(length)) {
    napi_throw_range_error(env, nullptr, "native: attach needs the heap and a mailbox inside it");
    return nullptr;
  }
  if (instance->heap) napi_delete_reference(env, instance->heap);
  napi_create_reference(env, values[0], 1, &instance->heap);
  // The heap is one run of memory that only grows; a part that is never touched still costs nothing.
  wantHugePages(memory, length);
  instance->base = static_cast<char*>(memory);
  instance->bytes = length;
  instance->mailbox = reinterpret_cast<const double*>(instance->base + static_cast<size_t>(offset));
  return nullptr;
}

napi_value text(napi_env env, const char* s) {
  napi_value value;
  napi_create_string_utf8(env, s, NAPI_AUTO_LENGTH, &value);
  return value;
}

napi_value kernelList(napi_env env, napi_callback_info) {
  napi_value list;
  napi_create_array_with_length(env, ROWS, &list);
  for (int k = 0; k < ROWS; ++k) {
    napi_value pair;
    napi_create_array_with_length(env, 2, &pair);
    napi_set_element(env, pair, 0, text(env, rows[k].name));
    napi_set_element(env, pair, 1, text(env, rows[k].sig));
    napi_set_element(env, list, k, pair);
  }
  return list;
}

napi_value isas(napi_env env, napi_callback_info) {
  const Choices& choices = instanceOf(env)->choices;
  napi_value list;
  napi_create_array_with_length(env, choices.count, &list);
  for (int k = 0; k < choices.count; ++k) napi_set_element(env, list, k, text(env, choices.sets[k]->isa));
  return list;
}

napi_value isa(napi_env env, napi_callback_info) { return text(env, instanceOf(env)->set->isa); }

napi_value setIsa(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value value;
  napi_get_cb_info(env, info, &argc, &value, nullptr, nullptr);
  char name[32] = "";
  size_t length = 0;
  if (argc > 0) napi_get_value_string_utf8(env, value, name, sizeof name, &length);
  Instance* instance = instanceOf(env);
  for (int k = 0; k < instance->choices.count; ++k)
    if (std::strcmp(instance->choices.sets[k]->isa, name) == 0) {
      instance->set = instance->choices.sets[k];
      return nullptr;
    }
  char message[120];
  std::snprintf(message, sizeof message, "native: this CPU or build has no instruction set '%s'", name);
  napi_throw_range_error(env, nullptr, message);
  return nullptr;
}

napi_value threads(napi_env env, napi_callback_info) {
  napi_value value;
  napi_create_int32(env, instanceOf(env)->context.threads, &value);
  return value;
}

napi_value setThreads(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value value;
  napi_get_cb_info(env, info, &argc, &value, nullptr, nullptr);
  double n = 0;
  if (argc < 1 || napi_get_value_double(env, value, &n) != napi_ok || !(n >= 1) || n != std::floor(n)) {
    napi_throw_range_error(env, nullptr, "native: threads must be a whole number of at least 1");
    return nullptr;
  }
  instanceOf(env)->context.threads = n > 256 ? 256 : static_cast<int>(n);
  return nullptr;
}

void destroy(napi_env, void* data, void*) {
  Instance* instance = static_cast<Instance*>(data);
  release(instance->context);
  delete instance;
  releasePool();
}

napi_value init(napi_env env, napi_value exports) {
  Instance* instance = new Instance;
  retainPool();
  instance->context.threads = availableCores();
  napi_set_instance_data(env, instance, destroy, nullptr);
  const struct {
    const char* name;
    napi_callback function;
  } functions[] = {{"attach", attach},         {"kernels", kernelList}, {"call", call},
                   {"callArrays", callArrays}, {"isas", isas},          {"isa", isa},
                   {"setIsa", setIsa},         {"threads", threads},    {"setThreads", setThreads}};
  for (const auto& f : functions) {
    napi_value function;
    napi_create_function(env, f.name, NAPI_AUTO_LENGTH, f.function, instance, &function);
    napi_set_named_property(env, exports, f.name, function);
  }
  return exports;
}

}  // namespace
}  // namespace thalweg

NAPI_MODULE_INIT() { return thalweg::init(env, exports); }
