// The register tile of matrix products: R rows by V vectors of C, summed over a run of terms. Each element is
// summed in the order of the terms by the same operations in every variant, so cutting C differently changes
// no bit.
#pragma once
#include "control.h"
#include "loop.h"
#include "math.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** Rows of the tile. With two vectors a row, accumulators, a row of B and a factor of A fill the registers.
 */
#if defined(__AVX512F__)
constexpr int TILE_ROWS = 14;
#elif defined(__ARM_NEON)
constexpr int TILE_ROWS = 12;
#elif defined(__AVX2__)
constexpr int TILE_ROWS = 6;
#else
constexpr int TILE_ROWS = 4;
#endif
constexpr int TILE_VECTORS = 2;
constexpr int TILE_COLS = TILE_VECTORS * W;
/** How many terms before its use a row of B is fetched into L1: a term takes 6 to 14 cycles, L2 answers after
 * 15 and, busy with other rows, later. */
constexpr i64 NEAR = 8;
/** Panels of fewer terms lie in L1 already or are too short to gain. */
constexpr i64 SHORT = 96;

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

/** C = op(A) op(B) of row-major matrices, and what follows. */
struct MatrixProduct {
  const float *a, *b;
  float* c;
  i64 m, n, k;
  bool ta, tb;
  i64 lda, ldb, ldc;
  Ending end;
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
  /** What ByRowAhead brings into L2: as many reals as there are terms. */
  const float* ahead = nullptr;
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

/** Adds bias and residual, and rectifies. */
template <int R, int V>
INLINE void addTo(vf (&acc)[R][V], const Target& t, const float* bias, const float* residual) {
  const bool rectifies = t.last && t.end->after.act == RELU;
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) {
    const int count = v == V - 1 ? t.lanes : W;
    if (bias) {
      const vf b = count == W ? loadAs<vf>(bias + v * W) : loadPart(bias + v * W, count);
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) acc[i][v] += b;
    }
    if (residual)
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) {
        const float* from = residual + v * W + i * t.ldc;
        acc[i][v] += count == W ? loadAs<vf>(from) : loadPart(from, count);
      }
    if (rectifies)
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) acc[i][v] = activate(RELU, acc[i][v]);
  }
}

template <int R, int V>
INLINE void finish(vf (&acc)[R][V], const Target& t) {
  const Ending& end = *t.end;
  const float alpha = end.alpha, beta = t.first ? end.beta : 1.0f;
  if (alpha != 1.0f)
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) acc[i][v] *= alpha;
  if (beta != 0.0f)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      const int count = v == V - 1 ? t.lanes : W;
      const float* c = t.c + v * W;
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) {
        const vf old = count == W ? loadAs<vf>(c + i * t.ldc) : loadPart(c + i * t.ldc, count);
        acc[i][v] += old * beta;
      }
    }
  const float* bias = t.last ? t.bias : nullptr;
  const float* residual = t.last ? end.after.residualFor(t.c) : nullptr;
  if (bias || residual) {
    settle(acc);
    const Keeping subnormals;
    addTo(acc, t, bias, residual);
    settle(acc);
  } else {
    addTo(acc, t, nullptr, nullptr);
  }
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) {
    const int count = v == V - 1 ? t.lanes : W;
    float* c = t.c + v * W;
    if (count == W)
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) storeAs(c + i * t.ldc, acc[i][v]);
    else
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) storePart(c + i * t.ldc, acc[i][v], count);
  }
  // The others take registers of their own.
  if (t.last && end.after.act > RELU)
    finishStored({nullptr, nullptr, end.after.act}, t.c, t.ldc, R, (V - 1) * W + t.lanes);
}

/** A factor of A into every lane, straight from memory. */
INLINE vf factorAt(const float* p) {
#if defined(__AVX512F__)
  return _mm512_set1_ps(*p);
#elif defined(__AVX2__)
  return _mm256_broadcast_ss(p);
#else
  return splat(*p);
#endif
}

/** A's terms lie side by side, its rows `step` apart. */
struct ByRow {
  const float* p[(TILE_ROWS + 2) / 3];
  i64 step;
  INLINE_MEMBER ByRow(const float* a, i64 s, const float* = nullptr) : step(s) {
    for (int k = 0; k < (TILE_ROWS + 2) / 3; ++k) p[k] = a + 3 * k * s;
  }
  INLINE_MEMBER vf at(int i) const { return factorAt(p[i / 3] + (i % 3) * step); }
  template <int R>
  INLINE_MEMBER void next() {
#pragma GCC unroll 8
    for (int k = 0; k < (R + 2) / 3; ++k) ++p[k];
  }
  /** Asks for factors that come later. */
  template <int R>
  INLINE_MEMBER void ask() const {}
};

