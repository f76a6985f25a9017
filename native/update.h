// Kernels of optimizer updates: one pass over parameters, gradients and state. Each operation is rounded by
// itself, in the order of the row's formula, so that every engine gives the same bits. State below the normal
// range is stored as 0, and squares below it count as 0.
#pragma once
#include <cmath>

#include "loop.h"
#include "reduce.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** What lies below `least` to +0; NaN and all else unchanged. */
INLINE vf flush(vf x, vf least) { return magnitude(x) < least ? vf{} : x; }
/** Subnormals to +0. */
INLINE vf flush(vf x) { return flush(x, splat(0x1p-126f)); }
/** Below this c x would be subnormal. */
INLINE vf leastScaled(float c) { return splat(static_cast<float>(0x1p-126 / static_cast<double>(c))); }
/** c d d, or 0 where that is below the smallest normal number: a vector with one subnormal product takes a
 * hundred times as long. */
struct Squared {
  vf c, least;
  explicit Squared(float factor)
      : c(splat(factor)),
        least(splat(static_cast<float>(std::sqrt(0x1p-126 / static_cast<double>(factor))))) {}
  INLINE_MEMBER vf operator()(vf d) const {
    const vf x = flush(d, least);
    return (c * x) * x;
  }
};
/** a / b, but 0 where b is 0: where the denominator is 0 nothing moves. */
INLINE vf quotient(vf a, vf b) { return b == 0.0f ? vf{} : a / b; }

/** sign · g + wd · p: maximize first, then L2 decay. */
struct Decay {
  vf wd, sign;
  INLINE_MEMBER vf operator()(vf p, vf g) const { return sign * g + wd * p; }
};

/** First and second moment of Adam and its relatives; stores both. */
struct Moments {
  float *m, *v;
  vf c1, leastMean, b2;
  Squared squared;
  /** Cells 3 to 5 are 1-b1, b2 and 1-b2 in all their rows. */
  Moments(float* mean, float* square, const float* cells)
      : m(mean),
        v(square),
        c1(splat(cells[3])),
        leastMean(leastScaled(cells[3])),
        b2(splat(cells[4])),
        squared(cells[5]) {}
  template <class How>
  INLINE_MEMBER void update(How how, i64 k, vf d, vf& mean, vf& square) const {
    const vf old = how.load(m + k);
    mean = flush(old + c1 * (d - old), leastMean);
    square = flush(b2 * how.load(v + k) + squared(d));
    how.store(m + k, mean);
    how.store(v + k, square);
  }
};

/** The larger of v · scale and the stored maximum, stored again; v itself where there is no maximum. */
template <bool Peak, class How>
INLINE vf peak(How how, float* top, i64 k, vf v, vf scale) {
  if (!Peak) return v;
  const vf now = v * scale;
  const vf old = how.load(top + k);
  const vf y = ((now > old) | (now != now)) ? now : old;
  how.store(top + k, y);
  return y;
}

template <bool B>
struct Constant {
  static constexpr bool value = B;
};

/** Calls f with a constant true or false, so that a loop is made for each. */
template <class F>
INLINE void choose(bool condition, F f) {
  if (condition)
    f(Constant<true>{});
  else
    f(Constant<false>{});
}

/**
 * f(how, k) over [0, n) of so many arrays. One thread does what fits into its second cache: gradients come
 * from there and parameters go back into it, because kernels of such sizes seldom have a second thread. A
 * deep step of 20 layers of 64 takes 175 µs with two threads in its update, and 145 with one.
 */
template <class F>
static void update(const Context& cx, i64 n, i64 arrays, const F& f) {
  if (n * arrays * static_cast<i64>(sizeof(float)) <= cx.l2)
    span(0, n, f);
  else
    stream(cx, n, 1, f);
}

