// Kernels of two operands that are read with strides: dense, broadcast (0) or any other. One formula serves
// all.
#pragma once
#include "pointwise.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** `count` elements from p in steps of `stride`, the other lanes 0. */
INLINE vf loadStrided(const float* p, i64 stride, int count) {
  float lane[W] = {};
  for (int k = 0; k < count; ++k) lane[k] = p[k * stride];
  return loadAs<vf>(lane);
}

template <class F>
INLINE void binaryRun(float* out, const float* a, i64 sa, const float* b, i64 sb, i64 from, i64 to, F f) {
  if (sa == 1 && sb == 1)
    span<Fresh>(from, to, [=](auto how, i64 k) { how.store(out + k, f(how.load(a + k), how.load(b + k))); });
  else if (sa == 1 && sb == 0) {
    const vf y = splat(*b);
    span<Fresh>(from, to, [=](auto how, i64 k) { how.store(out + k, f(how.load(a + k), y)); });
  } else if (sa == 0 && sb == 1) {
    const vf x = splat(*a);
    span<Fresh>(from, to, [=](auto how, i64 k) { how.store(out + k, f(x, how.load(b + k))); });
  } else
    for (i64 k = from; k < to; k += W) {
      const int count = static_cast<int>(least(W, to - k));
      Part{count}.store(out + k, f(loadStrided(a + k * sa, sa, count), loadStrided(b + k * sb, sb, count)));
    }
}

/** A box of three sizes with the strides of both operands; sizes that can be read as one are merged. */
struct Box {
  i64 n[3], a[3], b[3];

  /** Merges axis k into k + 1 where both operands step through them evenly. */
  void merge(int k) {
    if (n[k] != 1 && n[k + 1] != 1 && (a[k] != a[k + 1] * n[k + 1] || b[k] != b[k + 1] * n[k + 1])) return;
    if (n[k + 1] == 1) {
      a[k + 1] = a[k];
      b[k + 1] = b[k];
    }
    n[k + 1] *= n[k];
    for (; k > 0; --k) {
      n[k] = n[k - 1];
      a[k] = a[k - 1];
      b[k] = b[k - 1];
    }
    n[0] = 1;
  }
};

template <class F>
static void binary(Context& cx, float* out, const float* a, const float* b, Box box, i64 weight, F f) {
  if (box.n[0] * box.n[1] * box.n[2] == 0) return;
  box.merge(1);
  box.merge(0);
  box.merge(1);
  const i64 run = box.n[2], rows = box.n[0] * box.n[1];
  if (rows == 1) {
    pieces(cx, run, weight, [=](i64 from, i64 to) { binaryRun(out, a, box.a[2], b, box.b[2], from, to, f); });
    return;
  }
  eachRow(cx, rows, run * weight + 8, [=](i64 row) {
    const i64 i = row / box.n[1], j = row % box.n[1];
    binaryRun(out + row * run, a + i * box.a[0] + j * box.a[1], box.a[2], b + i * box.b[0] + j * box.b[1],
              box.b[2], 0, run, f);
  });
}

namespace rows {

/** A row (out, a, b, n0, n1, n2, a0, a1, a2, b0, b1, b2) of z = value. */
#define BINARY(name, weight, value)                                                                         \
  static void name(Context& cx, float* out, const float* a, const float* b, i64 n0, i64 n1, i64 n2, i64 a0, \
                   i64 a1, i64 a2, i64 b0, i64 b1, i64 b2) {                                                \
    binary(cx, out, a, b, Box{{n0, n1, n2}, {a0, a1, a2}, {b0, b1, b2}}, weight,                            \
           [](vf x, vf y) { return value; });                                                               \
  }

BINARY(add, 1, x + y)
BINARY(sub, 1, x - y)
BINARY(mul, 1, x* y)
BINARY(div, 2, x / y)
BINARY(pow, 16, math::pow(x, y))
BINARY(maximum, 1, Maximum{}(x, y))
BINARY(minimum, 1, Minimum{}(x, y))
BINARY(eq, 1, truth(x == y))
BINARY(ne, 1, truth(x != y))
BINARY(lt, 1, truth(x < y))
BINARY(le, 1, truth(x <= y))
BINARY(gt, 1, truth(x > y))
BINARY(ge, 1, truth(x >= y))
#undef BINARY

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
