// Matrix products: C is cut in blocks, a block's panel of B is packed where that pays, and register tiles
// walk over it. Blocks of terms are the same for every cut of C, so neither threads nor paths change a bit of
// the result.
#pragma once
#include "dots.h"
#include "pack.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** Terms summed in registers before C is touched: a tile's factors take two thirds of L1, through which
 * panels of B pass. The number does not ask for the caches, because it decides about the last bits. */
constexpr i64 TERMS = 512;
/** Columns of B that are taken at a time: their terms take three quarters of L2 when packed, half of it where
 * they lie, as those share it with others. */
INLINE i64 blockCols(const Context& cx, i64 k, bool inPlace) {
  const i64 panel = most(1, least(k, TERMS)) * TILE_COLS * static_cast<i64>(sizeof(float));
  return most(1, cx.l2 / 4 * (inPlace ? 2 : 3) / panel) * TILE_COLS;
}
/** Tiles of A that are packed at a time: their rows are read side by side, and TERMS of them stay in L2. */
constexpr i64 FACTOR_TILES = 8;
/** Reals of a page of memory. */
constexpr i64 PAGE = 1024;
/** Multiplications that are worth a second thread: two threads pay from about n = 64. */
constexpr i64 PRODUCT_GRAIN = 1 << 17;

/** Whether B is read where it is. It must lie in rows. Its tiles ask for B's rows themselves, so they may
 * come from beyond L2; but rows a page or more apart compete for the same few places of L1, and rows that
 * begin inside a cache line cost two accesses a load. Those are packed, unless they stay in L2 beside A and C
 * or few rows of C read them. */
INLINE bool readsInPlace(const Context& cx, const MatrixProduct& q, i64 rows) {
  if (q.tb) return false;
  const bool aligned = q.ldb % LINE == 0;
  const i64 bytes = q.k * q.n * static_cast<i64>(sizeof(float));
  if (q.ldb < PAGE && aligned) return true;
  return (q.ldb <= PAGE && bytes <= cx.l2 / (aligned ? 2 : 4)) || rows <= (aligned ? 4 : 3) * TILE_ROWS;
}

/** Elements of a transposed A that are read where they lie: two megabytes, which L2 may hold; pieces of rows
 * that come from further away come too late. */
constexpr i64 NEAR_FACTORS = 1 << 19;

/** Rows of C up to which a packed panel of a transposed B is used for all of them and forgotten: it is still
 * in L1 or L2 then, and the next one is fetched meanwhile, while A comes from L2 once for each panel. The
 * fewer the rows the more this gains, and beyond this it loses (`npm run bench -- --only 784,1024`). */
constexpr i64 PANEL_ROWS = 256;
INLINE bool byPanels(const MatrixProduct& q) { return q.tb && q.m <= PANEL_ROWS; }

/** Columns of B that are taken at a time. */
INLINE i64 columnsOf(const Context& cx, const MatrixProduct& q, bool inPlace) {
  return byPanels(q) ? TILE_COLS : blockCols(cx, q.k, inPlace);
}

/** How factors of A reach the tiles: from where they lie; transposed ones in packed tiles, if they are many
 * or many columns read them from page to page; rows a multiple of 2 KiB apart as a copy, because they compete
 * for the same few places of L1. */
enum class Factors { inPlace, packed, copied };

INLINE Factors factorsOf(const MatrixProduct& q) {
  if (q.ta) {
    const i64 most = q.m * q.k > NEAR_FACTORS ? 2 * TILE_COLS : 8 * TILE_COLS;
    return q.lda > 128 && q.n > most ? Factors::packed : Factors::inPlace;
  }
  const bool many = q.m >= TILE_ROWS && q.n >= 8 * TILE_COLS && !byPanels(q);
  return TILE_ROWS > 8 && q.lda % 512 == 0 && many ? Factors::copied : Factors::inPlace;
}

/** Reals from one copied row to the next: an odd number of lines, so that rows do not compete. */
INLINE i64 copiedStep(i64 terms) { return (ceilDiv(terms, LINE) | 1) * LINE; }

/** Scratch for the factors of a block, in reals. */
INLINE i64 factorScratch(Factors how, i64 terms) {
  if (how == Factors::packed) return FACTOR_TILES * FACTOR_STEP * terms;
  return how == Factors::copied ? TILE_ROWS * copiedStep(terms) : 0;
}

