// The register tile of matrix products: R rows by V vectors of C, summed over a run of terms. Each element is
// summed in the order of the terms by the same operations in every variant, so cutting C differently changes
// no bit.
#pragma once
#include <type_traits>
#include <utility>

#include "factors.h"

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
/** A run of B with fewer terms and no more reals from first to last lies in L1 already. */
constexpr i64 SHORT = 96, SMALL = 8192;

/** C = op(A) op(B) of row-major matrices, and what follows. */
struct MatrixProduct {
  const float *a, *b;
  float* c;
  i64 m, n, k;
  bool ta, tb;
  i64 lda, ldb, ldc;
  Ending end;
};

/** Brings `rows` runs of n reals, `step` apart, into L1. Not part of a tile: it would take its registers. */
static __attribute__((noinline)) void askFor(const float* p, i64 step, i64 rows, i64 n) {
  for (i64 i = 0; i < rows; ++i, p += step)
    for (i64 k = 0; k < n; k += LINE) __builtin_prefetch(p + k);
}

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

struct WideTile {
  TileKernel kernel;
  i64 vectors;
};

/** The tile of few rows, which may have more vectors, or null: it begins and ends less often, and one row has
 * enough sums under way. Products of 16 and 6 rows gain 5 and 12 %. */
template <class A>
INLINE WideTile wideTileOf(i64 rows) {
  if constexpr (tallest(6) > 0)
    if (rows <= tallest(6)) return {tileOf<A, 6>(rows), 6};
  if (rows <= tallest(4)) return {tileOf<A, 4>(rows), 4};
  if (rows <= tallest(3)) return {tileOf<A, 3>(rows), 3};
  return {nullptr, 0};
}

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
