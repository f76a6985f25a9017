// Attention in tiles: the scores of a few rows of queries and a block of keys stand in L1 or L2 at a time,
// and each row carries its largest score and its sum of exponentials from block to block (Dao et al.,
// "FlashAttention", 2022). Blocks depend on the sizes only, so threads change no bit.
#pragma once
#include <type_traits>

#include "pack.h"
#include "softmax.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** Queries whose scores are held at a time: whole tiles of rows. */
constexpr i64 QUERIES = (64 / TILE_ROWS) * TILE_ROWS;
/** Keys of a block. */
constexpr i64 KEYS = 128;
/** Blocks of queries that share the packed keys of a task. */
constexpr i64 SHARED_BLOCKS = 4;
/** Tasks that a call is cut into where its sizes allow. */
constexpr i64 ATTENTION_TASKS = 16;

struct AttentionSizes {
  i64 n, queries, keys, d, dv;
  float scale;
  bool causal;
  i64 maskStride;

  /** Keys that queries before `query` may look at. */
  INLINE_MEMBER i64 visible(i64 query) const { return causal ? least(keys, query) : keys; }
  /** Keys of the block [j, j + count) that queries before `query` may look at. */
  INLINE_MEMBER i64 seen(i64 query, i64 j, i64 count) const {
    return most(0, least(visible(query) - j, count));
  }
  /** Whether two threads pay. */
  INLINE_MEMBER int threads(const Context& cx) const {
    return n * queries * keys * (d + dv) < (1 << 18) ? 1 : cx.threads;
  }
};

/** The right factor of a product: rows in memory or packed panels of TILE_COLS columns. */
struct Panels {
  const float* at;
  i64 ld, panel;
};

/** [terms, cols] with consecutive columns; packed into `scratch` where loads of whole vectors would reach
 * beyond. */
INLINE Panels byRows(const float* b, i64 terms, i64 cols, float* scratch) {
  if (cols % W == 0) return {b, cols, TILE_COLS};
  packRows(scratch, b, cols, terms, cols);
  return {scratch, TILE_COLS, terms * TILE_COLS};
}

/** The transpose of [cols, terms]. */
INLINE Panels byColumns(const float* b, i64 terms, i64 cols, float* scratch) {
  packColumns(scratch, b, terms, terms, cols);
  return {scratch, TILE_COLS, terms * TILE_COLS};
}

/** C = alpha A B, or C += A B when not `first`. A's rows (ByRow) or terms (ByTerm) are `lda` apart. */
template <class A>
static void smallProduct(i64 rows, i64 cols, i64 terms, const float* a, i64 lda, const Panels& b, float* c,
                         i64 ldc, float alpha, bool first) {
  constexpr bool byTerm = std::is_same<A, ByTerm>::value;
  const Ending end{alpha, 0, nullptr, {}};
  Target target{nullptr, ldc, nullptr, W, first, true, &end};
  const i64 tiles = ceilDiv(rows, TILE_ROWS);
  for (i64 t = 0; t < tiles; ++t) {
    const i64 i = tileStart(rows, tiles, t), count = tileStart(rows, tiles, t + 1) - i;
    const TileKernel wide = tileOf<A, TILE_VECTORS>(count), narrow = tileOf<A, 1>(count);
    const float* from = b.at;
    for (i64 j = 0; j < cols; j += TILE_COLS, from += b.panel) {
      const bool full = cols - j > W;
      target.c = c + i * ldc + j;
      target.lanes = static_cast<int>(least(W, full ? cols - j - W : cols - j));
      (full ? wide : narrow)(terms, a + (byTerm ? i : i * lda), lda, from, b.ld, target);
    }
  }
}

/** Adds a row of the mask to a row of scores. */
INLINE void addMask(float* scores, const float* mask, i64 count) {
  span(0, count, [=](auto how, i64 k) { how.store(scores + k, how.load(scores + k) + how.load(mask + k)); });
}

INLINE void clear(float* x, i64 n) {
  for (i64 k = 0; k < n; ++k) x[k] = 0;
}

/** What a row of queries carries from block to block. */
struct Running {
  float top, sum;
};

/** Scores to exponentials about the row's largest score so far; what the row had is brought to it. */
static void soften(Running& r, float* scores, i64 count, float* y, i64 dv) {
  const float most = top(scores, count), now = most > r.top ? most : r.top;
  // A row that may look nowhere yet has no largest score; its exponentials are 0.
  const float shift = now == -math::INFINITE ? 0 : now;
  if (now > r.top && r.sum != 0) {
    const float factor = math::exp(splat(r.top - shift))[0];
    r.sum *= factor;
    span(0, dv, [=](auto how, i64 k) { how.store(y + k, how.load(y + k) * factor); });
  }
  r.top = now;
  r.sum += sumExp(scores, count, shift, [=](auto how, i64 k, vf e) { how.store(scores + k, e); });
}

