// Kernels of normalisation over the rows of a matrix. A row's sums are taken about one of its elements, in
// float32 over short leaves that are added in double. Sums over rows are taken in blocks of rows that depend
// on the sizes only.
#pragma once
#include "reduce.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** Elements of a row that are added up in float32: at most 128 a lane. */
constexpr i64 SHORT_LEAF = 2048;

/** N sums over [0, n): f(how, k, sum) adds element k's terms; it must add 0 beyond the end. */
template <int N, class F>
INLINE void rowTotals(i64 n, double* sums, F f) {
  for (int s = 0; s < N; ++s) sums[s] = 0;
  for (i64 from = 0; from < n; from += SHORT_LEAF) {
    const i64 to = least(n, from + SHORT_LEAF);
    vf sum[4][N] = {};
    i64 k = from;
    for (; k + 4 * W <= to; k += 4 * W)
#pragma GCC unroll 4
      for (int u = 0; u < 4; ++u) f(Whole{}, k + u * W, sum[u]);
    for (; k + W <= to; k += W) f(Whole{}, k, sum[0]);
    if (k < to) f(Part{static_cast<int>(to - k)}, k, sum[1]);
    for (int s = 0; s < N; ++s) sums[s] += total((sum[0][s] + sum[1][s]) + (sum[2][s] + sum[3][s]));
  }
}

/** A row's mean as the sum of `base` and `rest`, so that differences from it are nearly exact, and 1/√(var +
 * eps). */
struct RowStatistics {
  double mean;
  float base, rest, rstd;

  INLINE_MEMBER vf standard(vf x) const { return ((x - base) - rest) * rstd; }
};

static RowStatistics rowStatistics(const float* x, i64 n, double eps) {
  // Rows without elements have mean 0 and variance 0.
  const double count = static_cast<double>(most(1, n));
  const float base = n > 0 ? x[0] : 0;
  double sum, squares;
  rowTotals<1>(n, &sum, [=](auto how, i64 k, vf* s) { s[0] += how.load(x + k, splat(base)) - base; });
  const float rest = static_cast<float>(sum / count);
  rowTotals<1>(n, &squares, [=](auto how, i64 k, vf* s) {
    const vf d = how.keep((how.load(x + k) - base) - rest);
    s[0] = fma(d, d, s[0]);
  });
  return {base + sum / count, base, rest, static_cast<float>(1 / __builtin_sqrt(squares / count + eps))};
}

/** y = (x - mean) rstd w + b for one row; w and b are of its length, or absent. */
static void affineRow(float* y, const float* x, i64 n, const RowStatistics& s, const float* w,
                      const float* b) {
  const auto put = [=](auto weight, auto bias) {
    span(0, n, [=](auto how, i64 k) {
      how.store(y + k, fma(s.standard(how.load(x + k)), weight(how, k), bias(how, k)));
    });
  };
  const auto ones = [](auto, i64) { return splat(1.0f); };
  const auto zeros = [](auto, i64) { return vf{}; };
  const auto weights = [=](auto how, i64 k) { return how.load(w + k); };
  const auto biases = [=](auto how, i64 k) { return how.load(b + k); };
  if (w && b)
    put(weights, biases);
  else if (w)
    put(weights, zeros);
  else if (b)
    put(ones, biases);
  else
    put(ones, zeros);
}

struct LayerGrad {
  float *gx, *gw, *gb;
  const float *g, *x, *mean, *rstd, *w;
  i64 rows, cols;
};

/** Rows that share one pass over the sums of gw and gb. */
constexpr int LAYER_ROWS = 4;

/**
 * gx of R rows, with e = g w and h = (x - mean) rstd: rstd (e - Σe/N - h Σeh/N). Adds Σ g h to gw and Σ g to
 * gb where those are wanted.
 */
