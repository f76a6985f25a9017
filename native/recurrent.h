// Recurrent layers through time. A row of the batch never meets another, so each thread takes some rows
// through all steps: products with the weights, then the cell, whose blocks of `hidden` numbers stand side by
// side.
#pragma once
#include "matmul.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** The price of an element in additions: five transcendental functions. */
constexpr i64 CELL_WEIGHT = 30;
/** Rows of the batch that are worth a thread: products of fewer read the weights for too little. */
constexpr i64 BATCH_PART = 4;

/** What one thread takes through time: rows [from, to) of the batch, or, without scratch, all rows, and every
 * step's work is shared. */
struct Walk {
  Context& cx;
  i64 from, to;
  float* scratch;

  void product(const MatrixProduct& q) const {
    if (scratch)
      productRange(cx, q, from, to, 0, q.n, scratch);
    else
      products(cx, q, 1, 0, 0, 0);
  }
  /** f(how, row, j) over rows of `hidden` elements, not unrolled: the formulas are long. */
  template <class F>
  void cells(i64 hidden, F f) const {
    const auto one = [=](i64 row) {
      i64 j = 0;
      for (; j + W <= hidden; j += W) f(Whole{}, row, j);
      if (j < hidden) f(Part{static_cast<int>(hidden - j)}, row, j);
    };
    if (!scratch)
      eachRow(cx, to, hidden * CELL_WEIGHT, one);
    else
      for (i64 row = from; row < to; ++row) one(row);
  }
};

/** f(walk) for all rows of the batch; `list` has the products of a step. */
template <int N, class F>
static void throughTime(Context& cx, i64 time, i64 batch, const MatrixProduct (&list)[N], const F& f) {
  i64 work = 0, each = 0;
  for (const MatrixProduct& q : list) {
    work += time * batch * q.n * q.k;
    each = most(each, scratchOf(cx, q, q.n));
  }
  const i64 threads = work < 2 * PRODUCT_GRAIN ? 1 : cx.threads;
  if (batch < BATCH_PART * threads) {
    f(Walk{cx, 0, batch, nullptr});
    return;
  }
  float* scratch = static_cast<float*>(reserve(cx, each * threads * sizeof(float)));
  parallel(static_cast<int>(threads), threads, [&](i64 part, int worker) {
    f(Walk{cx, tileStart(batch, threads, part), tileStart(batch, threads, part + 1),
           scratch + worker * each});
  });
}

/** The product of rows [batch, k] with a matrix [k, n], whose rows and C's are `ldb` and `ldc` apart. */
INLINE MatrixProduct weighted(const float* a, const float* b, float* c, i64 batch, i64 n, i64 k, i64 ldb,
                              i64 ldc, const float* bias, bool adds) {
  return {a, b, c, batch, n, k, false, false, k, ldb, ldc, {1, adds ? 1.0f : 0.0f, bias, {}}};
}

/** q with A and C so many elements later. */
INLINE MatrixProduct later(MatrixProduct q, i64 a, i64 c) {
  q.a += a;
  q.c += c;
  return q;
}

/** The k-th step of a walk: its time, and which states it starts from and ends in. */
struct Step {
  i64 at, before, after;
  Step(i64 k, i64 time, bool reverse)
      : at(reverse ? time - 1 - k : k), before(reverse ? at + 1 : at), after(reverse ? at : at + 1) {}
};

