// Matrix products: C is cut in blocks, a block's panel of B is packed where that pays, and register tiles
// walk over it. Blocks of terms are the same for every cut of C, so neither threads nor paths change a bit of
// the result.
#pragma once
#include "pack.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** Terms summed in registers before C is touched: a panel of TERMS × TILE_COLS reals passes through L1. */
constexpr i64 TERMS = 384;
/** Columns of B that are packed at a time: TERMS × COLS reals are 768 KiB and stay in an L2 of 1 MiB. */
constexpr i64 COLS = 512;
/** Tiles of A that are packed at a time: their rows are read side by side, and TERMS of them stay in L2. */
constexpr i64 FACTOR_TILES = 8;
/** Multiplications that are worth a second thread: two threads pay from about n = 64. */
constexpr i64 PRODUCT_GRAIN = 1 << 17;

struct MatrixProduct {
  const float *a, *b;
  float* c;
  i64 m, n, k;
  bool ta, tb;
  i64 lda, ldb, ldc;
  Ending end;
};

/** Whether B is read where it is: it must lie in rows, and be so small that its rows share pages and stay in
 * L1 or L2. */
INLINE bool readsInPlace(const MatrixProduct& q, i64 rows) {
  return !q.tb && (rows <= 2 * TILE_ROWS || (q.k * q.n <= (q.ta ? 65536 : 163840) && q.ldb <= 1024));
}

/** Whether A is packed: transposed, its rows would be met page by page. */
INLINE bool packsFactors(const MatrixProduct& q) { return q.ta && q.lda > 128 && q.n > 2 * TILE_COLS; }

/** Scratch that a range of a product needs, in reals. */
INLINE i64 scratchOf(const MatrixProduct& q, i64 cols) {
  const i64 factors = packsFactors(q) ? FACTOR_TILES * TILE_ROWS : 0;
  return roundUp(least(q.k, TERMS) * (roundUp(least(cols, COLS), TILE_COLS) + factors) + 2 * W, 1024);
}

/** One block of a product: `terms` from p on, `cols` columns from j on. Columns before `direct` are read from
 * B itself. */
struct Block {
  i64 j, cols, p, terms, direct;
  const float *b, *packed;
};

/** One tile of rows, i to i + rows, over all columns of a block. `a` is where the tile's factors begin. */
static void productRows(const MatrixProduct& q, const Block& s, i64 i, i64 rows, const float* a, i64 step) {
  const bool byTerm = q.ta;
  const TileKernel wide = byTerm ? tileOf<ByTerm, TILE_VECTORS>(rows) : tileOf<ByRow, TILE_VECTORS>(rows);
  const TileKernel narrow = byTerm ? tileOf<ByTerm, 1>(rows) : tileOf<ByRow, 1>(rows);
  const float* bias = q.end.bias ? q.end.bias + s.j : nullptr;
  Target target{nullptr, q.ldc, nullptr, W, s.p == 0, s.p + s.terms == q.k, &q.end};
  const auto walk = [&](const float* from, i64 ldb, i64 panel, i64 first, i64 count) {
    for (; count > 0; count -= TILE_COLS, first += TILE_COLS, from += panel) {
      const bool full = count > W;
      target.c = q.c + i * q.ldc + s.j + first;
      target.bias = bias ? bias + first : nullptr;
      target.lanes = static_cast<int>(least(W, full ? count - W : count));
      (full ? wide : narrow)(s.terms, a, step, from, ldb, target);
    }
  };
  walk(s.b, q.ldb, TILE_COLS, 0, s.direct);
  walk(s.packed, TILE_COLS, s.terms * TILE_COLS, s.direct, s.cols - s.direct);
}

/** One block of terms of rows [i0, i1) and columns [j, j + cols). */
static void productBlock(const MatrixProduct& q, i64 i0, i64 i1, i64 j, i64 cols, i64 p, i64 terms,
                         float* scratch) {
  const float* b = q.b + (q.tb ? j * q.ldb + p : p * q.ldb + j);
  const bool packA = packsFactors(q);
  float* factors = scratch;
  float* packed = scratch + (packA ? roundUp(FACTOR_TILES * TILE_ROWS * terms, W) : 0);
  // A panel that ends inside a vector is packed all the same: its loads would reach beyond B.
  const Block block{j, cols, p, terms, readsInPlace(q, i1 - i0) ? cols / W * W : 0, b, packed};
  if (q.tb)
    packColumns(packed, b, q.ldb, terms, cols);
  else if (block.direct < cols)
    packRows(packed, b + block.direct, q.ldb, terms, cols - block.direct);

  const i64 tiles = ceilDiv(i1 - i0, TILE_ROWS);
  for (i64 t0 = 0; t0 < tiles; t0 += FACTOR_TILES) {
    const i64 t1 = least(tiles, t0 + FACTOR_TILES);
    const i64 first = i0 + tileStart(i1 - i0, tiles, t0), last = i0 + tileStart(i1 - i0, tiles, t1);
    if (packA) packFactors(factors, q.a + p * q.lda + first, q.lda, terms, last - first, t1 - t0);
    for (i64 t = 0; t < t1 - t0; ++t) {
      const i64 at = tileStart(last - first, t1 - t0, t), rows = tileStart(last - first, t1 - t0, t + 1) - at;
      const i64 i = first + at;
      if (packA)
        productRows(q, block, i, rows, factors + at * terms, rows);
      else if (q.ta)
        productRows(q, block, i, rows, q.a + p * q.lda + i, q.lda);
      else
        productRows(q, block, i, rows, q.a + i * q.lda + p, q.lda);
    }
  }
}

