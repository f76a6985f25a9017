// A recorded step: launches that were checked when they came, and run in one go.
//
// It comes as doubles. A launch: its row, then its arguments. Launches that run strip by strip: -1, the
// number of strips, the number of launches, and for each of those its row and four times as many numbers as
// it has arguments: the arguments of the first strip; what is added to each from strip to strip; what is
// added to each for every worker, in whose own memory it lies; the arguments of the last strip, as if it were
// the first.
#pragma once
#include <vector>

#include "check.h"

namespace thalweg {

class Program {
 public:
  /** Throws Refusal. */
  Program(const double* code, size_t length, const Heap& heap, int workers);
  /** Runs all instructions; where `ns` is not null, adds the time of each to it. Throws std::bad_alloc. */
  void run(const KernelSet& set, Context& context, double* ns = nullptr) const;
  size_t size() const { return items_.size(); }

 private:
  /** One launch, or the first of `count` launches that run strip by strip. */
  struct Item {
    int row;
    int count;
    i64 strips;
    /** Index of the first argument in `args_`, of the first launch in `body_`. */
    size_t first;
  };
  struct Strip {
    int row;
    int count;
    size_t args;
    size_t moves;
  };
  struct Move {
    i64 step, worker;
  };
  struct Run;

  void runStrips(const Item& item, const KernelSet& set, Context& context) const;
  static void stripsOf(void* data, i64 task, int worker);
  void strip(const Run& run, Context& context, i64 task, int worker) const;

  std::vector<Item> items_;
  std::vector<Strip> body_;
  /** Of a launch its arguments; of a strip those of the first strip, then those of the last. */
  std::vector<Arg> args_;
  std::vector<Move> moves_;
  int workers_;
};

}  // namespace thalweg
