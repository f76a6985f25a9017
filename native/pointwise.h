// Kernels of elementwise functions. Arithmetic rows are never contracted: they give the same bits on every
// engine.
#pragma once
#include "loop.h"
#include "math.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

INLINE vf truth(vi mask) { return bits(mask & bits(splat(1.0f))); }

struct Maximum {
  /** NaN if either is NaN. */
  INLINE_MEMBER vf operator()(vf a, vf b) const {
    const vf y = atLeast(b, a);
    return a != a ? a : y;
  }
};
struct Minimum {
  INLINE_MEMBER vf operator()(vf a, vf b) const {
    const vf y = atMost(b, a);
    return a != a ? a : y;
  }
};

namespace rows {

/** A row (out, x, n) of y = value; `weight` is its price in additions. */
#define UNARY(name, weight, value)                                    \
  static void name(Context& cx, float* out, const float* in, i64 n) { \
    sweep(cx, n, weight, [=](auto how, i64 k) {                       \
      const vf x = how.load(in + k);                                  \
      how.store(out + k, value);                                      \
    });                                                               \
  }

UNARY(neg, 1, -x)
UNARY(abs, 1, magnitude(x))
UNARY(sign, 1, (x > 0.0f ? splat(1.0f) : x < 0.0f ? splat(-1.0f) : x))
UNARY(square, 1, x* x)
UNARY(reciprocal, 2, 1.0f / x)
UNARY(rsqrt, 4, 1.0f / quickRoot(x))
UNARY(floor, 1, floorOf(x))
UNARY(ceil, 1, ceilOf(x))
UNARY(round, 1, roundEven(x))
UNARY(trunc, 1, truncOf(x))
UNARY(relu, 1, atLeast(x, vf{}))
UNARY(exp, 4, math::exp(x))
UNARY(expm1, 4, math::expm1(x))
UNARY(log, 6, math::log(x))
UNARY(log1p, 8, math::log1p(x))
UNARY(sin, 6, math::sin(x))
UNARY(cos, 6, math::cos(x))
UNARY(tanh, 6, math::tanh(x))
UNARY(sigmoid, 6, math::sigmoid(x))
UNARY(softplus, 12, math::softplus(x))
UNARY(silu, 6, x* math::sigmoid(x))
UNARY(erf, 8, math::erf(x))
UNARY(gelu, 8, math::gelu(x))
UNARY(geluTanh, 6, math::geluTanh(x))
#undef UNARY

/** Every second vector goes through the divider, which then works while the others are multiplied. */
static void sqrt(Context& cx, float* out, const float* in, i64 n) {
  pieces(cx, n, 2, [=](i64 from, i64 to) {
    i64 k = from;
    for (; k + 2 * W <= to; k += 2 * W) {
      storeAs(out + k, root(loadAs<vf>(in + k)));
      storeAs(out + k + W, quickRoot(loadAs<vf>(in + k + W)));
    }
    span(k, to, [=](auto how, i64 j) { how.store(out + j, root(how.load(in + j))); });
  });
}

/** A row (out, g, y, n): the gradient of a unary function from its output or input y. */
#define GRADIENT(name, weight, value)                                                  \
  static void name(Context& cx, float* out, const float* gs, const float* ys, i64 n) { \
    sweep(cx, n, weight, [=](auto how, i64 k) {                                        \
      const vf g = how.load(gs + k);                                                   \
      const vf y = how.load(ys + k);                                                   \
      how.store(out + k, value);                                                       \
    });                                                                                \
  }

GRADIENT(reluGrad, 1, (y > 0.0f ? g : vf{}))
GRADIENT(tanhGrad, 1, g * ((1.0f - y) * (1.0f + y)))
GRADIENT(sigmoidGrad, 1, g*(y * (1.0f - y)))
GRADIENT(geluGrad, 12, g* math::geluSlope(y))
GRADIENT(geluTanhGrad, 8, g* math::geluTanhSlope(y))
GRADIENT(siluGrad, 6, g* math::siluSlope(y))
#undef GRADIENT

static void where(Context& cx, float* out, const float* c, const float* a, const float* b, i64 n) {
  sweep(cx, n, 1, [=](auto how, i64 k) {
    how.store(out + k, how.load(c + k) != 0.0f ? how.load(a + k) : how.load(b + k));
  });
}

static void fill(Context& cx, float* out, double value, i64 n) {
  const vf v = splat(static_cast<float>(value));
  sweep(cx, n, 1, [=](auto how, i64 k) { how.store(out + k, v); });
}

static void accumulate(Context& cx, float* y, const float* x, i64 n) {
  stream(cx, n, 1, [=](auto how, i64 k) { how.store(y + k, how.load(y + k) + how.load(x + k)); });
}

static void axpy(Context& cx, float* y, const float* x, double alpha, i64 n) {
  if (alpha == 0) return;
  const vf a = splat(static_cast<float>(alpha));
  stream(cx, n, 1, [=](auto how, i64 k) { how.store(y + k, how.load(y + k) + a * how.load(x + k)); });
}

static void scale(Context& cx, float* x, const float* cell, i64 n) {
  const vf factor = splat(*cell);
  stream(cx, n, 1, [=](auto how, i64 k) { how.store(x + k, how.load(x + k) * factor); });
}

static void affine(Context& cx, float* x, double factor, double shift, i64 n) {
  pieces(cx, n, 2, [=](i64 from, i64 to) {
    for (i64 k = from; k < to; ++k) x[k] = static_cast<float>(shift + factor * static_cast<double>(x[k]));
  });
}

static void blend(Context& cx, float* r, const float* x, double momentum, double factor, i64 n) {
  const vf a = splat(static_cast<float>(momentum)), s = splat(static_cast<float>(factor));
  stream(cx, n, 1, [=](auto how, i64 k) {
    const vf old = how.load(r + k);
    how.store(r + k, old + a * (s * how.load(x + k) - old));
  });
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