/** As ByRow, and brings a row of the next tile meanwhile: at 1024 and 2048 rows, which come from beyond L2,
 * products gain 2 and 4 %. */
struct ByRowAhead : ByRow {
  const float* ahead;
  INLINE_MEMBER ByRowAhead(const float* a, i64 s, const float* next) : ByRow(a, s), ahead(next) {}
  template <int R>
  INLINE_MEMBER void ask() {
    __builtin_prefetch(ahead++, 0, 2);
  }
};

/** A's rows lie side by side, its terms `step` apart: a transposed operand, or a packed one. */
struct ByTerm {
  const float* p;
  i64 step;
  INLINE_MEMBER ByTerm(const float* a, i64 s, const float* = nullptr) : p(a), step(s) {}
  INLINE_MEMBER vf at(int i) const { return factorAt(p + i); }
  template <int R>
  INLINE_MEMBER void ask() const {}
  template <int R>
  INLINE_MEMBER void next() {
    p += step;
  }
};

/** A transposed operand where it lies: its terms are far apart, so no hardware brings the next ones. A
 * gradient by weights of 128 × 512 from 1024 rows takes 616 µs, and 679 without asking ahead. */
struct ByFarTerm : ByTerm {
  using ByTerm::ByTerm;
  template <int R>
  INLINE_MEMBER void ask() const {
    __builtin_prefetch(p + NEAR * step);
    __builtin_prefetch(p + NEAR * step + R - 1);
  }
};

/** acc += x y. Named outright for AVX-512: free to choose among its three forms, the compiler overwrites
 * factors and then runs out of registers in some tiles. */
INLINE void addProduct(vf& acc, vf x, vf y) {
#if defined(__AVX512F__)
  asm("vfmadd231ps %2, %1, %0" : "+v"(acc) : "v"(x), "v"(y));
#else
  acc = fma(x, y, acc);
#endif
}

/** Adds one term: a row of B times R factors of A. */
template <class A, int R, int V>
INLINE void addTerm(vf (&acc)[R][V], A& from, const float* b) {
  vf row[V];
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) row[v] = loadAs<vf>(b + v * W);
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
    const vf factor = from.at(i);
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) addProduct(acc[i][v], factor, row[v]);
  }
  from.template next<R>();
}

template <class A, int R, int V>
static void tile(i64 terms, const float* a, i64 step, const float* b, i64 ldb, const Target& t) {
  vf acc[R][V] = {};
  A from(a, step, t.ahead);
  // C and a residual are needed at the end only; by then they have come.
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) __builtin_prefetch(t.c + i * t.ldc, 1);
  if (const float* residual = t.last ? t.end->after.residualFor(t.c) : nullptr)
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
      for (int v = 0; v < V * W; v += LINE) __builtin_prefetch(residual + i * t.ldc + v);
  i64 k = 0;
  for (const i64 fetched = terms < SHORT ? 0 : terms - NEAR; k < fetched; ++k) {
#pragma GCC unroll 8
    for (int v = 0; v < V * W; v += LINE) __builtin_prefetch(b + NEAR * ldb + v);
    from.template ask<R>();
    addTerm(acc, from, b);
    b += ldb;
  }
#pragma GCC unroll 1
  for (; k < terms; ++k) {
    addTerm(acc, from, b);
    b += ldb;
  }
  finish(acc, t);
}

/** `n` rows or columns are cut evenly into `parts` tiles; where tile t starts. */
INLINE i64 tileStart(i64 n, i64 parts, i64 t) { return n * t / parts; }

using TileKernel = void (*)(i64 terms, const float* a, i64 step, const float* b, i64 ldb, const Target& t);

/** Variants by number of rows; one table for each way to read A and each width. */
template <class A, int V>
INLINE TileKernel tileOf(i64 rows) {
  static const TileKernel table[] = {
      &tile<A, 1, V>,  &tile<A, 2, V>,  &tile<A, 3, V>, &tile<A, 4, V>,
#if defined(__AVX2__) || defined(__ARM_NEON)
      &tile<A, 5, V>,  &tile<A, 6, V>,
#endif
#if defined(__AVX512F__) || defined(__ARM_NEON)
      &tile<A, 7, V>,  &tile<A, 8, V>,  &tile<A, 9, V>, &tile<A, 10, V>, &tile<A, 11, V>, &tile<A, 12, V>,
#endif
#if defined(__AVX512F__)
      &tile<A, 13, V>, &tile<A, 14, V>,
#endif
  };
  return table[rows - 1];
}

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
