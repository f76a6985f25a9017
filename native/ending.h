// How sums leave a register tile of a product or a convolution: scaled and added to what is there, with a
// bias, a residual and an activation. Subnormal numbers are kept from the bias on, so folding a kernel in
// changes no bit.
#pragma once
#include "control.h"
#include "loop.h"
#include "math.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** The activation that is one operation, by its number in the kernel table. */
constexpr int RELU = 1;

/** What follows the sums of a product or a convolution: a residual, which lies as the outputs from `first` on
 * do, or is null, and an activation. */
struct Epilogue {
  const float *residual, *first;
  int act;
  bool any() const { return residual || act; }
  bool isRelu() const { return !residual && act == RELU; }
  INLINE_MEMBER const float* residualFor(const float* out) const {
    return residual ? residual + (out - first) : nullptr;
  }
};

/** What happens to the sums on their way to C. */
struct Ending {
  float alpha, beta;
  const float* bias;
  Epilogue after;
};

/** Where a tile's sums go. Sums are added to C unless they are the first; bias, residual and activation come
 * with the last. */
struct Target {
  float* c;
  i64 ldc;
  const float* bias;
  /** Lanes of the last vector that exist. */
  int lanes;
  bool first, last;
  const Ending* end;
  /** What Fetching brings into L2: for each term a line, so many reals after the one before. */
  const float* ahead = nullptr;
  i64 aheadStep = 0;
  /** Whether sums go to C as they are, in whole vectors. */
  bool isPlain() const {
    return lanes == W && first && end->alpha == 1.0f && end->beta == 0.0f &&
           !(last && (bias || end->after.any()));
  }
};

/** Activations by number, as in the kernel table; the same operations as those of the rows of that name. */
INLINE vf activate(int act, vf x) {
  if (act == RELU) return atLeast(x, vf{});
  if (act == 2) return math::gelu(x);
  if (act == 3) return math::tanh(x);
  return act == 4 ? math::sigmoid(x) : x;
}

/** Subnormal numbers are numbers meanwhile: what ends a product gives the bits of the kernels that it stands
 * for. 3 cycles. */
class Keeping {
 public:
  INLINE_MEMBER Keeping() : before_(floatControl()) { setFloatControl(before_ & ~FLUSHING); }
  INLINE_MEMBER ~Keeping() { setFloatControl(before_); }
  Keeping(const Keeping&) = delete;
  Keeping& operator=(const Keeping&) = delete;

 private:
  uint64_t before_;
};

/** Arithmetic on `x` stays on its side of this: compilers do not know that it depends on the register. */
INLINE void settle(vf& x) {
#if defined(__x86_64__)
  asm volatile("" : "+v"(x));
#elif defined(__aarch64__)
  asm volatile("" : "+w"(x));
#endif
}

template <int R, int V>
INLINE void settle(vf (&acc)[R][V]) {
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) settle(acc[i][v]);
}

/** Finishes `rows` runs of n outputs, `step` apart, that were just stored and still lie in L1. */
static __attribute__((noinline)) void finishStored(const Epilogue& after, float* out, i64 step, i64 rows,
                                                   i64 n) {
  const Keeping subnormals;
  for (i64 i = 0; i < rows; ++i, out += step) {
    const float* residual = after.residualFor(out);
    span(0, n, [=](auto how, i64 k) {
      vf x = how.load(out + k);
      if (residual) x += how.load(residual + k);
      how.store(out + k, activate(after.act, x));
    });
  }
}

/** f(sum, how, c, j) for all sums of a tile: c points to where one goes, j is its column, and `last` how
 * those of the last vector meet memory. */
template <class How, int R, int V, class F>
INLINE void eachSum(vf (&acc)[R][V], How last, float* c, i64 ldc, const F& f) {
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i, c += ldc) {
#pragma GCC unroll 8
    for (int v = 0; v + 1 < V; ++v) f(acc[i][v], Whole{}, c + v * W, v * W);
    f(acc[i][V - 1], last, c + (V - 1) * W, (V - 1) * W);
  }
}

template <class How, int R, int V>
INLINE void finishAs(How last, vf (&acc)[R][V], const Target& t) {
  const Ending& end = *t.end;
  const float alpha = end.alpha, beta = t.first ? end.beta : 1.0f;
  // Inlined, or the sums lose their registers.
  const auto each = [&](const auto& f) __attribute__((always_inline)) { eachSum(acc, last, t.c, t.ldc, f); };
  if (alpha != 1.0f) each([=](vf& x, auto, float*, int) { x *= alpha; });
  if (beta != 0.0f) each([=](vf& x, auto how, float* c, int) { x += how.load(c) * beta; });
  const auto rectify = [&]() __attribute__((always_inline)) {
    if (t.last && end.after.act == RELU) each([](vf& x, auto, float*, int) { x = activate(RELU, x); });
  };
  const float* bias = t.bias;
  if (t.last && (bias || end.after.residual)) {
    settle(acc);
    const Keeping subnormals;
    if (bias) each([=](vf& x, auto how, float*, int j) { x += how.load(bias + j); });
    if (end.after.residual)
      each([&](vf& x, auto how, float* c, int) { x += how.load(end.after.residualFor(c)); });
    rectify();
    settle(acc);
  } else {
    rectify();
  }
  each([](vf& x, auto how, float* c, int) { how.store(c, x); });
  // The others take registers of their own.
  if (t.last && end.after.act > RELU)
    finishStored({nullptr, nullptr, end.after.act}, t.c, t.ldc, R, (V - 1) * W + t.lanes);
}

template <int R, int V>
INLINE void finish(vf (&acc)[R][V], const Target& t) {
  if (t.isPlain())
    eachSum(acc, Whole{}, t.c, t.ldc, [](vf x, auto how, float* c, int) { how.store(c, x); });
  else if (t.lanes == W)
    finishAs(Whole{}, acc, t);
  else
    finishAs(Part{t.lanes}, acc, t);
}

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
