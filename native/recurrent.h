// One time step of the recurrent layers: blocks of `hidden` numbers side by side in rows, all else
// elementwise.
#pragma once
#include "loop.h"
#include "math.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** The price of an element in additions: five transcendental functions. */
constexpr i64 CELL_WEIGHT = 30;

/** f(how, row, j) over rows of `hidden` elements, not unrolled: the formulas are long. */
template <class F>
static void eachCell(const Context& cx, i64 batch, i64 hidden, const F& f) {
  eachRow(cx, batch, hidden * CELL_WEIGHT, [&](i64 row) {
    i64 j = 0;
    for (; j + W <= hidden; j += W) f(Whole{}, row, j);
    if (j < hidden) f(Part{static_cast<int>(hidden - j)}, row, j);
  });
}

/** Numbers that may be absent, which stand for zeros. */
template <class How>
INLINE vf loadOrZero(How how, const float* p, i64 at) {
  return p ? how.load(p + at) : vf{};
}

namespace rows {

static void lstmCell(Context& cx, float* hs, float* cs, float* gates, const float* xs, const float* products,
                     const float* before, i64 batch, i64 hidden) {
  eachCell(cx, batch, hidden, [=](auto how, i64 row, i64 j) {
    const i64 at = row * hidden + j, first = 4 * row * hidden + j;
    const auto pre = [&](i64 block) {
      const i64 k = first + block * hidden;
      return how.load(xs + k) + how.load(products + k);
    };
    const vf i = math::sigmoid(pre(0)), f = math::sigmoid(pre(1)), g = math::tanh(pre(2)),
             o = math::sigmoid(pre(3));
    const vf c = fma(f, how.load(before + at), i * g);
    how.store(gates + first, i);
    how.store(gates + first + hidden, f);
    how.store(gates + first + 2 * hidden, g);
    how.store(gates + first + 3 * hidden, o);
    how.store(cs + at, c);
    how.store(hs + at, o * math::tanh(c));
  });
}

static void lstmCellGrad(Context& cx, float* gx, float* gBefore, const float* gy, const float* gh,
                         const float* gc, const float* gates, const float* before, const float* after,
                         i64 batch, i64 hidden) {
  eachCell(cx, batch, hidden, [=](auto how, i64 row, i64 j) {
    const i64 at = row * hidden + j, first = 4 * row * hidden + j;
    const vf i = how.load(gates + first), f = how.load(gates + first + hidden),
             g = how.load(gates + first + 2 * hidden), o = how.load(gates + first + 3 * hidden);
    const vf h = how.load(gy + at) + loadOrZero(how, gh, at), t = math::tanh(how.load(after + at));
    const vf c = fma(h * o, (1.0f - t) * (1.0f + t), loadOrZero(how, gc, at));
    how.store(gx + first, c * g * (i * (1.0f - i)));
    how.store(gx + first + hidden, c * how.load(before + at) * (f * (1.0f - f)));
    how.store(gx + first + 2 * hidden, c * i * ((1.0f - g) * (1.0f + g)));
    how.store(gx + first + 3 * hidden, h * t * (o * (1.0f - o)));
    how.store(gBefore + at, c * f);
  });
}

static void gruCell(Context& cx, float* hs, float* gates, const float* xs, const float* products,
                    const float* before, i64 batch, i64 hidden) {
  eachCell(cx, batch, hidden, [=](auto how, i64 row, i64 j) {
    const i64 at = row * hidden + j, first = 3 * row * hidden + j, saved = 4 * row * hidden + j;
    const auto x = [&](i64 block) { return how.load(xs + first + block * hidden); };
    const auto p = [&](i64 block) { return how.load(products + first + block * hidden); };
    const vf r = math::sigmoid(x(0) + p(0)), z = math::sigmoid(x(1) + p(1));
    const vf n = math::tanh(fma(r, p(2), x(2)));
    how.store(gates + saved, r);
    how.store(gates + saved + hidden, z);
    how.store(gates + saved + 2 * hidden, n);
    how.store(gates + saved + 3 * hidden, p(2));
    how.store(hs + at, fma(z, how.load(before + at) - n, n));
  });
}

static void gruCellGrad(Context& cx, float* gx, float* gp, float* gBefore, const float* gy, const float* gh,
                        const float* gd, const float* gates, const float* before, i64 batch, i64 hidden) {
  eachCell(cx, batch, hidden, [=](auto how, i64 row, i64 j) {
    const i64 at = row * hidden + j, first = 3 * row * hidden + j, saved = 4 * row * hidden + j;
    const vf r = how.load(gates + saved), z = how.load(gates + saved + hidden),
             n = how.load(gates + saved + 2 * hidden), p = how.load(gates + saved + 3 * hidden);
    const vf g = how.load(gy + at) + loadOrZero(how, gh, at) + loadOrZero(how, gd, at);
    const vf gn = g * (1.0f - z) * ((1.0f - n) * (1.0f + n));
    const vf gr = gn * p * (r * (1.0f - r)), gz = g * (how.load(before + at) - n) * (z * (1.0f - z));
    how.store(gx + first, gr);
    how.store(gx + first + hidden, gz);
    how.store(gx + first + 2 * hidden, gn);
    how.store(gp + first, gr);
    how.store(gp + first + hidden, gz);
    how.store(gp + first + 2 * hidden, gn * r);
    how.store(gBefore + at, g * z);
  });
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
