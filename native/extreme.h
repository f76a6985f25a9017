// Kernels of the largest and the smallest: NaN is best of all, among equals the first. A row is first asked
// for its best value, which takes two instructions a vector, and where that stands is looked up afterwards in
// the one leaf that held it; columns carry their indices along.
#pragma once
#include "reduce.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

template <bool Largest>
struct Rank {
  static constexpr float worst = Largest ? -__builtin_inff() : __builtin_inff();
  /** v where it is better, else `best`; a NaN of v is passed over, one of `best` stays. */
  INLINE_MEMBER static vf better(vf best, vf v) { return Largest ? atLeast(best, v) : atMost(best, v); }
  /** Whether v replaces an earlier value. */
  INLINE_MEMBER static bool beats(float v, float old) {
    return old == old && (v != v || (Largest ? v > old : v < old));
  }
};

/** The best of consecutive elements, NaN if one is. */
template <bool Largest>
static float bestOf(const float* x, i64 n) {
  using O = Rank<Largest>;
  constexpr int SIDE = 8;
  vf best[SIDE];
  for (vf& b : best) b = splat(O::worst);
  Unordered nan;
  i64 k = 0;
  for (; k + SIDE * W <= n; k += SIDE * W)
    for (int u = 0; u < SIDE; u += 2) {
      const vf v = loadAs<vf>(x + k + u * W), w = loadAs<vf>(x + k + (u + 1) * W);
      nan.look(v, w);
      best[u] = O::better(best[u], v);
      best[u + 1] = O::better(best[u + 1], w);
    }
  const auto last = [&](vf v) {
    nan.look(v, v);
    best[0] = O::better(best[0], v);
  };
  for (; k + W <= n; k += W) last(loadAs<vf>(x + k));
  if (k < n) last(Part{static_cast<int>(n - k)}.load(x + k, splat(O::worst)));
  if (nan.seen()) return __builtin_nanf("");
  for (int width = SIDE / 2; width > 0; width /= 2)
    for (int u = 0; u < width; ++u) best[u] = O::better(best[u], best[u + width]);
  return across(best[0], [](float a, float b) { return O::beats(b, a) ? b : a; });
}

/** Where `value`, which is there, first stands: `hit` compares with it. */
template <class Hit>
INLINE i64 firstHit(const float* x, i64 n, const Hit& hit) {
  i64 k = 0;
  for (; k + 4 * W <= n; k += 4 * W)
    if (any((hit(loadAs<vf>(x + k)) | hit(loadAs<vf>(x + k + W))) |
            (hit(loadAs<vf>(x + k + 2 * W)) | hit(loadAs<vf>(x + k + 3 * W)))))
      break;
  for (; k + W <= n; k += W) {
    const vi hits = hit(loadAs<vf>(x + k));
    if (any(hits)) return k + firstOf(hits);
  }
  return k + firstOf(hit(Part{static_cast<int>(n - k)}.load(x + k)));
}

/** Where `value`, which is there, first stands; NaN stands where NaN is. */
static i64 find(const float* x, i64 n, float value) {
  if (value != value) return firstHit(x, n, [](vf v) { return v != v; });
  const vf wanted = splat(value);
  return firstHit(x, n, [=](vf v) { return v == wanted; });
}

/** The only row there is: its leaves among threads. */
template <bool Largest, bool Index>
static float longRow(Context& cx, const float* x, i64 n) {
  const i64 leaves = ceilDiv(n, LEAF);
  const auto length = [=](i64 k) { return least(LEAF, n - k * LEAF); };
  float* best = static_cast<float*>(reserve(cx, leaves * sizeof(float)));
  parallel(n < 4 * GRAIN ? 1 : cx.threads, leaves,
           [=](i64 k, int) { best[k] = bestOf<Largest>(x + k * LEAF, length(k)); });
  i64 at = 0;
  for (i64 k = 1; k < leaves; ++k)
    if (Rank<Largest>::beats(best[k], best[at])) at = k;
  return Index ? static_cast<float>(at * LEAF + find(x + at * LEAF, length(at), best[at])) : best[at];
}

/** The best of a row on this thread. */
template <bool Largest, bool Index>
static float shortRow(const float* x, i64 n) {
  float best = bestOf<Largest>(x, least(n, LEAF));
  i64 at = 0;
  for (i64 k = LEAF; k < n; k += LEAF) {
    const float now = bestOf<Largest>(x + k, least(LEAF, n - k));
    if (!Rank<Largest>::beats(now, best)) continue;
    best = now;
    at = k;
  }
  return Index ? static_cast<float>(at + find(x + at, least(LEAF, n - at), best)) : best;
}

/** Best values of columns so far and where they were. */
template <bool Largest>
struct Best {
  vf value;
  vi index;
  INLINE_MEMBER void offer(vf v, vi at) {
    const vi take = (Largest ? ~(v <= value) : ~(v >= value)) & (value == value);
    value = take ? v : value;
    index = take ? at : index;
  }
};

template <bool Largest, bool Index, int V, class How>
INLINE void bestColumns(How how, float* out, const float* x, i64 n, i64 stride) {
  Best<Largest> best[V];
  for (int v = 0; v < V; ++v) best[v] = {how.load(x + v * W), vi{}};
  for (i64 k = 1; k < n; ++k)
    for (int v = 0; v < V; ++v) {
      const vf row = how.load(x + k * stride + v * W);
      if (Index)
        best[v].offer(row, splat(static_cast<int32_t>(k)));
      else
        best[v].value = row != row ? row : Rank<Largest>::better(best[v].value, row);
    }
  for (int v = 0; v < V; ++v) how.store(out + v * W, Index ? toReal(best[v].index) : best[v].value);
}

template <bool Largest, bool Index>
static void extreme(Context& cx, float* out, const float* x, i64 outer, i64 n, i64 inner) {
  if (n == 0) return;
  if (inner == 1 && outer == 1)
    out[0] = longRow<Largest, Index>(cx, x, n);
  else if (inner == 1)
    eachRow(cx, outer, n + 8, [=](i64 i) { out[i] = shortRow<Largest, Index>(x + i * n, n); });
  else
    eachColumns(cx, outer, n, inner, [=](auto vectors, auto how, i64 i, i64 j) {
      bestColumns<Largest, Index, vectors.value>(how, out + i * inner + j, x + i * n * inner + j, n, inner);
    });
}

namespace rows {

static void max(Context& cx, float* out, const float* x, i64 outer, i64 n, i64 inner) {
  extreme<true, false>(cx, out, x, outer, n, inner);
}
static void min(Context& cx, float* out, const float* x, i64 outer, i64 n, i64 inner) {
  extreme<false, false>(cx, out, x, outer, n, inner);
}
static void argmax(Context& cx, float* out, const float* x, i64 outer, i64 n, i64 inner) {
  extreme<true, true>(cx, out, x, outer, n, inner);
}
static void argmin(Context& cx, float* out, const float* x, i64 outer, i64 n, i64 inner) {
  extreme<false, true>(cx, out, x, outer, n, inner);
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
