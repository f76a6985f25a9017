// Kernels of softmax with cross-entropy against class numbers. Nothing of a matrix's size stands between the
// passes: a row keeps its largest element and the logarithm of its sum. Targets come from users and are
// checked here.
#pragma once
#include "softmax.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {
namespace rows {

static void crossEntropy(Context& cx, float* loss, float* stats, const float* x, const int32_t* target,
                         i64 rows, i64 cols) {
  eachRow(cx, rows, 5 * cols + 32, [=](i64 row) {
    const float* from = x + row * cols;
    const float shift = top(from, cols);
    const float log = math::log(splat(sumExp(from, cols, shift, [](auto, i64, vf) {})))[0];
    stats[row] = shift;
    stats[rows + row] = log;
    const int32_t at = target[row];
    loss[row] = at >= 0 && at < cols ? log - (from[at] - shift) : __builtin_nanf("");
  });
}

static void crossEntropyGrad(Context& cx, float* gx, const float* g, const float* x, const float* stats,
                             const int32_t* target, i64 rows, i64 cols) {
  eachRow(cx, rows, 5 * cols + 16, [=](i64 row) {
    const float* from = x + row * cols;
    float* to = gx + row * cols;
    const int32_t at = target[row];
    const bool known = at >= 0 && at < cols;
    const float shift = stats[row], log = stats[rows + row];
    const vf scale = splat(known ? g[row] : 0.0f);
    span(0, cols, [=](auto how, i64 k) {
      how.store(to + k, math::expFlushed((how.load(from + k) - shift) - log) * scale);
    });
    if (known) to[at] = (math::expFlushed(splat((from[at] - shift) - log))[0] - 1.0f) * g[row];
  });
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
