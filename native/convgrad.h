// Gradient of convolution by its weight: which of the ways to sum it is the fastest.
#pragma once
#include "gradlast.h"
#include "winogradgrad.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {
namespace rows {

static void conv2dGradWeight(Context& cx, float* gw, const float* x, const float* g, i64 n, i64 c, i64 h,
                             i64 width, i64 k, i64 r, i64 s, i64 sh, i64 sw, i64 ph, i64 pw, i64 dh, i64 dw,
                             i64 groups) {
  const Conv q(n, c, h, width, k, r, s, sh, sw, ph, pw, dh, dw, groups);
  if (k * q.cg * r * s == 0) return;
  if (n * q.oh * q.ow == 0) {
    std::memset(gw, 0, k * q.cg * r * s * sizeof(float));
    return;
  }
  // Long rows of steps 1 are dot products without a remainder.
  if (isDepthwise(q) && (sw == 2 || q.ow <= W))
    return (r == 3 ? depthwiseGradWeight<3> : depthwiseGradWeight<5>)(cx, gw, x, g, q);
  // Half-filled vectors of channels are as fast as dot products.
  if (2 * q.cg <= W) return weightGradDots(cx, gw, x, g, q);
  if (winogradFits(q) && winogradPays(SUMMED_TILES, roundUp(q.cg, W), q.kg, q.oh, q.ow))
    return winogradGradWeight(cx, gw, x, g, q);
  weightGradLast(cx, gw, x, g, q);
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
