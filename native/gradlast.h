// Gradient of convolution by its weight for many input channels: x is copied with its channels last, so that
// a vector of channels meets a broadcast element of g, as in a matrix product. Images are grouped by shape
// alone and groups are added in order, so threads do not change the result.
#pragma once
#include "graddots.h"
#include "pack.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** A padded copy of a band with channels last, `channels` (a multiple of W) a pixel. Of the source, every
 * `down`-th row and every `across`-th column are copied: a 1 × 1 convolution reads no others. */
struct Last {
  i64 channels, rows, cols, left, down, across;

  i64 size() const {
    const i64 reals = rows * cols * channels;
    if (rows > INT32_MAX || cols > INT32_MAX || channels > INT32_MAX || reals > INT32_MAX) outOfMemory();
    return reals;
  }

  /** Copies `count` planes of h × w from row `first` on, which may lie outside: such rows become 0. What lies
   * left and right must be 0 already and stays so. */
  void fill(float* out, const float* x, i64 count, i64 h, i64 w, i64 first, i64 wanted) const {
    for (i64 t = 0; t < wanted; ++t, out += cols * channels) {
      const i64 y = first + t * down;
      if (y < 0 || y >= h)
        std::memset(out, 0, cols * channels * sizeof(float));
      else
        fillRow(out + left * channels, x + y * w, count, h * w, ceilDiv(w, across));
    }
  }

 private:
  void fillRow(float* out, const float* x, i64 count, i64 plane, i64 pixels) const {
    for (i64 c = 0; c < count; c += W)
      for (i64 j = 0; j < pixels; j += W) {
        const int some = static_cast<int>(least(W, pixels - j));
        const float* from = x + c * plane + j * across;
        float* to = out + j * channels + c;
        vf v[W];
        for (i64 k = 0; k < W; ++k) v[k] = c + k < count ? pick(from + k * plane, some) : vf{};
        transpose(v);
        for (i64 k = 0; k < some; ++k) storeAs(to + k * channels, v[k]);
      }
  }
  /** `some` pixels of a row. */
  vf pick(const float* from, int some) const {
    if (across == 1) return some == W ? loadAs<vf>(from) : loadPart(from, some);
    // The last pixel may be the row's last, with nothing behind it.
    vf v = {};
    for (int k = 0; k < some; ++k) v[k] = from[k * across];
    return v;
  }
};

/** What a tile walks over: copies of x, `xStep` apart, and their planes of g, `gStep` apart. */
struct LastWalk {
  const float *x, *g;
  i64 images, xStep, gStep, plane;
  i64 rows, cols;
  /** From output row to output row, and from column to column, in the copy. */
  i64 rowStep, colStep;
  bool first;
};

/** R channels of g by V vectors of (tap, channels), over all positions; added to out unless they come first.
 */
template <int R, int V>
static void lastTile(const LastWalk& q, i64 channel, const i64* offsets, float* out, i64 step) {
  vf acc[R][V] = {};
  for (i64 i = 0; i < q.images; ++i)
    for (i64 y = 0; y < q.rows; ++y) {
      ByRow g(q.g + i * q.gStep + channel * q.plane + y * q.cols, q.plane);
      const float* x = q.x + i * q.xStep + y * q.rowStep;
      const float* b[V];
      for (int v = 0; v < V; ++v) b[v] = x + offsets[v];
      for (i64 j = 0; j < q.cols; ++j) {
        vf row[V];
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) row[v] = loadAs<vf>(b[v] + j * q.colStep);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          const vf factor = g.at(r);
#pragma GCC unroll 4
          for (int v = 0; v < V; ++v) acc[r][v] = fma(factor, row[v], acc[r][v]);
        }
        g.template next<R>();
      }
    }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      float* to = out + r * step + v * W;
      storeAs(to, q.first ? acc[r][v] : loadAs<vf>(to) + acc[r][v]);
    }
}

using LastKernel = void (*)(const LastWalk&, i64, const i64*, float*, i64);

template <int V>
INLINE LastKernel lastTileOf(i64 channels) {
  static const LastKernel table[] = {
      &lastTile<1, V>, &lastTile<2, V>, &lastTile<3, V>, &lastTile<4, V>,
#if defined(__AVX512F__) || defined(__ARM_NEON)
      &lastTile<5, V>, &lastTile<6, V>, &lastTile<7, V>, &lastTile<8, V>,
#endif
  };
  return table[channels - 1];
}

INLINE LastKernel lastTileOf(i64 channels, i64 vectors) {
#if defined(__AVX2__) || defined(__ARM_NEON)
  if (vectors == 3) return lastTileOf<3>(channels);
#endif
  return vectors == 2 ? lastTileOf<2>(channels) : lastTileOf<1>(channels);
}

/** Adds the walk's sums to out[channel, tap and input channel], for output channels [k0, k1). */
static void lastWalk(const LastWalk& q, i64 k0, i64 k1, const i64* offsets, i64 vectors, float* out) {
  const i64 rows = ceilDiv(k1 - k0, CHANNELS), cols = ceilDiv(vectors, POSITIONS), step = vectors * W;
  for (i64 j = 0; j < cols; ++j) {
    const i64 v0 = tileStart(vectors, cols, j), v1 = tileStart(vectors, cols, j + 1);
    for (i64 i = 0; i < rows; ++i) {
      const i64 first = k0 + tileStart(k1 - k0, rows, i), last = k0 + tileStart(k1 - k0, rows, i + 1);
      lastTileOf(last - first, v1 - v0)(q, first, offsets + v0, out + first * step + v0 * W, step);
    }
  }
}

