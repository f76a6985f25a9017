// The thread pool of the process. Every worker has a share of the tasks, neighbours and the same ones in each
// call of a size, so that what a core has in its cache from one call serves the next; who is done takes from
// the others. Tasks never depend on who runs them, so results are the same for any number of threads. A
// second caller while the pool is busy does its work alone. Whether subnormal numbers are flushed is the
// caller's choice, which its helpers take over.
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>

#include "context.h"
#include "control.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <condition_variable>

namespace thalweg {
namespace {

constexpr int MAX_WORKERS = 255;
using Clock = std::chrono::steady_clock;
/** How long a worker turns before it parks: longer than JavaScript takes between two steps where it copies
 * some hundred KiB of inputs, as waking costs as much as a kernel. Not a number of turns, since a pause takes
 * four times as long on one processor as on another. */
constexpr std::chrono::microseconds PARKING{200};
/** Turns between two looks at the clock. */
constexpr int TURNS = 64;

/** Turns of waiting for the last worker before the core is offered to it: it may have been put aside. */
constexpr int PATIENCE = 20000;

inline void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

class Pool {
 public:
  void run(int threads, i64 tasks, Work work, void* data) {
    if (threads > MAX_WORKERS + 1) threads = MAX_WORKERS + 1;
    if (threads > tasks) threads = static_cast<int>(tasks);
    if (threads <= 1 || !busy_.try_lock()) {
      for (i64 task = 0; task < tasks; ++task) work(data, task, 0);
      return;
    }
    grow(threads - 1);
    work_ = work;
    data_ = data;
    flushes_ = (floatControl() & FLUSHING) != 0;
    helpers_ = threads - 1;
    for (int k = 0; k < threads; ++k) {
      shares_[k].end = tasks * (k + 1) / threads;
      shares_[k].next.store(tasks * k / threads, std::memory_order_relaxed);
    }
    open_.store(true);
    epoch_.fetch_add(1);
    if (parked_.load() > 0) {
      std::lock_guard<std::mutex> lock(parking_);
      wake_.notify_all();
    }
    claim(0);
    // A worker enters before it looks whether the job is open, so after closing none can slip in unseen.
    open_.store(false);
    for (int turn = 0; inside_.load() > 0; ++turn)
      if (turn < PATIENCE)
        relax();
      else
        sched_yield();
    busy_.unlock();
  }

  uint32_t jobs() const { return epoch_.load(); }

  void retain() {
    std::lock_guard<std::mutex> lock(owners_);
    ++users_;
  }

  void releaseOne() {
    std::lock_guard<std::mutex> lock(owners_);
    if (--users_ > 0) return;
    std::lock_guard<std::mutex> idle(busy_);
    {
      std::lock_guard<std::mutex> park(parking_);
      stop_.store(true);
      epoch_.fetch_add(1);
      wake_.notify_all();
    }
    for (int k = 0; k < count_; ++k) pthread_join(workers_[k], nullptr);
    count_ = 0;
    stop_.store(false);
  }

 private:
  /** Tasks [next, end) of one worker, on a cache line of their own. */
  struct alignas(64) Share {
    std::atomic<i64> next{0};
    i64 end = 0;
  };

  struct Start {
    Pool* pool;
    int worker;
    uint32_t epoch;
  };

