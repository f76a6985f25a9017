// Pooling over planes. Windows that do not overlap and need no padding, 2 × 2 by steps of 2, have vector
// loops.
#pragma once
#include "lanes.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

struct Pooling {
  i64 planes, h, w, kh, kw, sh, sw, ph, pw, oh, ow;

  static i64 outputs(i64 size, i64 kernel, i64 stride, i64 pad) {
    const i64 room = size + 2 * pad - kernel;
    return room < 0 || stride == 0 ? 0 : room / stride + 1;
  }
  bool halves() const { return kh == 2 && kw == 2 && sh == 2 && sw == 2 && ph == 0 && pw == 0; }
};

INLINE Pooling poolingOf(i64 planes, i64 h, i64 w, i64 kh, i64 kw, i64 sh, i64 sw, i64 ph, i64 pw) {
  return {
      planes, h, w, kh, kw, sh, sw, ph, pw, Pooling::outputs(h, kh, sh, ph), Pooling::outputs(w, kw, sw, pw)};
}

/** The part of a window along one axis that lies inside the plane. */
struct Reach {
  i64 from, to;
};
INLINE Reach under(i64 i, i64 stride, i64 pad, i64 kernel, i64 size) {
  const i64 start = i * stride - pad;
  return {most(0, start), least(size, start + kernel)};
}

static void maxPoolHalves(const Pooling& q, float* y, int32_t* index, const float* x) {
  for (i64 i = 0; i < q.oh; ++i)
    span(0, q.ow, [&](auto how, i64 j) {
      const i64 at = 2 * i * q.w + 2 * j;
      vf v[4];
      splitPairs(how, x + at, v[0], v[1]);
      splitPairs(how, x + at + q.w, v[2], v[3]);
      vf best = v[0];
      vi where = lanes() * 2 + static_cast<int32_t>(at);
      const vi first = where;
      const i64 step[4] = {0, 1, q.w, q.w + 1};
      for (int k = 1; k < 4; ++k) {
        // NaN counts as largest, and the first of equals stays.
        const vi take = ~(v[k] <= best) & (best == best);
        best = take ? v[k] : best;
        where = take ? first + static_cast<int32_t>(step[k]) : where;
      }
      how.store(y + i * q.ow + j, best);
      how.store(index + i * q.ow + j, where);
    });
}

static void maxPoolPlane(const Pooling& q, float* y, int32_t* index, const float* x) {
  for (i64 i = 0; i < q.oh; ++i)
    for (i64 j = 0; j < q.ow; ++j) {
      const Reach rows = under(i, q.sh, q.ph, q.kh, q.h), cols = under(j, q.sw, q.pw, q.kw, q.w);
      i64 at = -1;
      float best = __builtin_nanf("");
      for (i64 r = rows.from; r < rows.to; ++r)
        for (i64 c = cols.from; c < cols.to; ++c) {
          const float v = x[r * q.w + c];
          if (at >= 0 && (best != best || v <= best)) continue;
          best = v;
          at = r * q.w + c;
        }
      y[i * q.ow + j] = best;
      index[i * q.ow + j] = static_cast<int32_t>(at);
    }
}

/** 1 / divisor of a window: its full size, or the elements inside the plane. */
INLINE float share(const Pooling& q, bool countPad, const Reach& rows, const Reach& cols) {
  const i64 inside = (rows.to - rows.from) * (cols.to - cols.from);
  return 1.0f / static_cast<float>(countPad ? q.kh * q.kw : inside);
}

static void avgPoolPlane(const Pooling& q, bool countPad, float* y, const float* x) {
  for (i64 i = 0; i < q.oh; ++i) {
    const Reach rows = under(i, q.sh, q.ph, q.kh, q.h);
    if (q.halves()) {
      span(0, q.ow, [&](auto how, i64 j) {
        vf a, b, c, d;
        splitPairs(how, x + 2 * i * q.w + 2 * j, a, b);
        splitPairs(how, x + (2 * i + 1) * q.w + 2 * j, c, d);
        how.store(y + i * q.ow + j, ((a + b) + (c + d)) * 0.25f);
      });
      continue;
    }
    for (i64 j = 0; j < q.ow; ++j) {
      const Reach cols = under(j, q.sw, q.pw, q.kw, q.w);
      float sum = 0;
      for (i64 r = rows.from; r < rows.to; ++r)
        for (i64 c = cols.from; c < cols.to; ++c) sum += x[r * q.w + c];
      y[i * q.ow + j] = sum * share(q, countPad, rows, cols);
    }
  }
}