/** Scratch that a range of `cols` columns of a product needs, in reals. */
INLINE i64 scratchOf(const Context& cx, const MatrixProduct& q, i64 cols) {
  const i64 terms = least(q.k, TERMS),
            panels = terms * roundUp(least(cols, columnsOf(cx, q, false)), TILE_COLS);
  return roundUp(panels + factorScratch(factorsOf(q), terms) + 2 * W, 1024);
}

/** One block of a product: `terms` from p on, `cols` columns from j on. Columns before `direct` are read from
 * B itself. */
struct Block {
  i64 j, cols, p, terms, direct;
  const float *b, *packed;
};

/** What tiles fetch into L2 while they sum: `left` times a line for each term, `step` reals apart, the next
 * time `next` reals on. */
struct Fetch {
  const float* at;
  i64 left, next, step;
};

/** One tile of rows, i to i + rows, over all columns of a block. `a` is where the tile's factors begin. */
static void productRows(const MatrixProduct& q, const Block& s, i64 i, i64 rows, const float* a, i64 step,
                        Fetch& fetch) {
  const bool packed = factorsOf(q) == Factors::packed;
  const TileKernel two = packed ? tileOf<ByTerm, TILE_VECTORS>(rows)
                         : q.ta ? tileOf<ByFarTerm, TILE_VECTORS>(rows)
                                : tileOf<ByRow, TILE_VECTORS>(rows),
                   fetching = packed ? tileOf<Fetching<ByTerm>, TILE_VECTORS>(rows)
                              : q.ta ? tileOf<Fetching<ByFarTerm>, TILE_VECTORS>(rows)
                                     : tileOf<Fetching<ByRow>, TILE_VECTORS>(rows);
  const TileKernel one = q.ta ? tileOf<ByTerm, 1>(rows) : tileOf<ByRow, 1>(rows);
  const float* bias = q.end.bias ? q.end.bias + s.j : nullptr;
  Target target{nullptr, q.ldc, nullptr, W, s.p == 0, s.p + s.terms == q.k, &q.end};
  const auto run = [&](TileKernel kernel, const float* from, i64 ldb, i64 first, i64 lanes) {
    target.c = q.c + i * q.ldc + s.j + first;
    target.bias = bias ? bias + first : nullptr;
    target.lanes = static_cast<int>(lanes);
    kernel(s.terms, a, step, from, ldb, target);
  };
  const auto walk = [&](const float* from, i64 ldb, i64 panel, i64 first, i64 last) {
    for (; first < last; first += TILE_COLS, from += panel) {
      const i64 count = least(TILE_COLS, last - first), lanes = count > W ? count - W : count;
      if (count <= W || fetch.left == 0) {
        run(count > W ? two : one, from, ldb, first, lanes);
        continue;
      }
      target.ahead = fetch.at;
      target.aheadStep = fetch.step;
      fetch.at += fetch.next;
      --fetch.left;
      run(fetching, from, ldb, first, lanes);
    }
  };
  i64 first = 0;
  if (const WideTile wide = wideTileOf<ByRow>(rows); wide.kernel && !q.ta)
    for (const i64 width = wide.vectors * W; s.direct - first >= width; first += width)
      run(wide.kernel, s.b + first, q.ldb, first, W);
  walk(s.b + first, q.ldb, TILE_COLS, first, s.direct);
  walk(s.packed, TILE_COLS, s.terms * TILE_COLS, s.direct, s.cols);
}

/** The `rows` rows of A from i on, of which a block takes the terms from p on: they come with the block's
 * first panels. A line of a transposed A has one term of LINE rows, which may begin inside of one: so one
 * line more. */
INLINE Fetch rowsOf(const MatrixProduct& q, i64 i, i64 rows, i64 p) {
  if (i + rows > q.m) return {};
  if (q.ta) return {q.a + p * q.lda + i, ceilDiv(rows, LINE) + 1, LINE, q.lda};
  return {q.a + i * q.lda + p, rows, q.lda, 1};
}

/** The columns behind a block's panel, of which B is transposed: so many reals from one to the next. */
INLINE Fetch panelAfter(const MatrixProduct& q, const Block& s) {
  if (s.j + 2 * s.cols > q.n) return {};
  return {s.b + s.cols * q.ldb, ceilDiv(s.cols, LINE), s.terms * LINE, LINE};
}

