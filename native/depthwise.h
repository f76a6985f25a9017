// Depthwise convolution, one filter a channel: too few products for a copy to pay, so rows are read where
// they lie, under masks at their ends. Filters of 3 × 3 and 5 × 5, column steps of 1 and 2.
#pragma once
#include "image.h"
#include "tile.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

INLINE bool isDepthwise(const Conv& q) {
  return q.cg == 1 && q.kg == 1 && q.r == q.s && (q.r == 3 || q.r == 5) && q.sw <= 2;
}

/** The rows of the filter that lie inside the image, for one row of outputs. */
struct RowReach {
  i64 y, step, height;
  INLINE_MEMBER i64 row(int u) const { return y + u * step; }
  INLINE_MEMBER bool has(int u) const { return row(u) >= 0 && row(u) < height; }
};

/** out[i][j] = bias + Σ w[u][v] x[i sh + top + u down][j Step + left + v across]. */
struct Sliding {
  i64 oh, ow, h, w, sh, top, left, down, across;
};

/** What the S taps of a filter's row meet for a vector of outputs. */
template <int S, int Step>
struct Taps;
template <int Step>
struct Taps<3, Step> {
  Columns<Step> tap[3];
  Taps(i64 at, i64 across, i64 w) : tap{{at, w}, {at + across, w}, {at + 2 * across, w}} {}
};
template <int Step>
struct Taps<5, Step> {
  Columns<Step> tap[5];
  Taps(i64 at, i64 across, i64 w)
      : tap{{at, w}, {at + across, w}, {at + 2 * across, w}, {at + 3 * across, w}, {at + 4 * across, w}} {}
};

/** R rows of a vector of outputs from row i on, which lie `q.sh` = `q.down` rows apart when R > 1: then a row
 * of the image is loaded once for all outputs that meet it. */
template <int S, int Step, int R>
INLINE void slideRows(const Sliding& q, float* out, const float* x, const vf (&w)[S][S], vf start, i64 i,
                      i64 j, const Taps<S, Step>& taps) {
  vf sum[R];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) sum[r] = start;
  const RowReach reach{i * q.sh + q.top, q.down, q.h};
#pragma GCC unroll 8
  for (int t = 0; t < R + S - 1; ++t)
    if (reach.has(t))
#pragma GCC unroll 5
      for (int v = 0; v < S; ++v) {
        const vf from = taps.tap[v].load(x + reach.row(t) * q.w);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r)
          if (t >= r && t < r + S) sum[r] = fma(w[t - r][v], from, sum[r]);
      }
  const int count = static_cast<int>(least(W, q.ow - j));
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) storePart(out + (i + r) * q.ow + j, sum[r], count);
}

template <int S, int Step>
static void slide(const Sliding& q, float* out, const float* x, const vf (&w)[S][S], float bias) {
  const vf start = splat(bias);
  for (i64 j = 0; j < q.ow; j += W) {
    const Taps<S, Step> taps(j * Step + q.left, q.across, q.w);
    i64 i = 0;
    for (; q.sh == q.down && i + 4 <= q.oh; i += 4) slideRows<S, Step, 4>(q, out, x, w, start, i, j, taps);
    for (; i < q.oh; ++i) slideRows<S, Step, 1>(q, out, x, w, start, i, j, taps);
  }
}

/** The filter's taps, each in a vector. */
template <int S>
INLINE void spreadFilter(vf (&to)[S][S], const float* w) {
  for (int u = 0; u < S; ++u)
    for (int v = 0; v < S; ++v) to[u][v] = splat(w[u * S + v]);
}

template <int S>
static void depthwiseForward(Context& cx, float* y, const float* x, const float* w, const float* bias,
                             const Epilogue& after, const Conv& q) {
  const Sliding over{q.oh, q.ow, q.h, q.w, q.sh, -q.ph, -q.pw, q.dh, q.dw};
  eachRow(cx, q.n * q.c, q.oh * q.ow * S * S, [&](i64 p) {
    const i64 c = p % q.c;
    vf taps[S][S];
    spreadFilter(taps, w + c * S * S);
    float* out = y + p * q.oh * q.ow;
    (q.sw == 1 ? slide<S, 1> : slide<S, 2>)(over, out, x + p * q.h * q.w, taps, bias ? bias[c] : 0.0f);
    if (after.any()) finishStored(after, out, 0, 1, q.oh * q.ow);
  });
}

