// Kernels that sum. Leaves have a fixed length and are added in their order in double, so a result depends
// neither on threads nor on where work was cut. Sums of products are in double throughout; plain sums add
// eight elements in float32 first (three roundings, at most 2^-22 of the sum of magnitudes), because widening
// is what they would wait for.
#pragma once
#include <type_traits>

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

/** sum + u v in double. The product of two reals is exact there, so a fused sum is no other than a plain one.
 */
INLINE void addProducts(vd& sum, vf u, vf v) {
  sum = fma(low(u), low(v), sum);
  sum = fma(high(u), high(v), sum);
}

/** N sums over [from, to): f(how, k, sum) adds element k's terms to N vectors. Four sets of vectors hide the
 * latency. */
template <int N, class F>
INLINE void leafTotals(i64 from, i64 to, double* sums, F f) {
  vd sum[4][N] = {};
  i64 k = from;
  for (; k + 4 * W <= to; k += 4 * W)
    for (int u = 0; u < 4; ++u) f(Whole{}, k + u * W, sum[u]);
  for (; k + W <= to; k += W) f(Whole{}, k, sum[0]);
  if (k < to) f(Part{static_cast<int>(to - k)}, k, sum[0]);
  for (int s = 0; s < N; ++s) sums[s] = total((sum[0][s] + sum[1][s]) + (sum[2][s] + sum[3][s]));
}

/** N sums over [0, n), among threads: leaf(from, to, sums) adds up one leaf. */
template <int N, class F>
static void totals(Context& cx, i64 n, i64 weight, double* sums, const F& leaf) {
  const i64 leaves = ceilDiv(n, LEAF);
  if (leaves <= 1) {
    leaf(0, n, sums);
    return;
  }
  double* all = static_cast<double*>(reserve(cx, leaves * N * sizeof(double)));
  const int threads = n * weight < 4 * GRAIN ? 1 : cx.threads;
  parallel(threads, leaves, [&](i64 k, int) { leaf(k * LEAF, least(n, (k + 1) * LEAF), all + k * N); });
  for (int s = 0; s < N; ++s) sums[s] = 0;
  for (i64 k = 0; k < leaves; ++k)
    for (int s = 0; s < N; ++s) sums[s] += all[k * N + s];
}

/** Adds up a leaf of consecutive elements. */
static double sumLeaf(const float* x, i64 n) {
  vd a[4] = {};
  const auto add = [&](int u, vf v) {
    a[2 * u] += low(v);
    a[2 * u + 1] += high(v);
  };
  const auto eight = [=](i64 k) {
    vf v[8];
    for (int u = 0; u < 8; ++u) v[u] = loadAs<vf>(x + k + u * W);
    return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
  };
  i64 k = 0;
  for (; k + 16 * W <= n; k += 16 * W)
    for (int u = 0; u < 2; ++u) add(u, eight(k + u * 8 * W));
  for (; k + W <= n; k += W) add(0, loadAs<vf>(x + k));
  if (k < n) add(0, Part{static_cast<int>(n - k)}.load(x + k));
  return total((a[0] + a[2]) + (a[1] + a[3]));
}

/** The sum of a row, leaf by leaf on this thread. */
static double sumRow(const float* x, i64 n) {
  double sum = 0;
  for (i64 k = 0; k < n; k += LEAF) sum += sumLeaf(x + k, least(LEAF, n - k));
  return sum;
}

/** Σ a b of a leaf. Halves are widened as they are loaded, which is what takes the time: so a leaf may be
 * multiplied by itself, `Same`, for half the price. */
template <bool Same>
static double dotLeaf(const float* a, const float* b, i64 n) {
  vd s[8] = {};
  i64 k = 0;
  for (; k + 4 * W <= n; k += 4 * W)
    for (int u = 0; u < 8; ++u) {
      const i64 at = k + u * W / 2;
      const vd v = widen(a + at);
      s[u] = fma(v, Same ? v : widen(b + at), s[u]);
    }
  for (; k + W <= n; k += W) addProducts(s[0], loadAs<vf>(a + k), loadAs<vf>(b + k));
  if (k < n) {
    const Part part{static_cast<int>(n - k)};
    addProducts(s[0], part.load(a + k), part.load(b + k));
  }
  return total(((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7])));
}

/** Vectors of columns that are worked on side by side. */
constexpr int COLUMNS = 4;

/** Adds up `count` ≤ W columns each of V vectors down n rows, four rows in float32 first. */
template <int V, class How>
INLINE void sumColumns(How how, float* out, const float* x, i64 n, i64 stride) {
  vd a[V][2] = {};
  const auto add = [&](int v, vf row) {
    a[v][0] += low(row);
    a[v][1] += high(row);
  };
  const auto row = [=](i64 k, int v) { return how.load(x + k * stride + v * W); };
  i64 k = 0;
  for (; k + 4 <= n; k += 4)
    for (int v = 0; v < V; ++v) add(v, (row(k, v) + row(k + 1, v)) + (row(k + 2, v) + row(k + 3, v)));
  for (; k < n; ++k)
    for (int v = 0; v < V; ++v) add(v, row(k, v));
  for (int v = 0; v < V; ++v) how.store(out + v * W, narrow(a[v][0], a[v][1]));
}

template <int V>
using Vectors = std::integral_constant<int, V>;

/** f(vectors, how, i, j) over blocks of columns of [outer, n, inner], among threads. */
template <class F>
static void eachColumns(const Context& cx, i64 outer, i64 n, i64 inner, const F& f) {
  const i64 wide = COLUMNS * W, blocks = ceilDiv(inner, wide);
  eachRow(cx, outer * blocks, n * least(inner, wide), [=](i64 task) {
    const i64 i = task / blocks, from = task % blocks * wide, to = least(inner, from + wide);
    if (to - from == wide)
      f(Vectors<COLUMNS>{}, Whole{}, i, from);
    else
      span(from, to, [=](auto how, i64 j) { f(Vectors<1>{}, how, i, j); });
  });
}

namespace rows {

static void sum(Context& cx, float* out, const float* x, i64 outer, i64 n, i64 inner) {
  if (inner == 1 && outer == 1) {
    double sum;
    totals<1>(cx, n, 1, &sum, [=](i64 from, i64 to, double* s) { *s = sumLeaf(x + from, to - from); });
    out[0] = static_cast<float>(sum);
  } else if (inner == 1) {
    eachRow(cx, outer, n + 8, [=](i64 i) { out[i] = static_cast<float>(sumRow(x + i * n, n)); });
  } else {
    eachColumns(cx, outer, n, inner, [=](auto vectors, auto how, i64 i, i64 j) {
      sumColumns<vectors.value>(how, out + i * inner + j, x + i * n * inner + j, n, inner);
    });
  }
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
  totals<1>(cx, n, 1, &sum,
            [=](i64 from, i64 to, double* s) { *s = dotLeaf<true>(x + from, x + from, to - from); });
  putSplit(out, __builtin_sqrt(sum));
}

static void dot(Context& cx, float* out, const float* a, const float* b, i64 n) {
  double sum;
  totals<1>(cx, n, 1, &sum,
            [=](i64 from, i64 to, double* s) { *s = dotLeaf<false>(a + from, b + from, to - from); });
  putSplit(out, sum);
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