/** Rows [i0, i1) and columns [j0, j1) of a product, on one thread. Blocks of terms are even, by k alone. */
static void productRange(const MatrixProduct& q, i64 i0, i64 i1, i64 j0, i64 j1, float* scratch) {
  const i64 width = roundUp(ceilDiv(j1 - j0, ceilDiv(j1 - j0, COLS)), TILE_COLS);
  const i64 depth = q.k == 0 ? 0 : roundUp(ceilDiv(q.k, ceilDiv(q.k, TERMS)), 16);
  for (i64 j = j0; j < j1; j += width) {
    i64 p = 0;
    do {
      const i64 terms = least(depth, q.k - p);
      productBlock(q, i0, i1, j, least(width, j1 - j), p, terms, scratch);
      p += terms;
    } while (p < q.k);
  }
}

/** How a product is cut among threads. Columns first: then no two threads pack the same part of B. */
struct Cut {
  i64 rowParts, rowSize, colParts, colSize;
};

INLINE Cut cutOf(const MatrixProduct& q, int threads) {
  const i64 work = q.m * q.n * q.k, panels = ceilDiv(q.n, TILE_COLS), tiles = ceilDiv(q.m, TILE_ROWS);
  Cut cut{1, q.m, 1, q.n};
  if (threads <= 1 || work < 2 * PRODUCT_GRAIN) return cut;
  // Several parts a thread, where they stay large, because cores are rarely equally free.
  const i64 parts = least(work / PRODUCT_GRAIN, work < (i64{1} << 24) ? threads : 4 * threads);
  if (panels >= 2 * parts && panels * TILE_COLS >= q.m / 4)
    cut.colParts = parts;
  else if (tiles >= 2 * parts)
    cut.rowParts = parts;
  else if (panels >= tiles)
    cut.colParts = least(panels, least(parts, threads));
  else
    cut.rowParts = least(tiles, least(parts, threads));
  cut.rowSize = ceilDiv(tiles, cut.rowParts) * TILE_ROWS;
  cut.colSize = ceilDiv(panels, cut.colParts) * TILE_COLS;
  cut.rowParts = ceilDiv(q.m, cut.rowSize);
  cut.colParts = ceilDiv(q.n, cut.colSize);
  return cut;
}

/** `batch` products whose operands are sa, sb and sc elements apart. */
static void products(Context& cx, const MatrixProduct& q, i64 batch, i64 sa, i64 sb, i64 sc) {
  if (q.m == 0 || q.n == 0 || batch == 0) return;
  const bool together = batch >= 2 * cx.threads && batch * q.m * q.n * q.k >= 2 * PRODUCT_GRAIN;
  const Cut cut = cutOf(q, together ? 1 : cx.threads);
  const i64 parts = cut.rowParts * cut.colParts;
  const int threads = together || parts > 1 ? cx.threads : 1;
  const i64 each = scratchOf(q, cut.colSize);
  float* scratch = static_cast<float*>(reserve(cx, each * threads * sizeof(float)));
  parallel(threads, batch * parts, [&](i64 task, int worker) {
    const i64 s = task / parts, part = task % parts;
    MatrixProduct one = q;
    one.a += s * sa;
    one.b += s * sb;
    one.c += s * sc;
    const i64 i = part / cut.colParts * cut.rowSize, j = part % cut.colParts * cut.colSize;
    productRange(one, i, least(q.m, i + cut.rowSize), j, least(q.n, j + cut.colSize),
                 scratch + worker * each);
  });
}

namespace rows {

static void matmul(Context& cx, float* c, const float* a, const float* b, const float* bias, i64 batch, i64 m,
                   i64 n, i64 k, i64 ta, i64 tb, i64 lda, i64 ldb, i64 ldc, i64 sa, i64 sb, i64 sc, i64 act) {
  // One matrix for the whole batch: the batch is a taller product.
  if (batch > 1 && sb == 0 && !ta && sa == m * lda && sc == m * ldc) {
    m *= batch;
    batch = 1;
  }
  products(
      cx,
      MatrixProduct{a, b, c, m, n, k, ta != 0, tb != 0, lda, ldb, ldc, {1, 0, bias, static_cast<int>(act)}},
      batch, sa, sb, sc);
}

static void sgemm(Context& cx, float* c, const float* a, const float* b, i64 m, i64 n, i64 k, i64 ta, i64 tb,
                  i64 lda, i64 ldb, i64 ldc, double alpha, double beta) {
  // With alpha 0, A and B are not read: a NaN in them must not show.
  if (alpha == 0) k = 0;
  const Ending end{alpha == 0 ? 1.0f : static_cast<float>(alpha), static_cast<float>(beta), nullptr, 0};
  products(cx, MatrixProduct{a, b, c, m, n, k, ta != 0, tb != 0, lda, ldb, ldc, end}, 1, 0, 0, 0);
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
