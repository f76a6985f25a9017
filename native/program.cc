// See program.h.
#include "program.h"

#include <chrono>
#include <cstring>

namespace thalweg {
namespace {

/** Reads the code from front to back and never past its end. */
class Reader {
 public:
  Reader(const double* code, size_t length) : at_(code), end_(code + length) {}
  bool more() const { return at_ < end_; }
  const double* take(size_t n) {
    if (static_cast<size_t>(end_ - at_) < n) throw Refusal{0, 0, "is missing: the program is cut off"};
    const double* here = at_;
    at_ += n;
    return here;
  }
  i64 whole(double least, double most) {
    const double value = *take(1);
    if (!(value >= least && value <= most) || value != std::floor(value))
      throw Refusal{0, 0, "is no part of a program"};
    return static_cast<i64>(value);
  }

 private:
  const double *at_, *end_;
};

/** The arguments of launch `strip` for the strip `task` on `worker`. */
void moved(const char* sig, const double* values, const double* steps, const double* workers, double task,
           double worker, double* out) {
  for (int k = 0; sig[k]; ++k)
    out[k] = values[k] + (isPointer(sig[k]) ? task * steps[k] + worker * workers[k] : 0);
}

}  // namespace

Program::Program(const double* code, size_t length, const Heap& heap, int workers) : workers_(workers) {
  Reader reader(code, length);
  const auto append = [&](int row, const double* values, bool kept) {
    Arg args[MOST_ARGUMENTS];
    readCall(row, values, heap, args);
    if (kept) args_.insert(args_.end(), args, args + std::strlen(rows[row].sig));
  };
  while (reader.more()) {
    const int row = static_cast<int>(reader.whole(-1, ROWS - 1));
    if (row >= 0) {
      items_.push_back({row, 1, 1, args_.size()});
      append(row, reader.take(std::strlen(rows[row].sig)), true);
      continue;
    }
    const i64 strips = reader.whole(1, MOST_EXACT);
    const int count = static_cast<int>(reader.whole(1, 1e6));
    items_.push_back({-1, count, strips, body_.size()});
    for (int k = 0; k < count; ++k) {
      const int own = static_cast<int>(reader.whole(0, ROWS - 1));
      const char* sig = rows[own].sig;
      const size_t n = std::strlen(sig);
      const double* values = reader.take(4 * n);
      const double *steps = values + n, *apart = values + 2 * n, *last = values + 3 * n;
      body_.push_back({own, static_cast<int>(n), args_.size(), moves_.size()});
      append(own, values, true);
      append(own, last, true);
      // Pointers move evenly, so the far corners vouch for all strips and workers in between.
      double corner[MOST_ARGUMENTS];
      const double far = static_cast<double>(strips - 1), most = workers_ - 1;
      moved(sig, last, steps, apart, far, most, corner);
      append(own, corner, false);
      if (strips > 1) {
        moved(sig, values, steps, apart, far - 1, most, corner);
        append(own, corner, false);
      }
      for (size_t a = 0; a < n; ++a) {
        if (!isPointer(sig[a])) {
          moves_.push_back({0, 0});
          continue;
        }
        if (!(std::fabs(steps[a]) <= 4e15 && std::fabs(apart[a]) <= 4e15) || steps[a] < 0 || apart[a] < 0)
          throw Refusal{own, static_cast<int>(a), "moves out of reach"};
        moves_.push_back({static_cast<i64>(steps[a]), static_cast<i64>(apart[a])});
      }
    }
  }
}

/** Strips are dealt out in runs of neighbours, some to each worker, so that workers stream through memory of
 * their own. */
constexpr i64 RUNS_A_WORKER = 4;

struct Program::Run {
  const Program* program;
  const Item* item;
  const KernelSet* set;
  i64 runs;
  /** Bytes of a core's second cache. */
  i64 l2;
};

void Program::stripsOf(void* data, i64 task, int worker) {
  const Run& run = *static_cast<const Run*>(data);
  Context context{1, {nullptr, 0}, run.l2};
  const i64 all = run.item->strips;
  for (i64 k = all * task / run.runs; k < all * (task + 1) / run.runs; ++k)
    run.program->strip(run, context, k, worker);
  release(context);
}

void Program::strip(const Run& run, Context& context, i64 task, int worker) const {
  const bool last = task == run.item->strips - 1;
  for (int k = 0; k < run.item->count; ++k) {
    const Strip& strip = body_[run.item->first + static_cast<size_t>(k)];
    const Arg* from = &args_[strip.args + static_cast<size_t>(last ? strip.count : 0)];
    const Move* moves = &moves_[strip.moves];
    const char* sig = rows[strip.row].sig;
    Arg args[MOST_ARGUMENTS];
    for (int a = 0; a < strip.count; ++a) {
      args[a] = from[a];
      if (isPointer(sig[a]) && from[a].pointer)
        args[a].pointer =
            static_cast<char*>(from[a].pointer) + task * moves[a].step + worker * moves[a].worker;
    }
    run.set->kernels[strip.row](context, args);
  }
}

void Program::runStrips(const Item& item, const KernelSet& set, Context& context) const {
  const int threads = context.threads < workers_ ? context.threads : workers_;
  const i64 runs = threads * RUNS_A_WORKER < item.strips ? threads * RUNS_A_WORKER : item.strips;
  Run run{this, &item, &set, runs, context.l2};
  runTasks(threads, runs, &Program::stripsOf, &run);
}

void Program::run(const KernelSet& set, Context& context, double* ns) const {
  using Clock = std::chrono::steady_clock;
  Clock::time_point before = ns ? Clock::now() : Clock::time_point();
  for (size_t k = 0; k < items_.size(); ++k) {
    const Item& item = items_[k];
    if (item.row >= 0)
      set.kernels[item.row](context, &args_[item.first]);
    else
      runStrips(item, set, context);
    if (!ns) continue;
    const Clock::time_point now = Clock::now();
    ns[k] += static_cast<double>(std::chrono::duration_cast<std::chrono::nanoseconds>(now - before).count());
    before = now;
  }
}

}  // namespace thalweg
