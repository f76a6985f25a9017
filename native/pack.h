// Packing of matrix operands into panels that a register tile reads in order. Missing columns are filled with
// 0.
#pragma once
#include "lanes.h"
#include "tile.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** Transposes each block of SIDE vectors by SIDE lanes in log2 SIDE rounds: a round swaps the off-diagonal
 * blocks of side S. */
template <int SIDE = W, int S = 1>
INLINE void transpose(vf (&r)[W]) {
#pragma GCC unroll 16
  for (int i = 0; i < W; ++i)
    if (!(i & S)) {
      const vf a = r[i], b = r[i + S];
      // The first of a pair gets its own lower blocks and the second's, shifted up; and the other way round.
      r[i] = shuffle(a, b, [](auto k) { return (k & S) != 0 ? k - S + W : k; });
      r[i + S] = shuffle(a, b, [](auto k) { return (k & S) != 0 ? k + W : k + S; });
    }
  if constexpr (2 * S < SIDE) transpose<SIDE, 2 * S>(r);
}

/** Four reals of each row 0, 4, 8, …, which are `step` apart, side by side. */
INLINE vf quarters(const float* p, i64 step) {
#if defined(__AVX512F__)
  __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(p));
  v = _mm512_insertf32x4(v, _mm_loadu_ps(p + 4 * step), 1);
  v = _mm512_insertf32x4(v, _mm_loadu_ps(p + 8 * step), 2);
  return _mm512_insertf32x4(v, _mm_loadu_ps(p + 12 * step), 3);
#elif defined(__AVX2__)
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + 4 * step), 1);
#else
  static_cast<void>(step);
  return loadAs<vf>(p);
#endif
}

/** A square of W rows, `step` apart, transposed. Loads put blocks of four where they belong, so that half of
 * the rounds are left: one port of the processor does those alone. */
INLINE void loadTransposed(vf (&r)[W], const float* p, i64 step) {
#pragma GCC unroll 16
  for (int i = 0; i < W; ++i) r[i] = quarters(p + i % 4 * step + i / 4 * 4, step);
  transpose<4>(r);
}

/** Rows that are copied panel by panel: enough to reuse a page, few enough for L1. */
constexpr i64 PACK_ROWS = 16;

/** Panels of `terms` rows of TILE_COLS columns from B stored [terms, cols] with row stride ldb. */
static void packRows(float* out, const float* b, i64 ldb, i64 terms, i64 cols) {
  for (i64 p = 0; p < terms; p += PACK_ROWS) {
    const i64 end = least(terms, p + PACK_ROWS);
    float* panel = out;
    for (i64 j = 0; j < cols; j += TILE_COLS, panel += terms * TILE_COLS) {
      const i64 width = least(TILE_COLS, cols - j);
      if (width == TILE_COLS) {
        for (i64 q = p; q < end; ++q)
#pragma GCC unroll 2
          for (int v = 0; v < TILE_VECTORS; ++v)
            storeAs(panel + q * TILE_COLS + v * W, loadAs<vf>(b + q * ldb + j + v * W));
      } else {
        for (i64 q = p; q < end; ++q)
          for (int v = 0; v < TILE_VECTORS; ++v) {
            const int count = static_cast<int>(least(W, most(0, width - v * W)));
            storeAs(panel + q * TILE_COLS + v * W, loadPart(b + q * ldb + j + (count ? v * W : 0), count));
          }
      }
    }
  }
}

/** One square of W terms and up to W columns, from B stored [cols, terms]. */
INLINE void packSquare(float* out, const float* b, i64 ldb, i64 terms, i64 cols) {
  vf r[W];
  if (terms == W && cols == W) {
    loadTransposed(r, b, ldb);
#pragma GCC unroll 16
    for (int i = 0; i < W; ++i) storeAs(out + i * TILE_COLS, r[i]);
  } else {
    for (int i = 0; i < W; ++i) r[i] = i < cols ? loadPart(b + i * ldb, static_cast<int>(terms)) : vf{};
    transpose(r);
    for (int i = 0; i < terms; ++i) storeAs(out + i * TILE_COLS, r[i]);
  }
}

/** As packRows, from B stored [cols, terms] with row stride ldb. */
static void packColumns(float* out, const float* b, i64 ldb, i64 terms, i64 cols) {
  for (i64 j = 0; j < cols; j += TILE_COLS, out += terms * TILE_COLS)
    for (int v = 0; v < TILE_VECTORS; ++v) {
      const i64 width = least(W, most(0, cols - j - v * W));
      for (i64 p = 0; p < terms; p += W)
        packSquare(out + p * TILE_COLS + v * W, b + (width ? (j + v * W) * ldb + p : 0), ldb,
                   least(W, terms - p), width);
    }
}

/** Reals from one term's factors to the next in a packed tile: whole vectors. */
constexpr i64 FACTOR_STEP = (TILE_ROWS + W - 1) / W * W;

/** A stored [terms, rows] with row stride lda, as `tiles` tiles of `terms` × FACTOR_STEP: in a tile the rows
 * of each term lie side by side. */
static void packFactors(float* out, const float* a, i64 lda, i64 terms, i64 rows, i64 tiles) {
  for (i64 p = 0; p < terms; p += PACK_ROWS) {
    const i64 end = least(terms, p + PACK_ROWS);
    for (i64 t = 0; t < tiles; ++t) {
      const i64 first = tileStart(rows, tiles, t), count = tileStart(rows, tiles, t + 1) - first;
      const float* from = a + first;
      float* to = out + t * FACTOR_STEP * terms;
      // Whole vectors reach into the next tile's rows, where there is one.
      const i64 whole = first + FACTOR_STEP <= rows ? end : p;
      for (i64 q = p; q < whole; ++q)
        for (i64 v = 0; v < FACTOR_STEP; v += W)
          storeAs(to + q * FACTOR_STEP + v, loadAs<vf>(from + q * lda + v));
      for (i64 q = whole; q < end; ++q)
        for (i64 v = 0; v < count; v += W)
          storeAs(to + q * FACTOR_STEP + v,
                  loadPart(from + q * lda + v, static_cast<int>(least(W, count - v))));
    }
  }
}

/** `rows` rows of A, `step` apart in the copy. */
static void copyRows(float* out, i64 step, const float* a, i64 lda, i64 rows, i64 terms) {
  for (i64 i = 0; i < rows; ++i)
    span(0, terms, [=](auto how, i64 k) { how.store(out + i * step + k, how.load(a + i * lda + k)); });
}

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
