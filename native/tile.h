// The register tile of matrix products: R rows by V vectors of C, summed over a run of terms. Each element is
// summed in the order of the terms by the same operations in every variant, so cutting C differently changes
// no bit.
#pragma once
#include <type_traits>
#include <utility>

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
/** A run of B with fewer terms and no more reals from first to last lies in L1 already. */
constexpr i64 SHORT = 96, SMALL = 8192;

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

/** Brings `rows` runs of n reals, `step` apart, into L1. Not part of a tile: it would take its registers. */
static __attribute__((noinline)) void askFor(const float* p, i64 step, i64 rows, i64 n) {
  for (i64 i = 0; i < rows; ++i, p += step)
    for (i64 k = 0; k < n; k += LINE) __builtin_prefetch(p + k);
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

/** The factor that lies so many strides of `bytes` after p. Named outright for AVX-512: the compiler turns
 * addresses into more counters than it has registers. */
template <int STRIDES>
INLINE vf factorAt(const float* p, i64 bytes) {
#if defined(__AVX512F__)
  vf x;
  asm("vbroadcastss (%1,%2,%c3), %0"
      : "=v"(x)
      : "r"(p), "r"(bytes), "i"(STRIDES), "m"(*reinterpret_cast<const float (*)[]>(p)));
  return x;
#else
  return factorAt(p + STRIDES * bytes / static_cast<i64>(sizeof(float)));
#endif
}

/** A's terms lie side by side, its rows `step` apart. Two pointers and three strides reach 14 rows. */
struct ByRow {
  const float *p, *q;
  i64 one, three, five;
  INLINE_MEMBER ByRow(const float* a, i64 step)
      : p(a), q(a + 7 * step), one(step * static_cast<i64>(sizeof(float))), three(3 * one), five(5 * one) {}
  INLINE_MEMBER vf at(int i) const {
    const float* from = i < 7 ? p : q;
    switch (i % 7) {
      case 0:
        return factorAt(from);
      case 1:
        return factorAt<1>(from, one);
      case 2:
        return factorAt<2>(from, one);
      case 3:
        return factorAt<1>(from, three);
      case 4:
        return factorAt<4>(from, one);
      case 5:
        return factorAt<1>(from, five);
      default:
        return factorAt<2>(from, three);
    }
  }
  template <int R>
  INLINE_MEMBER void next() {
    ++p;
    if (R > 7) ++q;
  }
  /** Asks for factors that come later. */
  template <int R>
  INLINE_MEMBER void ask() const {}
};

/** A's rows lie side by side, its terms `step` apart: a transposed operand, or a packed one. */
struct ByTerm {
  const float* p;
  i64 step;
  INLINE_MEMBER ByTerm(const float* a, i64 s) : p(a), step(s) {}
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

/** As A, and fetches what a later tile reads: at 1024 and 2048 rows, which come from beyond L2, products gain
 * 2 and 4 %. */
template <class A>
struct Fetching : A {
  const float* ahead;
  i64 by;
  INLINE_MEMBER Fetching(const float* a, i64 step, const Target& t)
      : A(a, step), ahead(t.ahead), by(t.aheadStep) {}
  template <int R>
  INLINE_MEMBER void ask() {
    A::template ask<R>();
    __builtin_prefetch(ahead, 0, 2);
    ahead += by;
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
  A from = [&] {
    if constexpr (std::is_constructible_v<A, const float*, i64, const Target&>)
      return A(a, step, t);
    else
      return A(a, step);
  }();
  // A residual is needed at the end only; by then it has come. C is not asked for: in L2 it comes in time by
  // itself, and products with 64 terms lost 5 % by asking.
  if (t.last && t.end->after.residual) askFor(t.end->after.residualFor(t.c), t.ldc, R, V * W);
  if (terms >= SHORT || terms * ldb > SMALL) {
    // The last terms ask for what is not used: a loop of their own would cost more.
    for (i64 k = 0; k < terms; ++k) {
#pragma GCC unroll 8
      for (int v = 0; v < V * W; v += LINE) __builtin_prefetch(b + NEAR * ldb + v);
      from.template ask<R>();
      addTerm(acc, from, b);
      b += ldb;
    }
  } else {
#pragma GCC unroll 1
    for (i64 k = 0; k < terms; ++k) {
      addTerm(acc, from, b);
      b += ldb;
    }
  }
  finish(acc, t);
}

/** `n` rows or columns are cut evenly into `parts` tiles; where tile t starts. */
INLINE i64 tileStart(i64 n, i64 parts, i64 t) { return n * t / parts; }

using TileKernel = void (*)(i64 terms, const float* a, i64 step, const float* b, i64 ldb, const Target& t);

/** The most rows whose sums fit into the registers, with V vectors of B and a factor of A. */
constexpr int tallest(int V) { return V == 1 ? TILE_ROWS : (2 * TILE_ROWS + 2) / V - 1; }

template <class A, int V, int... R>
INLINE TileKernel tileOf(i64 rows, std::integer_sequence<int, R...>) {
  static constexpr TileKernel table[] = {&tile<A, R + 1, V>...};
  return table[rows - 1];
}

/** Variants by number of rows; one table for each way to read A and each width. */
template <class A, int V>
INLINE TileKernel tileOf(i64 rows) {
  return tileOf<A, V>(rows, std::make_integer_sequence<int, tallest(V)>{});
}

/** Vectors that a tile of few rows may have: it begins and ends less often, and one row has enough sums under
 * way. Products of 16 and 6 rows gain 5 and 12 %. */
INLINE int widestOf(i64 rows) {
  return rows <= tallest(6) ? 6 : rows <= tallest(4) ? 4 : rows <= tallest(3) ? 3 : TILE_VECTORS;
}

/** The tile of `vectors` vectors, as widestOf says. */
template <class A>
INLINE TileKernel wideTileOf(int vectors, i64 rows) {
  if constexpr (tallest(6) > 0)
    if (vectors == 6) return tileOf<A, 6>(rows);
  if (vectors == 4) return tileOf<A, 4>(rows);
  return vectors == 3 ? tileOf<A, 3>(rows) : tileOf<A, TILE_VECTORS>(rows);
}

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
