// Kernels of normalisation over [n, c, l]. A channel's sums are taken in double by one thread, so they depend
// on nothing else; variances are sums about a value of the channel, which keeps the digits that E[x²] - E[x]²
// loses.
#pragma once
#include "reduce.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** N sums over channel `ch`: f(how, at, sum) adds the terms of the elements from `at` on. */
template <int N, class F>
INLINE void channelTotals(i64 n, i64 c, i64 l, i64 ch, double* sums, F f) {
  vd sum[2][N] = {};
  for (i64 i = 0; i < n; ++i) {
    const i64 first = (i * c + ch) * l, end = first + l;
    i64 at = first;
    for (; at + 2 * W <= end; at += 2 * W) {
      f(Whole{}, at, sum[0]);
      f(Whole{}, at + W, sum[1]);
    }
    for (; at + W <= end; at += W) f(Whole{}, at, sum[0]);
    if (at < end) f(Part{static_cast<int>(end - at)}, at, sum[1]);
  }
  for (int s = 0; s < N; ++s) sums[s] = total(sum[0][s] + sum[1][s]);
}

/** f(how, at) over the elements of channel `ch`. */
template <class F>
INLINE void eachInChannel(i64 n, i64 c, i64 l, i64 ch, F f) {
  for (i64 i = 0; i < n; ++i) span((i * c + ch) * l, (i * c + ch + 1) * l, f);
}

struct Batch {
  float *y, *mean, *var;
  const float *x, *w, *b;
  i64 n, c, l;
  double eps;
};

static void batchNormChannel(const Batch& q, i64 ch) {
  const float shift = q.x[ch * q.l];
  const vf base = splat(shift);
  double sums[2];
  const i64 next = q.c * q.l;
  channelTotals<2>(q.n, q.c, q.l, ch, sums, [&](auto how, i64 at, vd* sum) {
    __builtin_prefetch(q.x + at + next);
    const vf d = how.load(q.x + at, base) - base;
    const vd lo = low(d), hi = high(d);
    sum[0] += lo + hi;
    sum[1] += lo * lo + hi * hi;
  });
  const double count = static_cast<double>(q.n * q.l), d = sums[0] / count;
  const double spread = sums[1] / count - d * d, variance = spread > 0         ? spread
                                                            : spread != spread ? spread
                                                                               : 0;
  const float mean = static_cast<float>(shift + d);
  q.mean[ch] = mean;
  q.var[ch] = static_cast<float>(variance);
  const vf factor = splat(static_cast<float>(q.w[ch] / __builtin_sqrt(variance + q.eps)));
  const vf centre = splat(mean), bias = splat(q.b[ch]);
  eachInChannel(q.n, q.c, q.l, ch, [=, y = q.y, x = q.x](auto how, i64 at) {
    __builtin_prefetch(y + at + next, 1);
    how.store(y + at, fma(how.load(x + at) - centre, factor, bias));
  });
}

/** One position a channel: the channels lie side by side, one a lane. */
template <class How>
INLINE void batchNormColumns(const Batch& q, How how, i64 ch) {
  const vf base = how.load(q.x + ch);
  vd s[2] = {}, ss[2] = {};
  for (i64 i = 0; i < q.n; ++i) {
    const vf d = how.load(q.x + i * q.c + ch) - base;
    s[0] += low(d);
    s[1] += high(d);
    ss[0] += low(d) * low(d);
    ss[1] += high(d) * high(d);
  }
  const vf w = how.load(q.w + ch), bias = how.load(q.b + ch);
  double mean[W], variance[W], factor[W];
  for (int k = 0; k < W; ++k) {
    const int half = k / (W / 2), lane = k % (W / 2);
    const double d = s[half][lane] / q.n, spread = ss[half][lane] / q.n - d * d;
    mean[k] = base[k] + d;
    variance[k] = spread > 0 ? spread : spread != spread ? spread : 0;
    factor[k] = w[k] / __builtin_sqrt(variance[k] + q.eps);
  }
  const auto vector = [](const double* v) { return narrow(loadAs<vd>(v), loadAs<vd>(v + W / 2)); };
  const vf centre = vector(mean), scale = vector(factor);
  how.store(q.mean + ch, centre);
  how.store(q.var + ch, vector(variance));
  for (i64 i = 0; i < q.n; ++i)
    how.store(q.y + i * q.c + ch, fma(how.load(q.x + i * q.c + ch) - centre, scale, bias));
}

struct BatchGrad {
  float *gx, *gw, *gb;
  const float *g, *x, *mean, *var, *w;
  i64 n, c, l;
  double eps;
};

