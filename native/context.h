// What a kernel gets: its arguments, the threads it may use and scratch memory. Plain data and declarations
// only: this header is read by units of every instruction set, so it must not define a function that the
// linker could share.
#pragma once
#include <cstddef>
#include <cstdint>

namespace thalweg {

using i64 = int64_t;

/** One checked argument: a pointer (null when absent), an integer or a number, by the letter of the
 * signature. */
union Arg {
  void* pointer;
  i64 integer;
  double number;
};

/** Memory that a kernel packs into; kept from call to call and freed with its owner. */
struct Scratch {
  void* memory;
  size_t bytes;
};

/** The state of one JavaScript environment, as kernels see it. */
struct Context {
  int threads;
  Scratch scratch;
  /** Bytes of a core's second cache. */
  i64 l2;
};

/** At least `bytes` of scratch on a page's start; what was there is lost. Throws std::bad_alloc. */
void* reserve(Context& context, size_t bytes);
void release(Context& context);
/** Asks the system for huge pages behind a long range: kernels then miss the TLB less. */
void wantHugePages(void* memory, size_t bytes);
/** Throws std::bad_alloc. */
[[noreturn]] void outOfMemory();

/** Runs `work(data, task, worker)` for every task below `tasks`; `worker` is below `threads` and used by one
 * task at a time. */
using Work = void (*)(void* data, i64 task, int worker);
void runTasks(int threads, i64 tasks, Work work, void* data);
/** How often that has had more than one thread, in this process; modulo 2³². */
uint32_t sharedJobs();

/** Whether the calling thread takes subnormal numbers as 0 from now on; returns whether it did. Threads that
 * help with its tasks do as it does. */
bool flushSubnormals(bool on);

/** Cores that this process may use: affinity and the cgroup's quota. */
int availableCores();
/** Bytes of a core's second cache; 1 MiB where the system does not say. */
i64 secondCache();
/** An environment came or went; with the last one the pool's threads end. */
void retainPool();
void releasePool();

using Kernel = void (*)(Context& context, const Arg* args);

/** The kernels of one instruction set, in the order of kernels.inc. */
struct KernelSet {
  const char* isa;
  const Kernel* kernels;
};

}  // namespace thalweg
