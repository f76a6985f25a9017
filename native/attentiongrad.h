// The gradients of attention. Blocks of keys outside, blocks of queries inside: gk and gv of a block are
// summed by one thread. Where a batch is too small for all threads its keys are cut in parts, by the sizes
// alone, whose sums of gq are added in their order.
#pragma once
#include "attention.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

struct AttentionGrad {
  float *gq, *gk, *gv;
  const float *g, *q, *k, *v, *y, *lse, *mask;
  AttentionSizes sizes;
};

/** Scratch of one thread, in reals. Packed rows are there for sizes that are no whole vectors. */
struct AttentionGradScratch {
  i64 keys, values, keyRows, queryRows, outRows, weights, slopes, total;
  explicit AttentionGradScratch(const AttentionSizes& s) {
    const auto packed = [](i64 rows, i64 cols) { return cols % W ? rows * roundUp(cols, TILE_COLS) : 0; };
    keys = 0;
    values = keys + KEYS * roundUp(s.d, W);
    keyRows = values + KEYS * roundUp(s.dv, W);
    queryRows = keyRows + packed(KEYS, s.d);
    outRows = queryRows + packed(QUERIES, s.d);
    weights = outRows + packed(QUERIES, s.dv);
    slopes = weights + QUERIES * KEYS;
    total = roundUp(slopes + QUERIES * KEYS, 1024);
  }
};

/** Σ a b over n elements. */
INLINE float inner(const float* a, const float* b, i64 n) {
  vf sum[2] = {};
  i64 k = 0;
  for (; k + 2 * W <= n; k += 2 * W)
    for (int u = 0; u < 2; ++u) sum[u] = fma(loadAs<vf>(a + k + u * W), loadAs<vf>(b + k + u * W), sum[u]);
  for (; k + W <= n; k += W) sum[0] = fma(loadAs<vf>(a + k), loadAs<vf>(b + k), sum[0]);
  const int rest = static_cast<int>(n - k);
  if (rest > 0) sum[1] = fma(loadPart(a + k, rest), loadPart(b + k, rest), sum[1]);
  return total(sum[0] + sum[1]);
}

/** Scores to weights p = e^(score - lse), and g vᵀ to slopes scale p (g vᵀ - Σ g y). */
INLINE void weigh(float* scores, float* slopes, i64 count, float lse, float dot, float scale) {
  const bool nowhere = lse == -math::INFINITE;
  span(0, count, [=](auto how, i64 k) {
    const vf p = nowhere ? vf{} : math::expFlushed(how.load(scores + k) - lse);
    how.store(scores + k, p);
    how.store(slopes + k, scale * p * (how.load(slopes + k) - dot));
  });
}

/** A block of keys as factors of the products, and where its gradients go. */
struct KeyBlock {
  i64 j, count;
  Panels keys, values, keyRows;
  float *gk, *gv;
};

/** Queries [i, i + rows) of batch entry b with one block of keys. */
static void gradQueries(const AttentionGrad& a, i64 b, i64 i, i64 rows, const KeyBlock& s, float* gq,
                        const float* dots, float* scratch) {
  const AttentionSizes& n = a.sizes;
  const AttentionGradScratch place(n);
  const i64 at = b * n.queries + i;
  const float *q = a.q + at * n.d, *g = a.g + at * n.dv;
  const float* mask = a.mask ? a.mask + b * n.maskStride : nullptr;
  float *weights = scratch + place.weights, *slopes = scratch + place.slopes;
  const i64 seen = n.seen(i + rows, s.j, s.count);
  if (seen == 0) return;
  smallProduct<ByRow>(rows, seen, n.d, q, n.d, s.keys, weights, KEYS, n.scale, true);
  smallProduct<ByRow>(rows, seen, n.dv, g, n.dv, s.values, slopes, KEYS, 1, true);
  for (i64 r = 0; r < rows; ++r) {
    float *weight = weights + r * KEYS, *slope = slopes + r * KEYS;
    const i64 open = n.seen(i + r + 1, s.j, seen);
    if (mask) addMask(weight, mask + (i + r) * n.keys + s.j, open);
    weigh(weight, slope, open, a.lse[at + r], dots[i + r], n.scale);
    clear(weight + open, seen - open);
    clear(slope + open, seen - open);
  }
  const Panels outRows = byRows(g, rows, n.dv, scratch + place.outRows);
  const Panels queryRows = byRows(q, rows, n.d, scratch + place.queryRows);
  smallProduct<ByTerm>(seen, n.dv, rows, weights, KEYS, outRows, s.gv, n.dv, 1, false);
  smallProduct<ByTerm>(seen, n.d, rows, slopes, KEYS, queryRows, s.gk, n.d, 1, false);
  smallProduct<ByRow>(rows, n.d, seen, slopes, KEYS, s.keyRows, gq + i * n.d, n.d, 1, false);
}