/** Reals of x and g that a walk covers at most: they should stay in L2 while all tiles pass over them. */
constexpr i64 WALK_REALS = 131072;
/** Positions of a walk at least: each reads and writes all sums. */
constexpr i64 LEAST_POSITIONS = 256;

/** How the positions of all images are cut into walks, by shape alone: some images each, or bands of one. */
struct Walks {
  i64 together, rows, bands, count;

  /** `reals` are read for a row of an image. */
  Walks(const Conv& q, i64 reals) {
    rows = most(ceilDiv(LEAST_POSITIONS, most(1, q.ow)), WALK_REALS / (reals + 1));
    rows = most(1, least(q.oh, rows));
    bands = most(1, ceilDiv(q.oh, rows));
    rows = ceilDiv(q.oh, bands);
    together = bands > 1 ? 1 : most(1, least(q.n, WALK_REALS / (reals * q.oh + 1)));
    count = ceilDiv(q.n, together) * bands;
  }
};

/** Some sums of each slot, `size` apart, added in order. */
template <class How>
INLINE vf slotSum(How how, const float* from, i64 kept, i64 size) {
  vf v = how.load(from);
  for (i64 slot = 1; slot < kept; ++slot) v += how.load(from + slot * size);
  return v;
}

/** gw[channel, tap] of one output channel from `kept` slots of sums [tap, channels]. */
static void channelsFirst(float* gw, const float* sums, i64 kept, i64 size, i64 cg, i64 taps, i64 channels) {
  if (taps == 1) {
    span(0, cg, [=](auto how, i64 c) { how.store(gw + c, slotSum(how, sums + c, kept, size)); });
    return;
  }
  for (i64 c = 0; c < cg; c += W)
    for (i64 t = 0; t < taps; t += W) {
      const i64 some = least(W, taps - t);
      vf v[W];
      for (i64 i = 0; i < W; ++i)
        v[i] = i < some ? slotSum(Whole{}, sums + (t + i) * channels + c, kept, size) : vf{};
      transpose(v);
      for (i64 i = 0; i < least(W, cg - c); ++i)
        storePart(gw + (c + i) * taps + t, v[i], static_cast<int>(some));
    }
}

static void weightGradLast(Context& cx, float* gw, const float* x, const float* g, const Conv& q) {
  const bool point = q.r * q.s == 1 && q.pw == 0;
  const i64 down = point ? q.sh : 1, across = point ? q.sw : 1, sh = q.sh / down, sw = q.sw / across;
  Last copy{roundUp(q.cg, W), 0, point ? ceilDiv(q.w, across) : q.w + 2 * q.pw, q.pw, down, across};
  const i64 taps = q.r * q.s, parts_ = copy.channels / W, vectors = taps * parts_, size = q.k * vectors * W;
  const i64 plane = q.oh * q.ow;
  const Walks walks(q, copy.channels * sh * copy.cols + q.kg * q.ow);
  copy.rows = most(0, walks.rows - 1) * sh + (q.r - 1) * q.dh + 1;
  const i64 kept = most(1, least(walks.count, least(MOST_GROUPS, MOST_PARTIAL / size)));
  const int threads = q.n * plane * size < 2 * CONV_GRAIN ? 1 : cx.threads;
  const i64 parts =
      threads == 1 ? 1 : most(1, least(ceilDiv(q.kg, CHANNELS), ceilDiv(2 * threads, kept * q.groups)));

  const i64 each = roundUp(walks.together * copy.size(), 16);
  Divider scratch{
      static_cast<char*>(reserve(cx, Divider::bytes(vectors, sizeof(i64)) + Divider::bytes(kept * size, 4) +
                                         Divider::bytes(threads * each, 4)))};
  i64* offsets = scratch.take<i64>(vectors);
  float* partial = scratch.take<float>(kept * size);
  float* images = scratch.take<float>(threads * each);
  for (i64 v = 0; v < vectors; ++v) {
    const i64 tap = v / parts_;
    offsets[v] = (tap / q.s * q.dh * copy.cols + tap % q.s * q.dw) * copy.channels + v % parts_ * W;
  }
  std::memset(images, 0, threads * each * sizeof(float));

  parallel(threads, kept * q.groups * parts, [&](i64 task, int worker) {
    const i64 part = task % parts, group = task / parts % q.groups, slot = task / parts / q.groups;
    float* copies = images + worker * each;
    for (i64 walk = walks.count * slot / kept; walk < walks.count * (slot + 1) / kept; ++walk) {
      const i64 first = walk / walks.bands * walks.together, count = least(walks.together, q.n - first);
      const i64 top = walk % walks.bands * walks.rows, rows = least(walks.rows, q.oh - top);
      for (i64 i = 0; i < count; ++i)
        copy.fill(copies + i * copy.size(), x + ((first + i) * q.c + group * q.cg) * q.h * q.w, q.cg, q.h,
                  q.w, top * q.sh - q.ph, (rows - 1) * sh + (q.r - 1) * q.dh + 1);
      const LastWalk over{copies,
                          g + (first * q.k + group * q.kg) * plane + top * q.ow,
                          count,
                          copy.size(),
                          q.k * plane,
                          plane,
                          rows,
                          q.ow,
                          sh * copy.cols * copy.channels,
                          sw * copy.channels,
                          walk == walks.count * slot / kept};
      lastWalk(over, tileStart(q.kg, parts, part), tileStart(q.kg, parts, part + 1), offsets, vectors,
               partial + slot * size + group * q.kg * vectors * W);
    }
  });
  eachRow(cx, q.k, kept * vectors * W, [=](i64 o) {
    channelsFirst(gw + o * q.cg * taps, partial + o * vectors * W, kept, size, q.cg, taps, copy.channels);
  });
}

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