/** Every element of g, a quarter of it, to its four places. */
static void avgPoolGradHalves(const Pooling& q, float* gx, const float* g) {
  const vi lane = lanes();
  for (i64 i = 0; i < q.oh; ++i)
    span(0, q.ow, [&](auto how, i64 j) {
      const vf v = how.load(g + i * q.ow + j) * 0.25f;
      const vf first = __builtin_shuffle(v, lane >> 1), second = __builtin_shuffle(v, (lane >> 1) + W / 2);
      for (i64 r = 0; r < 2; ++r) {
        float* to = gx + (2 * i + r) * q.w + 2 * j;
        Part{static_cast<int>(least(W, 2 * how.count))}.store(to, first);
        if (2 * how.count > W) Part{2 * how.count - W}.store(to + W, second);
      }
    });
}

static void avgPoolGradPlane(const Pooling& q, bool countPad, float* gx, const float* g) {
  if (q.halves() && q.h % 2 == 0 && q.w % 2 == 0) {
    avgPoolGradHalves(q, gx, g);
    return;
  }
  span(0, q.h * q.w, [=](auto how, i64 k) { how.store(gx + k, vf{}); });
  for (i64 i = 0; i < q.oh; ++i)
    for (i64 j = 0; j < q.ow; ++j) {
      const Reach rows = under(i, q.sh, q.ph, q.kh, q.h), cols = under(j, q.sw, q.pw, q.kw, q.w);
      const float each = g[i * q.ow + j] * share(q, countPad, rows, cols);
      for (i64 r = rows.from; r < rows.to; ++r)
        for (i64 c = cols.from; c < cols.to; ++c) gx[r * q.w + c] += each;
    }
}

namespace rows {

static void maxPool2d(Context& cx, float* y, int32_t* index, const float* x, i64 planes, i64 h, i64 w, i64 kh,
                      i64 kw, i64 sh, i64 sw, i64 ph, i64 pw) {
  const Pooling q = poolingOf(planes, h, w, kh, kw, sh, sw, ph, pw);
  const i64 out = q.oh * q.ow, in = h * w;
  eachRow(cx, planes, q.halves() ? in : 4 * out * kh * kw, [=](i64 p) {
    (q.halves() ? maxPoolHalves : maxPoolPlane)(q, y + p * out, index + p * out, x + p * in);
  });
}

static void avgPool2d(Context& cx, float* y, const float* x, i64 planes, i64 h, i64 w, i64 kh, i64 kw, i64 sh,
                      i64 sw, i64 ph, i64 pw, i64 countPad) {
  const Pooling q = poolingOf(planes, h, w, kh, kw, sh, sw, ph, pw);
  const i64 out = q.oh * q.ow, in = h * w;
  eachRow(cx, planes, q.halves() ? in : 4 * out * kh * kw,
          [=](i64 p) { avgPoolPlane(q, countPad != 0, y + p * out, x + p * in); });
}

static void avgPool2dGrad(Context& cx, float* gx, const float* g, i64 planes, i64 h, i64 w, i64 kh, i64 kw,
                          i64 sh, i64 sw, i64 ph, i64 pw, i64 countPad) {
  const Pooling q = poolingOf(planes, h, w, kh, kw, sh, sw, ph, pw);
  const i64 out = q.oh * q.ow, in = h * w;
  eachRow(cx, planes, in + 4 * out * kh * kw,
          [=](i64 p) { avgPoolGradPlane(q, countPad != 0, gx + p * in, g + p * out); });
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