/** Keys [from, to) of batch entry b: their gk and gv, and their share of gq, which starts at 0. */
static void gradKeys(const AttentionGrad& a, i64 b, i64 from, i64 to, float* gq, const float* dots,
                     float* scratch) {
  const AttentionSizes& n = a.sizes;
  const AttentionGradScratch place(n);
  clear(gq, n.queries * n.d);
  for (i64 j = from; j < to; j += KEYS) {
    const i64 count = least(KEYS, to - j), at = b * n.keys + j;
    const float *k = a.k + at * n.d, *v = a.v + at * n.dv;
    const KeyBlock block{j,
                         count,
                         byColumns(k, n.d, count, scratch + place.keys),
                         byColumns(v, n.dv, count, scratch + place.values),
                         byRows(k, count, n.d, scratch + place.keyRows),
                         a.gk + at * n.d,
                         a.gv + at * n.dv};
    clear(block.gk, count * n.d);
    clear(block.gv, count * n.dv);
    for (i64 i = 0; i < n.queries; i += QUERIES)
      gradQueries(a, b, i, least(QUERIES, n.queries - i), block, gq, dots, scratch);
  }
}

/** gq = the sum of its parts, [n, parts, size]. */
static void addParts(Context& cx, float* gq, const float* shares, i64 n, i64 parts, i64 size) {
  for (i64 b = 0; b < n; ++b)
    sweep(cx, size, parts, [=](auto how, i64 k) {
      const float* from = shares + b * parts * size + k;
      vf sum = how.load(from);
      for (i64 part = 1; part < parts; ++part) sum += how.load(from + part * size);
      how.store(gq + b * size + k, sum);
    });
}

namespace rows {

static void attentionGrad(Context& cx, float* gq, float* gk, float* gv, const float* g, const float* q,
                          const float* k, const float* v, const float* y, const float* lse, const float* mask,
                          i64 n, i64 queries, i64 keys, i64 d, i64 dv, double scale, i64 causal,
                          i64 maskStride) {
  const AttentionGrad a{gq,
                        gk,
                        gv,
                        g,
                        q,
                        k,
                        v,
                        y,
                        lse,
                        mask,
                        {n, queries, keys, d, dv, static_cast<float>(scale), causal != 0, maskStride}};
  if (n == 0) return;
  const i64 blocks = ceilDiv(keys, KEYS);
  const i64 wanted = most(1, least(blocks, ceilDiv(ATTENTION_TASKS / 2, n)));
  const i64 length = most(1, ceilDiv(blocks, wanted)) * KEYS, parts = most(1, ceilDiv(keys, length));
  const i64 each = AttentionGradScratch(a.sizes).total, size = queries * d;
  const int threads = a.sizes.threads(cx);
  const i64 dotsAt = threads * each, sharesAt = dotsAt + roundUp(n * queries, W);
  float* scratch =
      static_cast<float*>(reserve(cx, (sharesAt + (parts > 1 ? n * parts * size : 0)) * sizeof(float)));
  float *dots = scratch + dotsAt, *shares = scratch + sharesAt;
  eachRow(cx, n * queries, dv + 8, [=](i64 row) { dots[row] = inner(g + row * dv, y + row * dv, dv); });
  parallel(threads, n * parts, [&](i64 task, int worker) {
    const i64 b = task / parts, from = task % parts * length;
    gradKeys(a, b, from, least(keys, from + length), parts > 1 ? shares + task * size : gq + b * size,
             dots + b * queries, scratch + worker * each);
  });
  if (parts > 1) addParts(cx, gq, shares, n, parts, size);
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
