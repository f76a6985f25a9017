// Loops over arrays: whole vectors, then a part, cut among threads at fixed places. The body is a lambda that
// gets how to reach memory (Whole or Part) and the index, so one formula serves both.
#pragma once
#include <type_traits>

#include "arithmetic.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

INLINE i64 least(i64 a, i64 b) { return a < b ? a : b; }
INLINE i64 most(i64 a, i64 b) { return a > b ? a : b; }
INLINE i64 ceilDiv(i64 a, i64 b) { return (a + b - 1) / b; }
INLINE i64 roundUp(i64 a, i64 b) { return ceilDiv(a, b) * b; }

/** Runs f(task, worker) for every task, on the caller alone when `threads` is 1. */
template <class F>
static void parallel(int threads, i64 tasks, const F& f) {
  if (threads <= 1 || tasks <= 1) {
    for (i64 task = 0; task < tasks; ++task) f(task, 0);
    return;
  }
  runTasks(
      threads, tasks, [](void* data, i64 task, int worker) { (*static_cast<const F*>(data))(task, worker); },
      const_cast<F*>(&f));
}

/** How the k-th of neighbouring vectors reaches memory: asking ahead once a cache line is enough. */
template <class How, int k>
using Nth = std::conditional_t<k * W % LINE == 0, How, Whole>;

/** f(how, k) over [from, to) in steps of a vector. Here and below, bodies of loops come by value: what a
 * lambda captured then stays in registers. By reference a store might change it, so it was read again for
 * each vector, and updates from L2 took 1.5 to 2.8 times as long. */
template <class How = Whole, class F>
INLINE void span(i64 from, i64 to, F f) {
  i64 k = from;
  for (; k + 4 * W <= to; k += 4 * W) {
    f(Nth<How, 0>{}, k);
    f(Nth<How, 1>{}, k + W);
    f(Nth<How, 2>{}, k + 2 * W);
    f(Nth<How, 3>{}, k + 3 * W);
  }
  for (; k + W <= to; k += W) f(How{}, k);
  if (k < to) f(Part{static_cast<int>(to - k)}, k);
}

/** Elements from which a piece is long: a megabyte of each array. Measured on a Xeon (48 KiB, 2 MiB, and an
 * L3 of 480 MiB at 30 GB/s a core) with 1e7 elements: asking a page ahead takes a sum of two arrays from 4.66
 * to 3.98 ms and a momentum step from 4.26 to 4.03; with 1e6 it changes nothing. Stores past the caches gain
 * nothing there (a sum 4.08 ms, a fill 1.64 for 1.34) and double the time of updates in place, so there are
 * none. */
constexpr i64 LONG_PIECE = 1 << 18;

/** Work, in elements of an addition, that is worth a second thread: a hot dispatch costs about 0.1 to 1 µs.
 */
constexpr i64 GRAIN = 16384;

/**
 * g(from, to) over pieces of [0, n). An element costs `weight` additions. Pieces begin at multiples of 64
 * elements, so two threads never write one cache line; there are several for each thread, because cores are
 * rarely equally free.
 */
template <class G>
static void pieces(const Context& cx, i64 n, i64 weight, const G& g) {
  if (cx.threads <= 1 || n * weight < 2 * GRAIN) {
    if (n > 0) g(i64{0}, n);
    return;
  }
  const i64 count = least(n * weight / GRAIN, 4 * i64{cx.threads});
  const i64 size = roundUp(ceilDiv(n, count), 64);
  parallel(cx.threads, ceilDiv(n, size), [&](i64 task, int) { g(task * size, least(n, (task + 1) * size)); });
}

/** f(how, k) over [0, n), among threads, for outputs that are not read first. */
template <class F>
static void sweep(const Context& cx, i64 n, i64 weight, const F& f) {
  pieces(cx, n, weight, [&](i64 from, i64 to) { span<Fresh>(from, to, f); });
}

/** As sweep, for bodies that change what they read. */
template <class F>
static void stream(const Context& cx, i64 n, i64 weight, const F& f) {
  pieces(cx, n, weight, [&](i64 from, i64 to) {
    if (to - from < LONG_PIECE)
      span(from, to, f);
    else
      span<Ahead>(from, to, f);
  });
}

/** Runs f(row) for every row, among threads; a row costs `weight` additions. */
template <class F>
static void eachRow(const Context& cx, i64 rows, i64 weight, const F& f) {
  if (cx.threads <= 1 || rows * weight < 2 * GRAIN) {
    for (i64 row = 0; row < rows; ++row) f(row);
    return;
  }
  const i64 count = least(most(rows * weight / GRAIN, 1), least(rows, 4 * i64{cx.threads}));
  const i64 size = ceilDiv(rows, count);
  parallel(cx.threads, ceilDiv(rows, size), [&](i64 task, int) {
    for (i64 row = task * size; row < least(rows, (task + 1) * size); ++row) f(row);
  });
}

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