struct Attention {
  float *y, *lse;
  const float *q, *k, *v, *mask;
  AttentionSizes sizes;
};

/** Scratch of one thread, in reals. */
struct AttentionScratch {
  i64 keys, values, scores, total;
  explicit AttentionScratch(const AttentionSizes& s)
      : keys(0),
        values(keys + KEYS * roundUp(s.d, W)),
        scores(values + (s.dv % W ? KEYS * roundUp(s.dv, TILE_COLS) : 0)),
        total(roundUp(scores + QUERIES * KEYS, 1024)) {}
};

/** Queries [from, to) of batch entry b: blocks of keys outside, so that a packed block serves them all. */
static void attendRows(const Attention& q, i64 b, i64 from, i64 to, float* scratch) {
  const AttentionSizes& s = q.sizes;
  const AttentionScratch place(s);
  float* scores = scratch + place.scores;
  const float* mask = q.mask ? q.mask + b * s.maskStride : nullptr;
  Running state[SHARED_BLOCKS * QUERIES];
  for (Running& r : state) r = {-math::INFINITE, 0};
  for (i64 j = 0; j < s.visible(to); j += KEYS) {
    const i64 count = least(KEYS, s.keys - j);
    const Panels keys = byColumns(q.k + (b * s.keys + j) * s.d, s.d, count, scratch + place.keys);
    const Panels values = byRows(q.v + (b * s.keys + j) * s.dv, count, s.dv, scratch + place.values);
    for (i64 i = from; i < to; i += QUERIES) {
      const i64 rows = least(QUERIES, to - i), first = b * s.queries + i;
      const i64 seen = s.seen(i + rows, j, count);
      if (seen == 0) continue;
      float* y = q.y + first * s.dv;
      smallProduct<ByRow>(rows, seen, s.d, q.q + first * s.d, s.d, keys, scores, KEYS, s.scale, true);
      for (i64 r = 0; r < rows; ++r) {
        float* row = scores + r * KEYS;
        const i64 open = s.seen(i + r + 1, j, seen);
        if (mask) addMask(row, mask + (i + r) * s.keys + j, open);
        soften(state[i - from + r], row, open, y + r * s.dv, s.dv);
        clear(row + open, seen - open);
      }
      smallProduct<ByRow>(rows, s.dv, seen, scores, KEYS, values, y, s.dv, 1, j == 0);
    }
  }
  for (i64 i = from; i < to; ++i) {
    const Running r = state[i - from];
    float* y = q.y + (b * s.queries + i) * s.dv;
    q.lse[b * s.queries + i] = r.sum == 0 ? -math::INFINITE : r.top + math::log(splat(r.sum))[0];
    const float factor = 1 / r.sum;
    if (r.sum == 0)
      span(0, s.dv, [=](auto how, i64 k) { how.store(y + k, vf{}); });
    else
      span(0, s.dv, [=](auto how, i64 k) { how.store(y + k, how.load(y + k) * factor); });
  }
}

namespace rows {

static void attention(Context& cx, float* y, float* lse, const float* q, const float* k, const float* v,
                      const float* mask, i64 n, i64 queries, i64 keys, i64 d, i64 dv, double scale,
                      i64 causal, i64 maskStride) {
  const Attention a{
      y, lse, q, k, v, mask, {n, queries, keys, d, dv, static_cast<float>(scale), causal != 0, maskStride}};
  if (n * queries == 0) return;
  const i64 blocks = ceilDiv(queries, QUERIES);
  const i64 shared = most(1, least(SHARED_BLOCKS, n * blocks / ATTENTION_TASKS)) * QUERIES;
  const i64 parts = ceilDiv(queries, shared), each = AttentionScratch(a.sizes).total;
  const int threads = a.sizes.threads(cx);
  float* scratch = static_cast<float*>(reserve(cx, threads * each * sizeof(float)));
  parallel(threads, n * parts, [&](i64 task, int worker) {
    // The last part first: with a causal mask it is the longest.
    const i64 from = (parts - 1 - task % parts) * shared;
    attendRows(a, task / parts, from, least(queries, from + shared), scratch + worker * each);
  });
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