/** The gradient by the input with steps: even and odd columns are summed apart. */
template <int S>
static void unslide(const Conv& q, float* gx, const float* g, const vf (&w)[S][S]) {
  for (i64 j = 0; j < q.w; j += q.sw * W) {
    const auto shifted = [&](i64 v) { return Shifted::of(j + q.pw - v * q.dw, q.sw, q.ow); };
    const Shifted taps[] = {shifted(0), shifted(1), shifted(2), shifted(3), shifted(4)};
    const i64 left = q.w - j;
    for (i64 y = 0; y < q.h; ++y) {
      vf even = {}, odd = {};
      for (int u = 0; u < S; ++u) {
        const i64 i = y + q.ph - u * q.dh;
        if (i < 0 || i % q.sh || i / q.sh >= q.oh) continue;
        const float* row = g + i / q.sh * q.ow;
#pragma GCC unroll 5
        for (int v = 0; v < S; ++v) {
          vf& sum = taps[v].odd ? odd : even;
          sum = fma(w[u][v], taps[v].range.load(row + taps[v].at), sum);
        }
      }
      float* to = gx + y * q.w + j;
      if (q.sw == 1) {
        storePart(to, even, static_cast<int>(least(W, left)));
        continue;
      }
      storePairs(Part{static_cast<int>(least(W, left / 2))}, to, even, odd);
      if (left < 2 * W && left % 2) to[left - 1] = even[left / 2];
    }
  }
}

template <int S>
static void depthwiseGradInput(Context& cx, float* gx, const float* g, const float* w, const Conv& q) {
  // Backwards, a filter of steps 1 is a filter again.
  const Sliding over{q.h, q.w, q.oh, q.ow, 1, q.ph - (S - 1) * q.dh, q.pw - (S - 1) * q.dw, q.dh, q.dw};
  eachRow(cx, q.n * q.c, q.oh * q.ow * S * S, [&](i64 p) {
    vf taps[S][S];
    const float* filter = w + p % q.c * S * S;
    float* to = gx + p * q.h * q.w;
    const float* from = g + p * q.oh * q.ow;
    if (q.sh == 1 && q.sw == 1) {
      for (int k = 0; k < S * S; ++k) taps[k / S][k % S] = splat(filter[S * S - 1 - k]);
      slide<S, 1>(over, to, from, taps, 0.0f);
    } else {
      spreadFilter(taps, filter);
      unslide(q, to, from, taps);
    }
  });
}

/** Adds to sums[u][v] what one plane gives. */
template <int S, int Step>
static void correlate(const Conv& q, vf (&sums)[S][S], const float* x, const float* g) {
  for (i64 j = 0; j < q.ow; j += W) {
    const Taps<S, Step> taps(j * Step - q.pw, q.dw, q.w);
    const LaneRange here = lanesWithin(j, 0, q.ow);
    vf sum[S][S];
    std::memcpy(sum, sums, sizeof sum);
    for (i64 i = 0; i < q.oh; ++i) {
      const RowReach reach{i * q.sh - q.ph, q.dh, q.h};
      const vf out = here.load(g + i * q.ow + j);
#pragma GCC unroll 5
      for (int u = 0; u < S; ++u)
        if (reach.has(u))
#pragma GCC unroll 5
          for (int v = 0; v < S; ++v)
            sum[u][v] = fma(out, taps.tap[v].load(x + reach.row(u) * q.w), sum[u][v]);
    }
    std::memcpy(sums, sum, sizeof sum);
  }
}

/** A channel's images are added in order, by one thread. */
template <int S>
static void depthwiseGradWeight(Context& cx, float* gw, const float* x, const float* g, const Conv& q) {
  eachRow(cx, q.c, q.n * q.oh * q.ow * S * S, [&](i64 c) {
    vf sums[S][S] = {};
    for (i64 i = 0; i < q.n; ++i)
      (q.sw == 1 ? correlate<S, 1> : correlate<S, 2>)(q, sums, x + (i * q.c + c) * q.h * q.w,
                                                      g + (i * q.c + c) * q.oh * q.ow);
    for (int k = 0; k < S * S; ++k) gw[c * S * S + k] = total(sums[k / S][k % S]);
  });
}

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
