// Products of few rows with a transposed matrix: both operands lie along the terms, so each element of C is a
// dot product and nothing is packed. How an element is summed does not depend on how C is cut.
#pragma once
#include "tile.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** Rows of A and of B in a tile; each pair has a vector of sums, and B comes from memory once for all rows.
 */
#if defined(__AVX512F__) || defined(__ARM_NEON)
constexpr int DOT_ROWS = 4;
#else
constexpr int DOT_ROWS = 2;
#endif
constexpr int DOT_COLS = 4;
/** Rows of C at most: their sums wait for the end of a line of tiles. */
constexpr i64 MOST_DOT_ROWS = 16;
/** Terms a row: packing a row of B costs about as much as adding up the lanes of so many rows' sums. */
constexpr i64 DOT_TERMS = 16;

INLINE bool byDots(const MatrixProduct& q) {
  return !q.ta && q.tb && q.m <= MOST_DOT_ROWS && q.m * DOT_TERMS <= q.k;
}

template <int R, int C>
static void dotTile(i64 terms, const float* a, i64 lda, const float* b, i64 ldb, float* sums) {
  vf acc[R][C] = {};
  const auto add = [&](auto how, i64 k) __attribute__((always_inline)) {
    vf x[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) x[r] = how.load(a + r * lda + k);
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      const vf y = how.load(b + c * ldb + k);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) acc[r][c] = fma(x[r], y, acc[r][c]);
    }
  };
  i64 k = 0;
  for (; k + W <= terms; k += W) add(Whole{}, k);
  if (k < terms) add(Part{static_cast<int>(terms - k)}, k);
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) sums[r * TILE_COLS + c] = total(acc[r][c]);
}

using DotKernel = void (*)(i64, const float*, i64, const float*, i64, float*);

template <int R>
INLINE DotKernel dotTileOf(i64 cols) {
  static const DotKernel table[] = {&dotTile<R, 1>, &dotTile<R, 2>, &dotTile<R, 3>, &dotTile<R, 4>};
  return table[cols - 1];
}

INLINE DotKernel dotTileOf(i64 rows, i64 cols) {
#if defined(__AVX512F__) || defined(__ARM_NEON)
  if (rows == 4) return dotTileOf<4>(cols);
  if (rows == 3) return dotTileOf<3>(cols);
#endif
  return rows == 2 ? dotTileOf<2>(cols) : dotTileOf<1>(cols);
}

/** Sums of one row on their way to C. */
INLINE void finishDots(const MatrixProduct& q, const float* sums, i64 i, i64 j, i64 cols) {
  const bool full = cols > W;
  const Target target{q.c + i * q.ldc + j,
                      q.ldc,
                      q.end.bias ? q.end.bias + j : nullptr,
                      static_cast<int>(full ? cols - W : cols),
                      true,
                      true,
                      &q.end};
  if (full) {
    vf acc[1][TILE_VECTORS];
#pragma GCC unroll 2
    for (int v = 0; v < TILE_VECTORS; ++v) acc[0][v] = loadAs<vf>(sums + v * W);
    finish(acc, target);
  } else {
    vf acc[1][1] = {{loadAs<vf>(sums)}};
    finish(acc, target);
  }
}

/** Rows [i0, i1) and columns [j0, j1) of a product. */
static void dotRange(const MatrixProduct& q, i64 i0, i64 i1, i64 j0, i64 j1) {
  float sums[MOST_DOT_ROWS * TILE_COLS] = {};
  for (i64 j = j0; j < j1; j += TILE_COLS) {
    const i64 cols = least(TILE_COLS, j1 - j);
    for (i64 c = 0; c < cols; c += DOT_COLS)
      for (i64 i = i0; i < i1; i += DOT_ROWS)
        dotTileOf(least(DOT_ROWS, i1 - i), least(DOT_COLS, cols - c))(
            q.k, q.a + i * q.lda, q.lda, q.b + (j + c) * q.ldb, q.ldb, sums + (i - i0) * TILE_COLS + c);
    for (i64 i = i0; i < i1; ++i) finishDots(q, sums + (i - i0) * TILE_COLS, i, j, cols);
  }
}

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
