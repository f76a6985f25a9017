// Matrix products: C is cut in blocks, a block's panel of B is packed where that pays, and register tiles
// walk over it. Blocks of terms are the same for every cut of C, so neither threads nor paths change a bit of
// the result.
#pragma once
#include "pack.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** Terms summed in registers before C is touched: a panel of TERMS × TILE_COLS reals passes through L1. */
constexpr i64 TERMS = 512;
/** Columns of B that are packed at a time: TERMS × COLS reals are 1 MiB and stay in L2. */
constexpr i64 COLS = 512;
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
  return !q.tb && (rows <= 2 * TILE_ROWS || (q.k * q.n <= 32768 && q.ldb <= 1024));
}

/** Scratch that a range of a product needs, in reals. */
INLINE i64 scratchOf(const MatrixProduct& q, i64 cols) {
  return roundUp(least(q.k, TERMS) * (roundUp(least(cols, COLS), TILE_COLS) + TILE_ROWS) + W, 1024);
}

/** One block of terms of rows [i0, i1) and columns [j, j + cols). */
static void productBlock(const MatrixProduct& q, i64 i0, i64 i1, i64 j, i64 cols, i64 p, i64 terms,
                         float* scratch) {
  float* factors = scratch;
  float* packed = scratch + roundUp(TILE_ROWS * terms, W);
  const bool inPlace = readsInPlace(q, i1 - i0);
  const float* b = q.b + (q.tb ? j * q.ldb + p : p * q.ldb + j);
  // A panel that ends inside a vector is packed all the same: its loads would reach beyond B.
  const i64 direct = inPlace ? cols / W * W : 0;
  if (q.tb)
    packColumns(packed, b, q.ldb, terms, cols);
  else if (direct < cols)
    packRows(packed, b + direct, q.ldb, terms, cols - direct);

  const i64 tiles = ceilDiv(i1 - i0, TILE_ROWS);
  const bool packA = q.ta && q.lda > 256 && cols > 2 * TILE_COLS;
  i64 i = i0;
  for (i64 t = 0; t < tiles; ++t) {
    const i64 rows = (i1 - i) / (tiles - t);
    const float* a = q.a + (q.ta ? p * q.lda + i : i * q.lda + p);
    i64 step = q.lda;
    if (packA) {
      packFactors(factors, a, q.lda, terms, rows);
      a = factors;
      step = rows;
    }
    const TileKernel wide = q.ta ? tileOf<ByTerm, TILE_VECTORS>(rows) : tileOf<ByRow, TILE_VECTORS>(rows);
    const TileKernel narrow = q.ta ? tileOf<ByTerm, 1>(rows) : tileOf<ByRow, 1>(rows);
    Target target{q.c + i * q.ldc + j, q.ldc, q.end.bias ? q.end.bias + j : nullptr, W, p == 0,
                  p + terms == q.k,    &q.end};
    const auto walk = [&](const float* from, i64 ldb, i64 panel, i64 count) {
      for (; count > 0; count -= TILE_COLS, from += panel) {
        const bool full = count > W;
        target.lanes = static_cast<int>(least(W, full ? count - W : count));
        (full ? wide : narrow)(terms, a, step, from, ldb, target);
        target.c += TILE_COLS;
        if (target.bias) target.bias += TILE_COLS;
      }
    };
    if (direct > 0) walk(b, q.ldb, TILE_COLS, direct);
    if (direct < cols) {
      target.c = q.c + i * q.ldc + j + direct;
      if (q.end.bias) target.bias = q.end.bias + j + direct;
      walk(packed, TILE_COLS, terms * TILE_COLS, cols - direct);
    }
    i += rows;
  }
}

/** Rows [i0, i1) and columns [j0, j1) of a product, on one thread. */
static void productRange(const MatrixProduct& q, i64 i0, i64 i1, i64 j0, i64 j1, float* scratch) {
  for (i64 j = j0; j < j1; j += COLS) {
    const i64 cols = least(COLS, j1 - j);
    i64 p = 0;
    do {
      const i64 terms = least(TERMS, q.k - p);
      productBlock(q, i0, i1, j, cols, p, terms, scratch);
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
