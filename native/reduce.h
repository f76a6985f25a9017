// Kernels that reduce. Sums are taken in double over leaves of fixed length, and leaves are added in their
// order, so a result depends neither on threads nor on where work was cut.
#pragma once
#include "loop.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** Elements of a leaf: long enough to hide the leaf's own end, short enough to share among threads. */
constexpr i64 LEAF = 8192;

/** The total as two reals, high and low part. */
INLINE void putSplit(float* out, double sum) {
  out[0] = static_cast<float>(sum);
  out[1] = static_cast<float>(sum - static_cast<double>(out[0]));
}

/** N sums over [from, to): f(how, k, sum) adds element k's terms to N vectors. Four sets of vectors hide the
 * latency. */
template <int N, class F>
INLINE void leafTotals(i64 from, i64 to, double* sums, const F& f) {
  vd sum[4][N] = {};
  i64 k = from;
  for (; k + 4 * W <= to; k += 4 * W)
    for (int u = 0; u < 4; ++u) f(Whole{}, k + u * W, sum[u]);
  for (; k + W <= to; k += W) f(Whole{}, k, sum[0]);
  if (k < to) f(Part{static_cast<int>(to - k)}, k, sum[0]);
  for (int s = 0; s < N; ++s) sums[s] = total((sum[0][s] + sum[1][s]) + (sum[2][s] + sum[3][s]));
}

/** N sums over [0, n), leaf by leaf, among threads. */
template <int N, class F>
static void totals(Context& cx, i64 n, i64 weight, double* sums, const F& f) {
  const i64 leaves = ceilDiv(n, LEAF);
  for (int s = 0; s < N; ++s) sums[s] = 0;
  if (leaves <= 1) {
    if (n > 0) leafTotals<N>(0, n, sums, f);
    return;
  }
  double* leaf = static_cast<double*>(reserve(cx, leaves * N * sizeof(double)));
  const int threads = n * weight < 4 * GRAIN ? 1 : cx.threads;
  parallel(threads, leaves,
           [&](i64 k, int) { leafTotals<N>(k * LEAF, least(n, (k + 1) * LEAF), leaf + k * N, f); });
  for (i64 k = 0; k < leaves; ++k)
    for (int s = 0; s < N; ++s) sums[s] += leaf[k * N + s];
}

struct Sum {
  static constexpr double identity = 0;
  template <class V>
  INLINE_MEMBER static V fold(V a, V b) {
    return a + b;
  }
};

/** Folds a leaf of consecutive elements in double. */
template <class Op>
static double foldLeaf(const float* x, i64 n) {
  vd a[8];
  for (vd& v : a) v = splat(Op::identity);
  const auto step = [&](int u, vf v) {
    a[2 * u] = Op::fold(a[2 * u], low(v));
    a[2 * u + 1] = Op::fold(a[2 * u + 1], high(v));
  };
  const vf unit = splat(static_cast<float>(Op::identity));
  i64 k = 0;
  for (; k + 4 * W <= n; k += 4 * W)
    for (int u = 0; u < 8; ++u) a[u] = Op::fold(a[u], widen(x + k + u * W / 2));
  for (; k + W <= n; k += W) step(0, loadAs<vf>(x + k));
  if (k < n) step(0, Part{static_cast<int>(n - k)}.load(x + k, unit));
  for (int width = 4; width > 0; width /= 2)
    for (int u = 0; u < width; ++u) a[u] = Op::fold(a[u], a[u + width]);
  return across(a[0], [](double p, double q) { return Op::fold(p, q); });
}

/** Folds one row; its leaves among threads when it is the only one. */
template <class Op>
static double foldRow(Context* cx, const float* x, i64 n) {
  const i64 leaves = ceilDiv(n, LEAF);
  const auto leafAt = [=](i64 k) { return foldLeaf<Op>(x + k * LEAF, least(LEAF, n - k * LEAF)); };
  double result = Op::identity;
  if (!cx || leaves < 4) {
    for (i64 k = 0; k < leaves; ++k) result = Op::fold(result, leafAt(k));
    return result;
  }
  double* leaf = static_cast<double*>(reserve(*cx, leaves * sizeof(double)));
  parallel(cx->threads, leaves, [=](i64 k, int) { leaf[k] = leafAt(k); });
  for (i64 k = 0; k < leaves; ++k) result = Op::fold(result, leaf[k]);
  return result;
}

/** Vectors of columns that are folded side by side. */
constexpr int COLUMNS = 4;

/** Folds `count` ≤ W columns each of V vectors down n rows. */
template <class Op, int V, class How>
INLINE void foldColumns(How how, float* out, const float* x, i64 n, i64 stride) {
  vd a[V][2];
  for (int v = 0; v < V; ++v) a[v][0] = a[v][1] = splat(Op::identity);
  for (i64 k = 0; k < n; ++k)
    for (int v = 0; v < V; ++v) {
      const vf row = how.load(x + k * stride + v * W);
      a[v][0] = Op::fold(a[v][0], low(row));
      a[v][1] = Op::fold(a[v][1], high(row));
    }
  for (int v = 0; v < V; ++v) how.store(out + v * W, narrow(a[v][0], a[v][1]));
}