template <int R, bool Weighted, bool Sums>
static void layerNormGradRows(const LayerGrad& q, i64 row, float* gw, float* gb) {
  const i64 cols = q.cols;
  const float *g = q.g + row * cols, *x = q.x + row * cols, *w = q.w;
  float mu[R], rstd[R];
  double sums[2 * R] = {};
  for (int r = 0; r < R; ++r) {
    mu[r] = q.mean[row + r];
    rstd[r] = q.rstd[row + r];
  }
  for (i64 from = 0; from < cols; from += SHORT_LEAF) {
    vf s[2 * R] = {};
    const auto step = [&](auto how, i64 k) {
      vf dw = {}, db = {};
      if (Sums) {
        dw = how.load(gw + k);
        db = how.load(gb + k);
      }
      const vf weight = Weighted ? how.load(w + k) : splat(1.0f);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const vf u = how.load(g + r * cols + k), h = (how.load(x + r * cols + k) - mu[r]) * rstd[r];
        const vf e = Weighted ? u * weight : u;
        s[2 * r] += e;
        s[2 * r + 1] = fma(e, h, s[2 * r + 1]);
        if (Sums) {
          dw = fma(u, h, dw);
          db += u;
        }
      }
      if (Sums) {
        how.store(gw + k, dw);
        how.store(gb + k, db);
      }
    };
    span(from, least(cols, from + SHORT_LEAF), step);
    for (int k = 0; k < 2 * R; ++k) sums[k] += total(s[k]);
  }
  float* gx = q.gx + row * cols;
  for (int r = 0; r < R; ++r, g += cols, x += cols, gx += cols) {
    const vf centre = splat(mu[r]), scale = splat(rstd[r]);
    const vf first = splat(static_cast<float>(sums[2 * r] / cols)),
             second = splat(static_cast<float>(-sums[2 * r + 1] / cols));
    span(0, cols, [=](auto how, i64 k) {
      const vf u = how.load(g + k), h = (how.load(x + k) - centre) * scale;
      const vf e = Weighted ? u * how.load(w + k) : u;
      how.store(gx + k, scale * fma(h, second, e - first));
    });
  }
}

template <bool Weighted, bool Sums>
static void layerNormGradBlock(const LayerGrad& q, i64 from, i64 to, float* gw, float* gb) {
  i64 row = from;
  for (; row + LAYER_ROWS <= to; row += LAYER_ROWS)
    layerNormGradRows<LAYER_ROWS, Weighted, Sums>(q, row, gw, gb);
  for (; row < to; ++row) layerNormGradRows<1, Weighted, Sums>(q, row, gw, gb);
}

/** Adds the blocks' sums, [blocks, 2, cols], in their order and in double. */
static void addBlocks(Context& cx, float* out, const float* parts, i64 blocks, i64 cols) {
  sweep(cx, cols, blocks, [=](auto how, i64 k) {
    vd lo = {}, hi = {};
    for (i64 block = 0; block < blocks; ++block) {
      const vf v = how.load(parts + 2 * block * cols + k);
      lo += low(v);
      hi += high(v);
    }
    how.store(out + k, narrow(lo, hi));
  });
}

namespace rows {

static void layerNorm(Context& cx, float* y, float* mean, float* rstd, const float* x, const float* w,
                      const float* b, i64 rows, i64 cols, double eps) {
  eachRow(cx, rows, 2 * cols + 32, [=](i64 row) {
    const RowStatistics s = rowStatistics(x + row * cols, cols, eps);
    mean[row] = static_cast<float>(s.mean);
    rstd[row] = s.rstd;
    affineRow(y + row * cols, x + row * cols, cols, s, w, b);
  });
}

static void layerNormGrad(Context& cx, float* gx, float* gw, float* gb, const float* g, const float* x,
                          const float* mean, const float* rstd, const float* w, i64 rows, i64 cols) {
  const LayerGrad q{gx, gw, gb, g, x, mean, rstd, w, rows, cols};
  const bool sums = gw || gb;
  // About 16 blocks, so that threads can share them, of at most 64 rows, which float32 adds up well.
  const i64 size = least(64, roundUp(most(1, ceilDiv(rows, 16)), LAYER_ROWS)), blocks = ceilDiv(rows, size);
  float* parts = sums ? static_cast<float*>(reserve(cx, 2 * blocks * cols * sizeof(float))) : nullptr;
  const auto run = w      ? sums ? layerNormGradBlock<true, true> : layerNormGradBlock<true, false>
                   : sums ? layerNormGradBlock<false, true>
                          : layerNormGradBlock<false, false>;
  eachRow(cx, blocks, 4 * size * cols, [&](i64 block) {
    float* mine = sums ? parts + 2 * block * cols : nullptr;
    if (sums) std::memset(mine, 0, 2 * cols * sizeof(float));
    run(q, block * size, least(rows, (block + 1) * size), mine, sums ? mine + cols : nullptr);
  });
  if (gw) addBlocks(cx, gw, parts, blocks, cols);
  if (gb) addBlocks(cx, gb, parts + cols, blocks, cols);
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