namespace rows {

static void lstm(Context& cx, float* hs, float* cs, float* gates, const float* x, const float* wx,
                 const float* wh, const float* bx, const float* bh, i64 time, i64 batch, i64 inputs,
                 i64 hidden, i64 reverse) {
  const i64 state = batch * hidden, wide = 4 * hidden;
  const MatrixProduct list[] = {weighted(x, wx, gates, batch, wide, inputs, wide, wide, bx, false),
                                weighted(hs, wh, gates, batch, wide, hidden, wide, wide, bh, true)};
  throughTime(cx, time, batch, list, [=, &list](const Walk& walk) {
    for (i64 k = 0; k < time; ++k) {
      const Step s(k, time, reverse != 0);
      walk.product(later(list[0], s.at * batch * inputs, s.at * 4 * state));
      walk.product(later(list[1], s.before * state, s.at * 4 * state));
      float *blocks = gates + s.at * 4 * state, *h = hs + s.after * state, *c = cs + s.after * state;
      const float* before = cs + s.before * state;
      walk.cells(hidden, [=](auto how, i64 row, i64 j) {
        const i64 at = row * hidden + j;
        float* own = blocks + 4 * row * hidden + j;
        const vf i = math::sigmoid(how.load(own)), f = math::sigmoid(how.load(own + hidden)),
                 g = math::tanh(how.load(own + 2 * hidden)), o = math::sigmoid(how.load(own + 3 * hidden));
        const vf next = fma(f, how.load(before + at), i * g);
        how.store(own, i);
        how.store(own + hidden, f);
        how.store(own + 2 * hidden, g);
        how.store(own + 3 * hidden, o);
        how.store(c + at, next);
        how.store(h + at, o * math::tanh(next));
      });
    }
  });
}

static void lstmGrad(Context& cx, float* gx, float* gh, float* gc, const float* gy, const float* gates,
                     const float* cs, const float* wh, i64 time, i64 batch, i64 hidden, i64 reverse,
                     i64 through) {
  const i64 state = batch * hidden;
  const MatrixProduct list[] = {
      weighted(gx, wh, gh, batch, hidden, 4 * hidden, hidden, hidden, nullptr, false)};
  throughTime(cx, time, batch, list, [=, &list](const Walk& walk) {
    for (i64 k = time - 1; k >= 0; --k) {
      const Step s(k, time, reverse != 0);
      const float *own = gates + s.at * 4 * state, *outer = gy + s.at * state,
                  *before = cs + s.before * state, *after = cs + s.after * state;
      float* out = gx + s.at * 4 * state;
      walk.cells(hidden, [=](auto how, i64 row, i64 j) {
        const i64 at = row * hidden + j, first = 4 * row * hidden + j;
        const vf i = how.load(own + first), f = how.load(own + first + hidden),
                 g = how.load(own + first + 2 * hidden), o = how.load(own + first + 3 * hidden);
        const vf h = how.load(outer + at) + how.load(gh + at), t = math::tanh(how.load(after + at));
        const vf c = fma(h * o, (1.0f - t) * (1.0f + t), how.load(gc + at));
        how.store(out + first, c * g * (i * (1.0f - i)));
        how.store(out + first + hidden, c * how.load(before + at) * (f * (1.0f - f)));
        how.store(out + first + 2 * hidden, c * i * ((1.0f - g) * (1.0f + g)));
        how.store(out + first + 3 * hidden, h * t * (o * (1.0f - o)));
        how.store(gc + at, c * f);
      });
      if (k > 0 || through) walk.product(later(list[0], s.at * 4 * state, 0));
    }
  });
}

static void gru(Context& cx, float* hs, float* gates, const float* x, const float* wx, const float* wh,
                const float* bx, const float* bh, i64 time, i64 batch, i64 inputs, i64 hidden, i64 reverse) {
  const i64 state = batch * hidden, wide = 3 * hidden, row4 = 4 * hidden;
  // The last block of the product with h is kept apart: the reset gate multiplies it alone.
  const MatrixProduct list[] = {weighted(x, wx, gates, batch, wide, inputs, wide, row4, bx, false),
                                weighted(hs, wh, gates, batch, 2 * hidden, hidden, wide, row4, bh, true),
                                weighted(hs, wh + 2 * hidden, gates + wide, batch, hidden, hidden, wide, row4,
                                         bh ? bh + 2 * hidden : nullptr, false)};
  throughTime(cx, time, batch, list, [=, &list](const Walk& walk) {
    for (i64 k = 0; k < time; ++k) {
      const Step s(k, time, reverse != 0);
      const i64 here = s.at * 4 * state;
      walk.product(later(list[0], s.at * batch * inputs, here));
      walk.product(later(list[1], s.before * state, here));
      walk.product(later(list[2], s.before * state, here));
      float *blocks = gates + here, *h = hs + s.after * state;
      const float* before = hs + s.before * state;
      walk.cells(hidden, [=](auto how, i64 row, i64 j) {
        const i64 at = row * hidden + j;
        float* own = blocks + 4 * row * hidden + j;
        const vf r = math::sigmoid(how.load(own)), z = math::sigmoid(how.load(own + hidden));
        const vf n = math::tanh(fma(r, how.load(own + 3 * hidden), how.load(own + 2 * hidden)));
        how.store(own, r);
        how.store(own + hidden, z);
        how.store(own + 2 * hidden, n);
        how.store(h + at, fma(z, how.load(before + at) - n, n));
      });
    }
  });
}

static void gruGrad(Context& cx, float* gx, float* gp, float* gh, float* gd, const float* gy,
                    const float* gates, const float* hs, const float* wh, i64 time, i64 batch, i64 hidden,
                    i64 reverse, i64 through) {
  const i64 state = batch * hidden;
  const MatrixProduct list[] = {
      weighted(gp, wh, gh, batch, hidden, 3 * hidden, hidden, hidden, nullptr, false)};
  throughTime(cx, time, batch, list, [=, &list](const Walk& walk) {
    for (i64 k = time - 1; k >= 0; --k) {
      const Step s(k, time, reverse != 0);
      const float *own = gates + s.at * 4 * state, *outer = gy + s.at * state,
                  *before = hs + s.before * state;
      float *byX = gx + s.at * 3 * state, *byProduct = gp + s.at * 3 * state;
      walk.cells(hidden, [=](auto how, i64 row, i64 j) {
        const i64 at = row * hidden + j, first = 3 * row * hidden + j, saved = 4 * row * hidden + j;
        const vf r = how.load(own + saved), z = how.load(own + saved + hidden),
                 n = how.load(own + saved + 2 * hidden), p = how.load(own + saved + 3 * hidden);
        const vf g = how.load(outer + at) + how.load(gh + at) + how.load(gd + at);
        const vf gn = g * (1.0f - z) * ((1.0f - n) * (1.0f + n));
        const vf gr = gn * p * (r * (1.0f - r)), gz = g * (how.load(before + at) - n) * (z * (1.0f - z));
        how.store(byX + first, gr);
        how.store(byX + first + hidden, gz);
        how.store(byX + first + 2 * hidden, gn);
        how.store(byProduct + first, gr);
        how.store(byProduct + first + hidden, gz);
        how.store(byProduct + first + 2 * hidden, gn * r);
        how.store(gd + at, g * z);
      });
      if (k > 0 || through) walk.product(later(list[0], s.at * 3 * state, 0));
    }
  });
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