namespace rows {

static void sgdStep(Context& cx, float* p, const float* g, const float* cells, i64 n) {
  const vf lr = splat(cells[0]);
  const Decay decay{splat(cells[1]), splat(cells[2])};
  update(cx, n, 2, [=](auto how, i64 k) {
    const vf x = how.load(p + k);
    how.store(p + k, x - lr * decay(x, how.load(g + k)));
  });
}

static void momentumStep(Context& cx, float* p, const float* g, float* v, const float* cells, i64 n) {
  const vf lr = splat(cells[0]), mu = splat(cells[3]), c = splat(cells[4]), a = splat(cells[5]),
           b = splat(cells[6]);
  const Decay decay{splat(cells[1]), splat(cells[2])};
  update(cx, n, 3, [=](auto how, i64 k) {
    const vf x = how.load(p + k);
    const vf d = decay(x, how.load(g + k));
    const vf velocity = flush(mu * how.load(v + k) + c * d);
    how.store(v + k, velocity);
    how.store(p + k, x - lr * (a * d + b * velocity));
  });
}

static void adagradStep(Context& cx, float* p, const float* g, float* s, const float* cells, i64 n) {
  const vf lr = splat(cells[0]), eps = splat(cells[3]);
  const Squared squared(1);
  const Decay decay{splat(cells[1]), splat(cells[2])};
  update(cx, n, 3, [=](auto how, i64 k) {
    const vf x = how.load(p + k);
    const vf d = decay(x, how.load(g + k));
    const vf sum = flush(how.load(s + k) + squared(d));
    how.store(s + k, sum);
    how.store(p + k, x - quotient(lr * d, root(sum) + eps));
  });
}

static void rmspropStep(Context& cx, float* p, const float* g, float* v, float* mean, float* buf,
                        const float* cells, i64 n) {
  const vf lr = splat(cells[0]), a = splat(cells[3]), lerp = splat(cells[5]), eps = splat(cells[6]),
           mu = splat(cells[7]);
  const Squared squared(cells[4]);
  const Decay decay{splat(cells[1]), splat(cells[2])};
  choose(mean != nullptr, [&](auto centred) {
    choose(buf != nullptr, [&](auto heavy) {
      update(cx, n, 3 + centred.value + heavy.value, [=](auto how, i64 k) {
        const vf x = how.load(p + k);
        const vf d = decay(x, how.load(g + k));
        vf e = d;
        if (centred.value) {
          const vf old = how.load(mean + k);
          e = d - old;
          how.store(mean + k, flush(old + lerp * e));
        }
        const vf average = flush(a * how.load(v + k) + squared(e));
        how.store(v + k, average);
        vf q = quotient(d, root(average) + eps);
        if (heavy.value) {
          q = flush(mu * how.load(buf + k) + q);
          how.store(buf + k, q);
        }
        how.store(p + k, x - lr * q);
      });
    });
  });
}

static void adamStep(Context& cx, float* p, const float* g, float* m, float* v, float* top,
                     const float* cells, i64 n) {
  const vf lr = splat(cells[0]), eps = splat(cells[6]), keep = splat(cells[7]), inner = splat(cells[8]),
           outer = splat(cells[9]);
  const vf leastMoving = leastScaled(cells[0]);
  const Decay decay{splat(cells[1]), splat(cells[2])};
  const Moments moments(m, v, cells);
  choose(top != nullptr, [&](auto amsgrad) {
    update(cx, n, 4 + amsgrad.value, [=](auto how, i64 k) {
      const vf x = how.load(p + k);
      vf mean, square;
      moments.update(how, k, decay(x, how.load(g + k)), mean, square);
      const vf w = peak<amsgrad.value>(how, top, k, square, inner);
      how.store(p + k, x * keep - quotient(lr * flush(mean, leastMoving), root(w) * outer + eps));
    });
  });
}

static void adaboundStep(Context& cx, float* p, const float* g, float* m, float* v, float* top,
                         const float* cells, i64 n) {
  const vf alpha = splat(cells[0]), eps = splat(cells[6]), low = splat(cells[7]), high = splat(cells[8]);
  const Decay decay{splat(cells[1]), splat(cells[2])};
  const Moments moments(m, v, cells);
  choose(top != nullptr, [&](auto amsbound) {
    update(cx, n, 4 + amsbound.value, [=](auto how, i64 k) {
      const vf x = how.load(p + k);
      vf mean, square;
      moments.update(how, k, decay(x, how.load(g + k)), mean, square);
      const vf rate = alpha / (root(peak<amsbound.value>(how, top, k, square, splat(1.0f))) + eps);
      const vf capped = rate < high ? rate : high;
      how.store(p + k, x - (rate > low ? capped : low) * mean);
    });
  });
}

static void lionStep(Context& cx, float* p, const float* g, float* m, const float* cells, i64 n) {
  const vf lr = splat(cells[0]), b1 = splat(cells[3]), c1 = splat(cells[4]), b2 = splat(cells[5]),
           c2 = splat(cells[6]), keep = splat(cells[7]);
  const Decay decay{splat(cells[1]), splat(cells[2])};
  update(cx, n, 3, [=](auto how, i64 k) {
    const vf x = how.load(p + k);
    const vf d = decay(x, how.load(g + k));
    const vf old = how.load(m + k);
    const vf u = b1 * old + c1 * d;
    how.store(m + k, flush(b2 * old + c2 * d));
    how.store(p + k, x * keep - lr * (u > 0.0f ? splat(1.0f) : u < 0.0f ? splat(-1.0f) : u));
  });
}

static void swatsStep(Context& cx, float* p, const float* g, float* m, float* v, float* dots,
                      const float* cells, i64 n) {
  const vf lr = splat(cells[0]), eps = splat(cells[6]);
  const vf leastMoving = leastScaled(cells[0]);
  const Decay decay{splat(cells[1]), splat(cells[2])};
  const Moments moments(m, v, cells);
  const auto step = [=](auto how, i64 k, vd* sum) {
    const vf x = how.load(p + k);
    const vf d = decay(x, how.load(g + k));
    vf mean, square;
    moments.update(how, k, d, mean, square);
    const vf q = -quotient(lr * flush(mean, leastMoving), root(square) + eps);
    how.store(p + k, x + q);
    addProducts(sum[0], q, q);
    addProducts(sum[1], q, d);
  };
  double sums[2];
  totals<2>(cx, n, 2, sums, [=](i64 from, i64 to, double* s) { leafTotals<2>(from, to, s, step); });
  putSplit(dots, sums[0]);
  putSplit(dots + 2, sums[1]);
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