template <class Op>
static void reduceWith(Context& cx, float* out, const float* x, i64 outer, i64 n, i64 inner) {
  if (inner == 1) {
    if (outer == 1) {
      out[0] = static_cast<float>(foldRow<Op>(&cx, x, n));
      return;
    }
    eachRow(cx, outer, n + 8,
            [=](i64 i) { out[i] = static_cast<float>(foldRow<Op>(nullptr, x + i * n, n)); });
    return;
  }
  const i64 wide = COLUMNS * W, blocks = ceilDiv(inner, wide);
  eachRow(cx, outer * blocks, n * least(inner, wide), [=](i64 task) {
    const i64 i = task / blocks, from = task % blocks * wide, to = least(inner, from + wide);
    float* o = out + i * inner;
    const float* row = x + i * n * inner;
    if (to - from == wide) {
      foldColumns<Op, COLUMNS>(Whole{}, o + from, row + from, n, inner);
      return;
    }
    i64 j = from;
    for (; j + W <= to; j += W) foldColumns<Op, 1>(Whole{}, o + j, row + j, n, inner);
    if (j < to) foldColumns<Op, 1>(Part{static_cast<int>(to - j)}, o + j, row + j, n, inner);
  });
}

/** Best values so far and where they were. NaN is best of all; among equals the first. */
template <bool Largest>
struct Best {
  vf value;
  vi index;
  INLINE_MEMBER void offer(vf v, vi at) {
    const vi take = (Largest ? ~(v <= value) : ~(v >= value)) & (value == value);
    value = take ? v : value;
    index = take ? at : index;
  }
  /** Scalar rule between two candidates. */
  INLINE_MEMBER static bool beats(float v, int32_t at, float old, int32_t oldAt) {
    if (old != old || v != v) return v != v && (old == old || at < oldAt);
    return v == old ? at < oldAt : Largest ? v > old : v < old;
  }
};

template <bool Largest, bool Index>
static float bestOf(const float* x, i64 n) {
  Best<Largest> best[2];
  for (auto& b : best) b = {splat(x[0]), vi{}};
  vi at = lanes();
  i64 k = 0;
  for (; k + 2 * W <= n; k += 2 * W, at += 2 * W) {
    best[0].offer(loadAs<vf>(x + k), at);
    best[1].offer(loadAs<vf>(x + k + W), at + W);
  }
  for (; k + W <= n; k += W, at += W) best[0].offer(loadAs<vf>(x + k), at);
  if (k < n) best[0].offer(Part{static_cast<int>(n - k)}.load(x + k, best[0].value), at);
  float value = best[0].value[0];
  int32_t index = best[0].index[0];
  for (const auto& b : best)
    for (int lane = 0; lane < W; ++lane)
      if (Best<Largest>::beats(b.value[lane], b.index[lane], value, index)) {
        value = b.value[lane];
        index = b.index[lane];
      }
  return Index ? static_cast<float>(index) : value;
}

template <bool Largest, bool Index>
static void extreme(Context& cx, float* out, const float* x, i64 outer, i64 n, i64 inner) {
  if (n == 0) return;
  if (inner == 1) {
    eachRow(cx, outer, n + 8, [=](i64 i) { out[i] = bestOf<Largest, Index>(x + i * n, n); });
    return;
  }
  eachRow(cx, outer, n * inner, [=](i64 i) {
    span(0, inner, [=](auto how, i64 j) {
      const float* at = x + i * n * inner + j;
      Best<Largest> best{how.load(at), vi{}};
      for (i64 k = 1; k < n; ++k) best.offer(how.load(at + k * inner), splat(static_cast<int32_t>(k)));
      how.store(out + i * inner + j, Index ? toReal(best.index) : best.value);
    });
  });
}

namespace rows {

static void sum(Context& cx, float* out, const float* x, i64 outer, i64 n, i64 inner) {
  reduceWith<Sum>(cx, out, x, outer, n, inner);
}
static void max(Context& cx, float* out, const float* x, i64 outer, i64 n, i64 inner) {
  extreme<true, false>(cx, out, x, outer, n, inner);
}
static void min(Context& cx, float* out, const float* x, i64 outer, i64 n, i64 inner) {
  extreme<false, false>(cx, out, x, outer, n, inner);
}
static void argmax(Context& cx, float* out, const float* x, i64 outer, i64 n, i64 inner) {
  extreme<true, true>(cx, out, x, outer, n, inner);
}
static void argmin(Context& cx, float* out, const float* x, i64 outer, i64 n, i64 inner) {
  extreme<false, true>(cx, out, x, outer, n, inner);
}

static void cumsum(Context& cx, float* out, const float* x, i64 outer, i64 n, i64 inner, i64 reverse) {
  eachRow(cx, outer, 4 * n * inner, [=](i64 i) {
    const i64 first = i * n * inner + (reverse ? (n - 1) * inner : 0), step = reverse ? -inner : inner;
    if (inner == 1) {
      double sum = 0;
      for (i64 k = 0, at = first; k < n; ++k, at += step) out[at] = static_cast<float>(sum += x[at]);
      return;
    }
    span(0, inner, [=](auto how, i64 j) {
      vd lo = {}, hi = {};
      for (i64 k = 0, at = first + j; k < n; ++k, at += step) {
        const vf v = how.load(x + at);
        how.store(out + at, narrow(lo += low(v), hi += high(v)));
      }
    });
  });
}

static void norm2(Context& cx, float* out, const float* x, i64 n) {
  double sum;
  totals<1>(cx, n, 1, &sum, [=](auto how, i64 k, vd* s) {
    const vf v = how.load(x + k);
    s[0] += low(v) * low(v) + high(v) * high(v);
  });
  putSplit(out, __builtin_sqrt(sum));
}

static void dot(Context& cx, float* out, const float* a, const float* b, i64 n) {
  double sum;
  totals<1>(cx, n, 1, &sum, [=](auto how, i64 k, vd* s) {
    const vf u = how.load(a + k), v = how.load(b + k);
    s[0] += low(u) * low(v) + high(u) * high(v);
  });
  putSplit(out, sum);
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