/** Tiles of rows [first, last) over a block. */
static void productGroup(const MatrixProduct& q, const Block& s, i64 first, i64 last, i64 tiles,
                         float* factors, Fetch& fetch) {
  const Factors how = factorsOf(q);
  const float* a = q.a + (q.ta ? s.p * q.lda + first : first * q.lda + s.p);
  if (how == Factors::packed) {
    packFactors(factors, a, q.lda, s.terms, last - first, tiles);
    fetch = rowsOf(q, last, last - first, s.p);
  }
  for (i64 t = 0; t < tiles; ++t) {
    const i64 at = tileStart(last - first, tiles, t), rows = tileStart(last - first, tiles, t + 1) - at;
    const bool pays = q.ta || s.cols >= TILE_ROWS * TILE_COLS;
    if (how != Factors::packed && pays && !byPanels(q)) fetch = rowsOf(q, first + at + rows, TILE_ROWS, s.p);
    if (how == Factors::packed) {
      productRows(q, s, first + at, rows, factors + t * FACTOR_STEP * s.terms, FACTOR_STEP, fetch);
    } else if (how == Factors::copied) {
      copyRows(factors, copiedStep(s.terms), a + at * q.lda, q.lda, rows, s.terms);
      productRows(q, s, first + at, rows, factors, copiedStep(s.terms), fetch);
    } else {
      productRows(q, s, first + at, rows, a + at * (q.ta ? 1 : q.lda), q.lda, fetch);
    }
  }
}

/** One block of terms of rows [i0, i1) and columns [j, j + cols). */
static void productBlock(const MatrixProduct& q, bool inPlace, i64 i0, i64 i1, i64 j, i64 cols, i64 p,
                         i64 terms, float* scratch) {
  const float* b = q.b + (q.tb ? j * q.ldb + p : p * q.ldb + j);
  float* packed = scratch + factorScratch(factorsOf(q), terms);
  // A panel that ends inside a vector is packed all the same: its loads would reach beyond B.
  const Block block{j, cols, p, terms, inPlace ? cols / W * W : 0, b, packed};
  if (q.tb)
    packColumns(packed, b, q.ldb, terms, cols);
  else if (block.direct < cols)
    packRows(packed, b + block.direct, q.ldb, terms, cols - block.direct);

  const i64 tiles = ceilDiv(i1 - i0, TILE_ROWS);
  Fetch fetch = byPanels(q) ? panelAfter(q, block) : Fetch{};
  for (i64 t = 0; t < tiles; t += FACTOR_TILES) {
    const i64 end = least(tiles, t + FACTOR_TILES);
    productGroup(q, block, i0 + tileStart(i1 - i0, tiles, t), i0 + tileStart(i1 - i0, tiles, end), end - t,
                 scratch, fetch);
  }
}

/** Rows [i0, i1) and columns [j0, j1) of a product, on one thread. Blocks of terms are even, by k alone. */
static void productRange(const Context& cx, const MatrixProduct& q, i64 i0, i64 i1, i64 j0, i64 j1,
                         float* scratch) {
  if (byDots(q)) {
    dotRange(q, i0, i1, j0, j1);
    return;
  }
  const bool inPlace = readsInPlace(cx, q, i1 - i0);
  const i64 room = columnsOf(cx, q, inPlace),
            width = roundUp(ceilDiv(j1 - j0, ceilDiv(j1 - j0, room)), TILE_COLS);
  const i64 depth = q.k == 0 ? 0 : roundUp(ceilDiv(q.k, ceilDiv(q.k, TERMS)), 16);
  for (i64 j = j0; j < j1; j += width) {
    i64 p = 0;
    do {
      const i64 terms = least(depth, q.k - p);
      productBlock(q, inPlace, i0, i1, j, least(width, j1 - j), p, terms, scratch);
      p += terms;
    } while (p < q.k);
  }
}

/** How a product is cut among threads: a part each, as more would read the operands more often. At n = 1024
 * four parts a thread ran at 80 % of the peak, one at 89 %. */
struct Cut {
  i64 rowParts, rowSize, colParts, colSize;
};

