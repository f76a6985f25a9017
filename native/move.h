// Kernels that move numbers: strided copies, gathers and scatters. Indices come from users, so each is
// checked here: one out of range gives NaN in a gather and is left out of a scatter.
#pragma once
#include "pack.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

INLINE void copyRun(float* out, const float* x, i64 n) {
  span(0, n, [=](auto how, i64 k) { how.store(out + k, how.load(x + k)); });
}

/** Up to W rows that a transpose turns at a time. */
constexpr i64 SQUARE = W;

/** out[i · so + j] = x[i + j · sx] in squares of vectors: both sides are met in lines. */
static void transposeRun(float* out, i64 so, const float* x, i64 sx, i64 rows, i64 cols) {
  for (i64 i = 0; i < rows; i += W)
    for (i64 j = 0; j < cols; j += W) {
      const int h = static_cast<int>(least(W, rows - i)), w = static_cast<int>(least(W, cols - j));
      vf v[W];
      if (h == W && w == W) {
        loadTransposed(v, x + j * sx + i, sx);
#pragma GCC unroll 16
        for (int p = 0; p < W; ++p) storeAs(out + (i + p) * so + j, v[p]);
      } else {
        for (int q = 0; q < W; ++q) v[q] = q < w ? loadPart(x + (j + q) * sx + i, h) : vf{};
        transpose(v);
        for (int p = 0; p < h; ++p) storePart(out + (i + p) * so + j, v[p], w);
      }
    }
}

/** The two inner axes of a copy. */
static void copyPlane(float* out, const float* x, i64 n, i64 m, i64 on, i64 om, i64 in, i64 im) {
  if (om == 1 && im == 1) {
    for (i64 k = 0; k < n; ++k) copyRun(out + k * on, x + k * in, m);
    return;
  }
  if (om == 1 && in == 1 && n > 1) {
    transposeRun(out, on, x, im, n, m);
    return;
  }
  for (i64 k = 0; k < n; ++k)
    for (i64 l = 0; l < m; ++l) out[k * on + l * om] = x[k * in + l * im];
}

INLINE bool inside(int32_t k, i64 n) { return k >= 0 && k < n; }

namespace rows {

static void copy(Context& cx, float* out, const float* x, i64 d0, i64 d1, i64 d2, i64 d3, i64 o0, i64 o1,
                 i64 o2, i64 o3, i64 i0, i64 i1, i64 i2, i64 i3) {
  if (d0 * d1 * d2 * d3 == 0) return;
  if (d0 * d1 == 1) {
    if (d2 == 1 && o3 == 1 && i3 == 1) {
      pieces(cx, d3, 1, [=](i64 from, i64 to) { copyRun(out + from, x + from, to - from); });
      return;
    }
    const i64 strips = ceilDiv(d2, SQUARE);
    eachRow(cx, strips, 2 * SQUARE * d3, [=](i64 s) {
      const i64 k = s * SQUARE;
      copyPlane(out + k * o2, x + k * i2, least(SQUARE, d2 - k), d3, o2, o3, i2, i3);
    });
    return;
  }
  eachRow(cx, d0 * d1, d2 * d3, [=](i64 t) {
    const i64 i = t / d1, j = t % d1;
    copyPlane(out + i * o0 + j * o1, x + i * i0 + j * i1, d2, d3, o2, o3, i2, i3);
  });
}

static void take(Context& cx, float* out, const float* x, const int32_t* index, i64 outer, i64 n, i64 inner,
                 i64 m) {
  eachRow(cx, outer * m, inner + 4, [=](i64 t) {
    const i64 o = t / m;
    const int32_t at = index[t % m];
    float* to = out + t * inner;
    if (inside(at, n))
      copyRun(to, x + (o * n + at) * inner, inner);
    else
      for (i64 i = 0; i < inner; ++i) to[i] = __builtin_nanf("");
  });
}

static void gather(Context& cx, float* out, const float* x, const int32_t* index, i64 outer, i64 n, i64 inner,
                   i64 m) {
  eachRow(cx, outer * m, 2 * inner, [=](i64 t) {
    const i64 o = t / m;
    for (i64 i = 0; i < inner; ++i) {
      const int32_t at = index[t * inner + i];
      out[t * inner + i] = inside(at, n) ? x[(o * n + at) * inner + i] : __builtin_nanf("");
    }
  });
}

/** Each task owns a range of targets and walks all indices, so every target gets its terms in their order. */
static void takeGrad(Context& cx, float* out, const float* x, const int32_t* index, i64 outer, i64 n,
                     i64 inner, i64 m) {
  const i64 parts = m * inner < 4 * GRAIN ? 1 : least(cx.threads, n);
  parallel(m * inner * outer < 2 * GRAIN ? 1 : cx.threads, outer * parts, [=](i64 task, int) {
    const i64 o = task / parts, part = task % parts;
    const i64 from = n * part / parts, to = n * (part + 1) / parts;
    for (i64 k = 0; k < m; ++k) {
      const int32_t at = index[k];
      if (at < from || at >= to) continue;
      float* target = out + (o * n + at) * inner;
      const float* source = x + (o * m + k) * inner;
      span(0, inner,
           [=](auto how, i64 i) { how.store(target + i, how.load(target + i) + how.load(source + i)); });
    }
  });
}

static void scatterAdd(Context& cx, float* out, const float* x, const int32_t* index, i64 outer, i64 n,
                       i64 inner, i64 m) {
  eachRow(cx, outer, 4 * m * inner, [=](i64 o) {
    for (i64 k = 0; k < m; ++k)
      for (i64 i = 0; i < inner; ++i) {
        const i64 from = (o * m + k) * inner + i;
        const int32_t at = index[from];
        if (inside(at, n)) out[(o * n + at) * inner + i] += x[from];
      }
  });
}

static void toIndex(Context& cx, int32_t* out, const float* x, i64 n) {
  sweep(cx, n, 1, [=](auto how, i64 k) {
    const vf v = how.load(x + k);
    // Reals are whole from 2^24 on, so a larger one is no index; NaN fails both comparisons.
    const vi good = (v >= 0.0f) & (v < 0x1p24f);
    how.store(out + k, good ? truncate(good ? v : vf{}) : splat(-1));
  });
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
