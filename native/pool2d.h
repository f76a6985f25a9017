// Pooling over planes, a vector of windows at a time for column steps of 1 and 2; wider steps go one by one.
// Windows of 2 × 2 by steps of 2 have loops of their own.
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
  /** One window, the plane itself. */
  bool wholePlane() const { return kh == h && kw == w && ph + pw == 0; }
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

/** Columns of the windows j, j + 1, … that lie inside the plane: the first and the number, lane by lane. */
struct InsideColumns {
  vi first, end;
  INLINE_MEMBER InsideColumns(const Pooling& q, i64 j)
      : first(lanes() * static_cast<int32_t>(q.sw) + static_cast<int32_t>(j * q.sw - q.pw)) {
    end = first + static_cast<int32_t>(q.kw);
    first = first < 0 ? vi{} : first;
    const vi w = splat(static_cast<int32_t>(q.w));
    end = end > w ? w : end;
  }
  INLINE_MEMBER vf count() const { return toReal(end - first); }
};

template <int Step>
static void maxPoolWindows(const Pooling& q, float* y, int32_t* index, const float* x) {
  for (i64 i = 0; i < q.oh; ++i) {
    const Reach rows = under(i, q.sh, q.ph, q.kh, q.h);
    for (i64 j = 0; j < q.ow; j += W) {
      const Part how{static_cast<int>(least(W, q.ow - j))};
      vf best = splat(__builtin_nanf(""));
      vi where = splat(-1);
      for (i64 v = 0; v < q.kw; ++v) {
        const i64 first = j * Step - q.pw + v;
        const Columns<Step> columns(first, q.w);
        const vi at = lanes() * Step + static_cast<int32_t>(first);
        const vi inside = (at >= 0) & (at < static_cast<int32_t>(q.w));
        for (i64 r = rows.from; r < rows.to; ++r) {
          const vf now = columns.load(x + r * q.w);
          const vi place = at + static_cast<int32_t>(r * q.w);
          // NaN counts as largest, and the first of equals stays: columns come before rows here.
          const vi above = ~(now <= best) & (best == best);
          const vi earlier = ((now == best) | ((now != now) & (best != best))) & (place < where);
          const vi take = inside & ((where < 0) | above | earlier);
          best = take ? now : best;
          where = take ? place : where;
        }
      }
      how.store(y + i * q.ow + j, best);
      how.store(index + i * q.ow + j, where);
    }
  }
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

/** Every element of g to the one of its four places that the index names, 0 to the others. */
static void maxPoolGradHalves(const Pooling& q, float* gx, const float* g, const int32_t* index) {
  for (i64 i = 0; i < q.oh; ++i)
    span(0, q.ow, [&](auto how, i64 j) {
      const i64 at = 2 * i * q.w + 2 * j, from = i * q.ow + j;
      const vi place = wrapping(how.load(index + from), -(lanes() * 2 + static_cast<int32_t>(at)));
      // As a sum that begins with 0, which makes a 0 of -0.
      const vf v = how.load(g + from) + 0.0f;
      const int32_t below = static_cast<int32_t>(q.w);
      storePairs(how, gx + at, place == 0 ? v : vf{}, place == 1 ? v : vf{});
      storePairs(how, gx + at + q.w, place == below ? v : vf{}, place == below + 1 ? v : vf{});
    });
  // What no window reaches.
  if (q.w % 2)
    for (i64 y = 0; y < 2 * q.oh; ++y) gx[y * q.w + q.w - 1] = 0;
  span(2 * q.oh * q.w, q.h * q.w, [=](auto how, i64 k) { how.store(gx + k, vf{}); });
}

static void maxPoolGradPlane(const Pooling& q, float* gx, const float* g, const int32_t* index) {
  span(0, q.h * q.w, [=](auto how, i64 k) { how.store(gx + k, vf{}); });
  for (i64 i = 0; i < q.oh; ++i) {
    const Reach rows = under(i, q.sh, q.ph, q.kh, q.h);
    for (i64 j = 0; j < q.ow; ++j) {
      const Reach cols = under(j, q.sw, q.pw, q.kw, q.w);
      const i64 at = index[i * q.ow + j];
      for (i64 r = rows.from; r < rows.to; ++r)
        if (at >= r * q.w + cols.from && at < r * q.w + cols.to) gx[at] += g[i * q.ow + j];
    }
  }
}

/** 1 / divisor of a window: its full size, or the elements inside the plane. */
INLINE float share(const Pooling& q, bool countPad, const Reach& rows, const Reach& cols) {
  const i64 inside = (rows.to - rows.from) * (cols.to - cols.from);
  return 1.0f / static_cast<float>(countPad ? q.kh * q.kw : inside);
}

/** 1 / divisor of the windows j, j + 1, … of a row. */
INLINE vf shares(const Pooling& q, bool countPad, const Reach& rows, i64 j) {
  if (countPad) return splat(1.0f / static_cast<float>(q.kh * q.kw));
  return 1.0f / (InsideColumns(q, j).count() * static_cast<float>(rows.to - rows.from));
}

template <int Step>
static void avgPoolWindows(const Pooling& q, bool countPad, float* y, const float* x) {
  for (i64 i = 0; i < q.oh; ++i) {
    const Reach rows = under(i, q.sh, q.ph, q.kh, q.h);
    for (i64 j = 0; j < q.ow; j += W) {
      vf sum = {};
      for (i64 v = 0; v < q.kw; ++v) {
        const Columns<Step> columns(j * Step - q.pw + v, q.w);
        for (i64 r = rows.from; r < rows.to; ++r) sum += columns.load(x + r * q.w);
      }
      Part{static_cast<int>(least(W, q.ow - j))}.store(y + i * q.ow + j, sum * shares(q, countPad, rows, j));
    }
  }
}

static void avgPoolPlane(const Pooling& q, bool countPad, float* y, const float* x) {
  if (q.wholePlane()) {
    vf sum = {};
    span(0, q.h * q.w, [&](auto how, i64 k) { sum += how.load(x + k); });
    *y = total(sum) / static_cast<float>(q.h * q.w);
    return;
  }
  if (!q.halves() && q.sw <= 2) return (q.sw == 1 ? avgPoolWindows<1> : avgPoolWindows<2>)(q, countPad, y, x);
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
  for (i64 i = 0; i < q.oh; ++i)
    span(0, q.ow, [&](auto how, i64 j) {
      const vf v = how.load(g + i * q.ow + j) * 0.25f;
      const vf first = pairsLow(v, v), second = pairsHigh(v, v);
      for (i64 r = 0; r < 2; ++r) {
        float* to = gx + (2 * i + r) * q.w + 2 * j;
        Part{static_cast<int>(least(W, 2 * how.count))}.store(to, first);
        if (2 * how.count > W) Part{2 * how.count - W}.store(to + W, second);
      }
    });
}

/** Row y of the gradient from the windows that cover it: each element sums its windows, even and odd columns
 * apart when windows go by 2. */
template <int Step>
static void avgPoolGradRow(const Pooling& q, bool countPad, float* gx, const float* g, i64 y) {
  const i64 first = most(0, ceilDiv(most(0, y + q.ph - q.kh + 1), q.sh)),
            end = least(q.oh, (y + q.ph) / q.sh + 1);
  for (i64 x = 0; x < q.w; x += Step * W) {
    vf even = {}, odd = {};
    for (i64 v = 0; v < q.kw; ++v) {
      const Shifted tap = Shifted::of(x + q.pw - v, Step, q.ow);
      for (i64 i = first; i < end; ++i) {
        const vf share = shares(q, countPad, under(i, q.sh, q.ph, q.kh, q.h), tap.at);
        // Lanes without a window are 0, whatever their share.
        const vf from = tap.range.load(g + i * q.ow + tap.at);
        (tap.odd ? odd : even) += from == 0.0f ? from : from * share;
      }
    }
    const i64 left = q.w - x;
    if (Step == 1) {
      storePart(gx + x, even, static_cast<int>(least(W, left)));
      continue;
    }
    storePairs(Part{static_cast<int>(least(W, left / 2))}, gx + x, even, odd);
    if (left < 2 * W && left % 2) gx[x + left - 1] = even[left / 2];
  }
}

static void avgPoolGradPlane(const Pooling& q, bool countPad, float* gx, const float* g) {
  if (q.wholePlane()) {
    const vf each = splat(*g / static_cast<float>(q.h * q.w));
    span(0, q.h * q.w, [=](auto how, i64 k) { how.store(gx + k, each); });
    return;
  }
  if (q.halves() && q.h % 2 == 0 && q.w % 2 == 0) {
    avgPoolGradHalves(q, gx, g);
    return;
  }
  if (q.sw <= 2) {
    for (i64 y = 0; y < q.h; ++y)
      (q.sw == 1 ? avgPoolGradRow<1> : avgPoolGradRow<2>)(q, countPad, gx + y * q.w, g, y);
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
  const auto plane = q.halves() ? maxPoolHalves
                     : sw == 1  ? maxPoolWindows<1>
                     : sw == 2  ? maxPoolWindows<2>
                                : maxPoolPlane;
  eachRow(cx, planes, q.halves() ? in : out * kh * kw,
          [=](i64 p) { plane(q, y + p * out, index + p * out, x + p * in); });
}

static void maxPool2dGrad(Context& cx, float* gx, const float* g, const int32_t* index, i64 planes, i64 h,
                          i64 w, i64 kh, i64 kw, i64 sh, i64 sw, i64 ph, i64 pw) {
  const Pooling q = poolingOf(planes, h, w, kh, kw, sh, sw, ph, pw);
  const i64 out = q.oh * q.ow, in = h * w;
  const auto plane = q.halves() ? maxPoolGradHalves : maxPoolGradPlane;
  eachRow(cx, planes, q.halves() ? in : in + out * (kh + 4),
          [=](i64 p) { plane(q, gx + p * in, g + p * out, index + p * out); });
}

static void avgPool2d(Context& cx, float* y, const float* x, i64 planes, i64 h, i64 w, i64 kh, i64 kw, i64 sh,
                      i64 sw, i64 ph, i64 pw, i64 countPad) {
  const Pooling q = poolingOf(planes, h, w, kh, kw, sh, sw, ph, pw);
  const i64 out = q.oh * q.ow, in = h * w;
  eachRow(cx, planes, q.halves() ? in : out * kh * kw,
          [=](i64 p) { avgPoolPlane(q, countPad != 0, y + p * out, x + p * in); });
}

static void avgPool2dGrad(Context& cx, float* gx, const float* g, i64 planes, i64 h, i64 w, i64 kh, i64 kw,
                          i64 sh, i64 sw, i64 ph, i64 pw, i64 countPad) {
  const Pooling q = poolingOf(planes, h, w, kh, kw, sh, sw, ph, pw);
  const i64 out = q.oh * q.ow, in = h * w;
  eachRow(cx, planes, in + out * kh * kw,
          [=](i64 p) { avgPoolGradPlane(q, countPad != 0, gx + p * in, g + p * out); });
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