INLINE Cut cutOf(const Context& cx, const MatrixProduct& q, int threads) {
  Cut cut{1, q.m, 1, q.n};
  const i64 work = q.m * q.n * q.k, share = least(work / PRODUCT_GRAIN, threads);
  if (threads <= 1 || share < 2) return cut;
  // Parts of columns all prepare the same A, parts of rows the same B: the dearer one is left whole.
  const i64 forA = factorsOf(q) == Factors::inPlace ? 0 : q.m, forB = readsInPlace(cx, q, q.m) ? 0 : q.n;
  const i64 narrow = 2 * TILE_COLS * share, low = TILE_ROWS * share;
  // Where that costs little, rows all the same: kernels between products go row by row, so a row stays on its
  // core. Two threads then take 5.7 ms for a step of an LSTM of 2 × 128, by columns 6.05, and for one of a
  // GPT 12.5 for 13.0.
  const bool cheap = forA + forB == 0 || (q.m >= q.n / 2 && q.k * q.n * 4 <= cx.l2 / 2);
  const bool columns = q.n < narrow   ? q.m < low && q.n >= q.m
                       : cheap        ? q.m < low
                       : forA == forB ? q.n >= q.m / 4
                                      : forA < forB;
  if (columns) {
    cut.colSize = roundUp(ceilDiv(q.n, share), W);
    cut.colParts = ceilDiv(q.n, cut.colSize);
  } else {
    // Whole tiles are the fastest; of few, the larger share of one more would cost more.
    const i64 unit = q.m < 16 * TILE_ROWS * share ? 1 : TILE_ROWS;
    cut.rowSize = roundUp(ceilDiv(q.m, share), unit);
    cut.rowParts = ceilDiv(q.m, cut.rowSize);
  }
  return cut;
}

/** `batch` products whose operands are sa, sb and sc elements apart. */
static void products(Context& cx, const MatrixProduct& q, i64 batch, i64 sa, i64 sb, i64 sc) {
  if (q.m == 0 || q.n == 0 || batch == 0) return;
  // One dot product is a row and a column: it would be turned for ever.
  const bool turned = q.m == 1 && byDots(q);
  if (!turned && q.n == 1 && q.ldc == 1 && !q.end.bias && (q.tb || q.ldb == 1)) {
    // A column is a row of the transposed product, where it may be dot products.
    const MatrixProduct row{q.b, q.a, q.c, 1, q.m, q.k, false, !q.ta, q.k, q.lda, q.m, q.end};
    if (byDots(row)) {
      products(cx, row, batch, sb, sa, sc);
      return;
    }
  }
  const bool together = batch >= 2 * cx.threads && batch * q.m * q.n * q.k >= 2 * PRODUCT_GRAIN;
  const Cut cut = cutOf(cx, q, together ? 1 : cx.threads);
  const i64 parts = cut.rowParts * cut.colParts;
  const int threads = together || parts > 1 ? cx.threads : 1;
  const i64 each = scratchOf(cx, q, cut.colSize);
  float* scratch = static_cast<float*>(reserve(cx, each * threads * sizeof(float)));
  parallel(threads, batch * parts, [&](i64 task, int worker) {
    const i64 s = task / parts, part = task % parts;
    MatrixProduct one = q;
    one.a += s * sa;
    one.b += s * sb;
    one.c += s * sc;
    const i64 i = part / cut.colParts * cut.rowSize, j = part % cut.colParts * cut.colSize;
    productRange(cx, one, i, least(q.m, i + cut.rowSize), j, least(q.n, j + cut.colSize),
                 scratch + worker * each);
  });
}

namespace rows {

static void matmul(Context& cx, float* c, const float* a, const float* b, const float* bias,
                   const float* residual, i64 batch, i64 m, i64 n, i64 k, i64 ta, i64 tb, i64 lda, i64 ldb,
                   i64 ldc, i64 sa, i64 sb, i64 sc, i64 act) {
  // One matrix for the whole batch: the batch is a taller product.
  if (batch > 1 && sb == 0 && !ta && sa == m * lda && sc == m * ldc) {
    m *= batch;
    batch = 1;
  }
  const Ending end{1, 0, bias, {residual, c, static_cast<int>(act)}};
  products(cx, MatrixProduct{a, b, c, m, n, k, ta != 0, tb != 0, lda, ldb, ldc, end}, batch, sa, sb, sc);
}

static void sgemm(Context& cx, float* c, const float* a, const float* b, i64 m, i64 n, i64 k, i64 ta, i64 tb,
                  i64 lda, i64 ldb, i64 ldc, double alpha, double beta) {
  // With alpha 0, A and B are not read: a NaN in them must not show.
  if (alpha == 0) k = 0;
  const Ending end{alpha == 0 ? 1.0f : static_cast<float>(alpha), static_cast<float>(beta), nullptr, {}};
  products(cx, MatrixProduct{a, b, c, m, n, k, ta != 0, tb != 0, lda, ldb, ldc, end}, 1, 0, 0, 0);
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
