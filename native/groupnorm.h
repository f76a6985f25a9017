// Kernels of normalisation over groups of channels of [n, c, l]. A group's elements lie side by side, so its
// statistics are those of a row; weights and biases are one number a channel.
#pragma once
#include "layernorm.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** Channels of a group and its elements; rows are the groups of all samples. */
struct GroupSizes {
  i64 c, l, groups;

  INLINE_MEMBER i64 channels() const { return c / groups; }
  INLINE_MEMBER i64 size() const { return channels() * l; }
  /** The first channel of a row. */
  INLINE_MEMBER i64 first(i64 row) const { return row % groups * channels(); }
};

/** y = (x - mean) rstd w + b for one group. */
static void affineGroup(float* y, const float* x, const GroupSizes& q, const RowStatistics& s, const float* w,
                        const float* b) {
  // One element a channel: weights and biases lie as the elements do.
  if (q.l == 1) {
    affineRow(y, x, q.channels(), s, w, b);
    return;
  }
  for (i64 ch = 0; ch < q.channels(); ++ch) {
    const vf weight = splat(w ? w[ch] : 1.0f), bias = splat(b ? b[ch] : 0.0f);
    span(ch * q.l, (ch + 1) * q.l,
         [=](auto how, i64 k) { how.store(y + k, fma(s.standard(how.load(x + k)), weight, bias)); });
  }
}

struct GroupGrad {
  float* gx;
  const float *g, *x, *mean, *rstd, *w;
  GroupSizes sizes;
};

/**
 * gx of one group. A channel's Σ g h and Σ g go to `gw` and `gb`, and times its weight into the group's sums:
 * with e = g w and h = (x - mean) rstd, gx = rstd (e - Σe/N - h Σeh/N).
 */
static void groupNormGradRow(const GroupGrad& q, i64 row, float* gw, float* gb) {
  const GroupSizes& n = q.sizes;
  const i64 l = n.l, size = n.size();
  const float *g = q.g + row * size, *x = q.x + row * size, *w = q.w ? q.w + n.first(row) : nullptr;
  float* gx = q.gx + row * size;
  const vf centre = splat(q.mean[row]), scale = splat(q.rstd[row]);
  double sum = 0, dot = 0;
  for (i64 ch = 0; ch < n.channels(); ++ch) {
    double sums[2];
    rowTotals<2>(l, sums, [=](auto how, i64 k, vf* s) {
      const vf u = how.load(g + ch * l + k), h = (how.load(x + ch * l + k) - centre) * scale;
      s[0] += u;
      s[1] = fma(u, h, s[1]);
    });
    gb[ch] = static_cast<float>(sums[0]);
    gw[ch] = static_cast<float>(sums[1]);
    sum += w ? w[ch] * sums[0] : sums[0];
    dot += w ? w[ch] * sums[1] : sums[1];
  }
  const double count = static_cast<double>(size);
  const vf first = splat(static_cast<float>(sum / count)), second = splat(static_cast<float>(-dot / count));
  for (i64 ch = 0; ch < n.channels(); ++ch) {
    const vf weight = splat(w ? w[ch] : 1.0f);
    span(ch * l, (ch + 1) * l, [=](auto how, i64 k) {
      const vf e = how.load(g + k) * weight, h = (how.load(x + k) - centre) * scale;
      how.store(gx + k, scale * fma(h, second, e - first));
    });
  }
}

namespace rows {

static void groupNorm(Context& cx, float* y, float* mean, float* rstd, const float* x, const float* w,
                      const float* b, i64 n, i64 c, i64 l, i64 groups, double eps) {
  const GroupSizes sizes{c, l, groups};
  const i64 size = sizes.size();
  eachRow(cx, n * groups, 2 * size + 32, [=](i64 row) {
    const RowStatistics s = rowStatistics(x + row * size, size, eps);
    mean[row] = static_cast<float>(s.mean);
    rstd[row] = s.rstd;
    const i64 ch = sizes.first(row);
    affineGroup(y + row * size, x + row * size, sizes, s, w ? w + ch : nullptr, b ? b + ch : nullptr);
  });
}

static void groupNormGrad(Context& cx, float* gx, float* gw, float* gb, const float* g, const float* x,
                          const float* mean, const float* rstd, const float* w, i64 n, i64 c, i64 l,
                          i64 groups) {
  const GroupGrad q{gx, g, x, mean, rstd, w, {c, l, groups}};
  // Each sample's sums stand apart, so that they are added in their order whatever thread made them.
  float* parts = static_cast<float*>(reserve(cx, 2 * n * c * sizeof(float)));
  eachRow(cx, n * groups, 4 * q.sizes.size(), [&](i64 row) {
    float* mine = parts + 2 * (row / groups) * c + q.sizes.first(row);
    groupNormGradRow(q, row, mine, mine + c);
  });
  if (gw) addBlocks(cx, gw, parts, n, c);
  if (gb) addBlocks(cx, gb, parts + c, n, c);
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
