// Kernels of the softmax family, over the rows of a matrix. A row is read at most three times and stays in
// cache between.
#pragma once
#include "lanes.h"
#include "math.h"
#include "reduce.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

INLINE vf larger(vf old, vf v) { return atLeast(old, v); }

/** Largest lane. */
template <int Half = W / 2>
INLINE float largest(vf v) {
  v = larger(v, shuffle(v, v, [](auto k) { return (k + Half) & (W - 1); }));
  if constexpr (Half > 1)
    return largest<Half / 2>(v);
  else
    return v[0];
}

/** Largest element, NaN left out: it comes back through the exponentials. */
INLINE float top(const float* x, i64 n) {
  vf a = splat(-math::INFINITE), b = a;
  i64 k = 0;
  for (; k + 2 * W <= n; k += 2 * W) {
    a = larger(a, loadAs<vf>(x + k));
    b = larger(b, loadAs<vf>(x + k + W));
  }
  for (; k + W <= n; k += W) a = larger(a, loadAs<vf>(x + k));
  if (k < n) b = larger(b, Part{static_cast<int>(n - k)}.load(x + k, b));
  return largest(larger(a, b));
}

/** Σ e^(x - shift); `put` gets every term. */
template <class F>
INLINE float sumExp(const float* x, i64 n, float shift, F put) {
  vf sum[4] = {};
  const auto step = [&](auto how, i64 k, vf& s) {
    const vf e = math::expFlushed(how.load(x + k) - shift);
    put(how, k, e);
    s += how.keep(e);
  };
  i64 k = 0;
  for (; k + 4 * W <= n; k += 4 * W)
    for (int u = 0; u < 4; ++u) step(Whole{}, k + u * W, sum[u]);
  for (; k + W <= n; k += W) step(Whole{}, k, sum[0]);
  if (k < n) step(Part{static_cast<int>(n - k)}, k, sum[1]);
  return total((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

namespace rows {

static void softmax(Context& cx, float* out, const float* x, i64 rows, i64 cols) {
  eachRow(cx, rows, 6 * cols + 16, [=](i64 row) {
    const float* from = x + row * cols;
    float* to = out + row * cols;
    const float sum =
        sumExp(from, cols, top(from, cols), [=](auto how, i64 k, vf e) { how.store(to + k, e); });
    const vf factor = splat(1.0f / sum);
    span(0, cols, [=](auto how, i64 k) { how.store(to + k, how.load(to + k) * factor); });
  });
}

static void logSoftmax(Context& cx, float* out, const float* x, i64 rows, i64 cols) {
  eachRow(cx, rows, 6 * cols + 16, [=](i64 row) {
    const float* from = x + row * cols;
    float* to = out + row * cols;
    const float shift = top(from, cols);
    const float sum = sumExp(from, cols, shift, [](auto, i64, vf) {});
    const float log = math::log(splat(sum))[0];
    span(0, cols, [=](auto how, i64 k) { how.store(to + k, (how.load(from + k) - shift) - log); });
  });
}

static void softmaxGrad(Context& cx, float* out, const float* g, const float* y, i64 rows, i64 cols) {
  eachRow(cx, rows, 3 * cols + 16, [=](i64 row) {
    const float *gs = g + row * cols, *ys = y + row * cols;
    float* to = out + row * cols;
    const vf mean = splat(static_cast<float>(dotLeaf<false>(gs, ys, cols)));
    span(0, cols, [=](auto how, i64 k) { how.store(to + k, how.load(ys + k) * (how.load(gs + k) - mean)); });
  });
}

static void logSoftmaxGrad(Context& cx, float* out, const float* g, const float* y, i64 rows, i64 cols) {
  eachRow(cx, rows, 6 * cols + 16, [=](i64 row) {
    const float *gs = g + row * cols, *ys = y + row * cols;
    float* to = out + row * cols;
    const vf sum = splat(static_cast<float>(sumLeaf(gs, cols)));
    span(0, cols, [=](auto how, i64 k) {
      how.store(to + k, how.load(gs + k) - math::expFlushed(how.load(ys + k)) * sum);
    });
  });
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