/** gx = w/σ · (g - Σg/N - h Σgh/N) with h = (x - mean)/σ; as k1 g + k2 (x - mean) + k3. */
static void batchNormGradChannel(const BatchGrad& q, i64 ch) {
  const float mu = q.mean[ch];
  const double inverse = 1 / __builtin_sqrt(q.var[ch] + q.eps), count = static_cast<double>(q.n * q.l);
  double sums[2];
  const i64 next = q.c * q.l;
  channelTotals<2>(q.n, q.c, q.l, ch, sums, [&](auto how, i64 at, vd* sum) {
    __builtin_prefetch(q.g + at + next);
    __builtin_prefetch(q.x + at + next);
    const vf g = how.load(q.g + at), d = how.load(q.x + at) - mu;
    sum[0] += low(g) + high(g);
    sum[1] += low(g) * low(d) + high(g) * high(d);
  });
  const double gw = sums[1] * inverse, factor = q.w[ch] * inverse;
  q.gb[ch] = static_cast<float>(sums[0]);
  q.gw[ch] = static_cast<float>(gw);
  const vf k1 = splat(static_cast<float>(factor)), k2 = splat(static_cast<float>(-inverse * gw / count)),
           k3 = splat(static_cast<float>(-sums[0] / count));
  eachInChannel(q.n, q.c, q.l, ch, [=, gx = q.gx, g = q.g, x = q.x](auto how, i64 at) {
    __builtin_prefetch(gx + at + next, 1);
    const vf d = how.load(x + at) - mu;
    how.store(gx + at, k1 * (how.load(g + at) + fma(d, k2, k3)));
  });
}

template <class How>
INLINE void batchNormGradColumns(const BatchGrad& q, How how, i64 ch) {
  const vf mu = how.load(q.mean + ch), var = how.load(q.var + ch), w = how.load(q.w + ch);
  vd s[2] = {}, sd[2] = {};
  for (i64 i = 0; i < q.n; ++i) {
    const vf g = how.load(q.g + i * q.c + ch), d = how.load(q.x + i * q.c + ch) - mu;
    s[0] += low(g);
    s[1] += high(g);
    sd[0] += low(g) * low(d);
    sd[1] += high(g) * high(d);
  }
  double gw[W], first[W], second[W], third[W];
  for (int k = 0; k < W; ++k) {
    const int half = k / (W / 2), lane = k % (W / 2);
    const double inverse = 1 / __builtin_sqrt(var[k] + q.eps);
    gw[k] = sd[half][lane] * inverse;
    first[k] = w[k] * inverse;
    second[k] = -inverse * gw[k] / q.n;
    third[k] = -s[half][lane] / q.n;
  }
  const auto vector = [](const double* v) { return narrow(loadAs<vd>(v), loadAs<vd>(v + W / 2)); };
  how.store(q.gb + ch, narrow(s[0], s[1]));
  how.store(q.gw + ch, vector(gw));
  const vf k1 = vector(first), k2 = vector(second), k3 = vector(third);
  for (i64 i = 0; i < q.n; ++i) {
    const vf d = how.load(q.x + i * q.c + ch) - mu;
    how.store(q.gx + i * q.c + ch, k1 * (how.load(q.g + i * q.c + ch) + fma(d, k2, k3)));
  }
}

/** One task a channel, or a vector of channels when each has one position. */
template <class One, class Columns>
static void eachChannel(Context& cx, i64 n, i64 c, i64 l, const One& one, const Columns& columns) {
  if (n * l == 0) return;
  if (l > 1) {
    eachRow(cx, c, 4 * n * l, one);
    return;
  }
  eachRow(cx, ceilDiv(c, W), 4 * n * W, [&](i64 block) {
    const i64 ch = block * W;
    if (ch + W <= c)
      columns(Whole{}, ch);
    else
      columns(Part{static_cast<int>(c - ch)}, ch);
  });
}

namespace rows {

static void batchNorm(Context& cx, float* y, float* mean, float* var, const float* x, const float* w,
                      const float* b, i64 n, i64 c, i64 l, double eps) {
  const Batch q{y, mean, var, x, w, b, n, c, l, eps};
  eachChannel(
      cx, n, c, l, [&](i64 ch) { batchNormChannel(q, ch); },
      [&](auto how, i64 ch) { batchNormColumns(q, how, ch); });
}

static void batchNormGrad(Context& cx, float* gx, float* gw, float* gb, const float* g, const float* x,
                          const float* mean, const float* var, const float* w, i64 n, i64 c, i64 l,
                          double eps) {
  const BatchGrad q{gx, gw, gb, g, x, mean, var, w, n, c, l, eps};
  eachChannel(
      cx, n, c, l, [&](i64 ch) { batchNormGradChannel(q, ch); },
      [&](auto how, i64 ch) { batchNormGradColumns(q, how, ch); });
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