  /** Starts workers up to `wanted`; with fewer, the caller does more of the work. */
  void grow(int wanted) {
    // Workers take no signals: Node's handlers belong to its own threads.
    sigset_t all, before;
    if (count_ >= wanted) return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (count_ < wanted) {
      Start* start = new (std::nothrow) Start{this, count_ + 1, epoch_.load()};
      if (!start) break;
      if (pthread_create(&workers_[count_], nullptr, &Pool::main, start) != 0) {
        delete start;
        break;
      }
      ++count_;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  static void* main(void* argument) {
    const Start start = *static_cast<Start*>(argument);
    delete static_cast<Start*>(argument);
    start.pool->serve(start.worker, start.epoch);
    return nullptr;
  }

  void serve(int worker, uint32_t seen) {
    for (;;) {
      seen = await(seen);
      if (stop_.load()) return;
      inside_.fetch_add(1);
      if (open_.load() && worker <= helpers_) {
        flushSubnormals(flushes_);
        claim(worker);
      }
      inside_.fetch_sub(1);
    }
  }

  /** Waits for another epoch than `seen`: first turning, then parked. */
  uint32_t await(uint32_t seen) {
    const Clock::time_point end = Clock::now() + PARKING;
    do {
      for (int turn = 0; turn < TURNS; ++turn) {
        const uint32_t now = epoch_.load(std::memory_order_acquire);
        if (now != seen) return now;
        relax();
      }
    } while (Clock::now() < end);
    std::unique_lock<std::mutex> lock(parking_);
    parked_.fetch_add(1);
    wake_.wait(lock, [&] { return epoch_.load() != seen; });
    parked_.fetch_sub(1);
    return epoch_.load();
  }

  /** The worker's own share first, then what is left of the others'. */
  void claim(int worker) {
    const int threads = helpers_ + 1;
    for (int k = 0; k < threads; ++k) {
      Share& share = shares_[(worker + k) % threads];
      // The look spares the others' counters a write once all is taken.
      if (k > 0 && share.next.load(std::memory_order_relaxed) >= share.end) continue;
      for (i64 task; (task = share.next.fetch_add(1)) < share.end;) work_(data_, task, worker);
    }
  }

  std::mutex busy_, owners_, parking_;
  std::condition_variable wake_;
  pthread_t workers_[MAX_WORKERS];
  int count_ = 0;
  int users_ = 0;
  Work work_ = nullptr;
  void* data_ = nullptr;
  bool flushes_ = false;
  std::atomic<int> helpers_{0};
  Share shares_[MAX_WORKERS + 1];
  /** Counts jobs, and the end of the workers. */
  alignas(64) std::atomic<uint32_t> epoch_{0};
  std::atomic<bool> open_{false}, stop_{false};
  alignas(64) std::atomic<int> inside_{0};
  std::atomic<int> parked_{0};
};

/** Never destroyed: a worker may still look at it while the process exits. */
Pool& pool() {
  alignas(Pool) static char memory[sizeof(Pool)];
  static Pool* const instance = new (memory) Pool;
  return *instance;
}

constexpr size_t HUGE_PAGE = size_t{2} << 20;

}  // namespace

void runTasks(int threads, i64 tasks, Work work, void* data) { pool().run(threads, tasks, work, data); }
bool flushSubnormals(bool on) {
  const uint64_t before = floatControl();
  setFloatControl(on ? before | FLUSHING : before & ~FLUSHING);
  return (before & FLUSHING) != 0;
}
uint32_t sharedJobs() { return pool().jobs(); }
void retainPool() { pool().retain(); }
void releasePool() { pool().releaseOne(); }

void release(Context& context) {
  std::free(context.scratch.memory);
  context.scratch = {nullptr, 0};
}

void wantHugePages(void* memory, size_t bytes) {
#if defined(MADV_HUGEPAGE)
  const uintptr_t from = (reinterpret_cast<uintptr_t>(memory) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
  const uintptr_t to = (reinterpret_cast<uintptr_t>(memory) + bytes) / HUGE_PAGE * HUGE_PAGE;
  if (from < to) madvise(reinterpret_cast<void*>(from), to - from, MADV_HUGEPAGE);
#else
  (void)memory;
  (void)bytes;
#endif
}

void outOfMemory() { throw std::bad_alloc(); }

void* reserve(Context& context, size_t bytes) {
  if (bytes <= context.scratch.bytes) return context.scratch.memory;
  release(context);
  // Whole huge pages where the system gives them: packed panels then miss the TLB no more.
  const size_t rounded = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
  void* memory = nullptr;
  if (posix_memalign(&memory, HUGE_PAGE, rounded) != 0) outOfMemory();
  wantHugePages(memory, rounded);
  context.scratch = {memory, rounded};
  return memory;
}

namespace {

/** Cores by the cgroup's quota (version 2), or 0 when there is none. */
int quotaCores() {
  FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "r");
  if (!file) return 0;
  long long quota = 0, period = 0;
  const int got = std::fscanf(file, "%lld %lld", &quota, &period);
  std::fclose(file);
  if (got != 2 || quota <= 0 || period <= 0) return 0;
  return static_cast<int>((quota + period - 1) / period);
}

}  // namespace

int availableCores() {
  int cores = static_cast<int>(std::thread::hardware_concurrency());
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) cores = CPU_COUNT(&set);
#endif
  const int quota = quotaCores();
  if (quota > 0 && quota < cores) cores = quota;
  return cores < 1 ? 1 : cores > MAX_WORKERS + 1 ? MAX_WORKERS + 1 : cores;
}

i64 secondCache() {
  long bytes = 0;
#if defined(_SC_LEVEL2_CACHE_SIZE)
  bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
  return bytes > 0 ? bytes : i64{1} << 20;
}

}  // namespace thalweg
