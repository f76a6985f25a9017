// Gradient of convolution by its weight for many input channels: x is copied with its channels last, so that
// a vector of channels meets a broadcast element of g, as in a matrix product. Few channels go to graddots.h.
// Images are grouped by shape alone and groups are added in order, so threads do not change the result.
#pragma once
#include "graddots.h"
#include "pack.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** A padded copy with channels last, `channels` (a multiple of W) a pixel. */
struct Last {
  i64 channels, rows, cols, top, left;

  i64 size() const {
    const i64 reals = rows * cols * channels;
    if (rows > INT32_MAX || cols > INT32_MAX || channels > INT32_MAX || reals > INT32_MAX) outOfMemory();
    return reals;
  }

  /** Copies `count` planes of h × w; what lies round them must be 0 already and stays so. */
  void fill(float* out, const float* x, i64 count, i64 h, i64 w) const {
    for (i64 y = 0; y < h; ++y)
      for (i64 c = 0; c < count; c += W)
        for (i64 j = 0; j < w; j += W) {
          const i64 planes = least(W, count - c), pixels = least(W, w - j);
          const float* from = x + (c * h + y) * w + j;
          float* to = out + ((y + top) * cols + j + left) * channels + c;
          vf v[W];
          for (i64 k = 0; k < W; ++k)
            v[k] = k >= planes   ? vf{}
                   : pixels == W ? loadAs<vf>(from + k * h * w)
                                 : loadPart(from + k * h * w, static_cast<int>(pixels));
          transpose(v);
          for (i64 k = 0; k < pixels; ++k) storeAs(to + k * channels, v[k]);
        }
  }
};

/** What a tile walks over: copies of x, `xStep` apart, and their planes of g, `gStep` apart. */
struct LastWalk {
  const float *x, *g;
  i64 images, xStep, gStep, plane;
  i64 rows, cols;
  /** From output row to output row, and from column to column, in the copy. */
  i64 rowStep, colStep;
};

/** R channels of g by V vectors of (tap, channels), over all positions; added to out. */
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
    for (int v = 0; v < V; ++v)
      storeAs(out + r * step + v * W, loadAs<vf>(out + r * step + v * W) + acc[r][v]);
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

/** Reals of x and g that a walk covers: they should stay in L2 while all tiles pass over them. */
constexpr i64 WALK_REALS = 131072;

/** Sums of [k, tap, channels] into gw[k, channel, tap]. */
static void channelsFirst(float* gw, const float* sums, i64 k, i64 cg, i64 taps, i64 channels) {
  for (i64 o = 0; o < k; ++o)
    for (i64 c = 0; c < cg; ++c)
      for (i64 t = 0; t < taps; ++t) *gw++ = sums[(o * taps + t) * channels + c];
}

static void weightGradLast(Context& cx, float* gw, const float* x, const float* g, const Conv& q) {
  const Last copy{roundUp(q.cg, W), q.h + 2 * q.ph, q.w + 2 * q.pw, q.ph, q.pw};
  const i64 taps = q.r * q.s, parts_ = copy.channels / W, vectors = taps * parts_, size = q.k * vectors * W;
  const i64 plane = q.oh * q.ow;
  // By shape alone: images a walk, and walks whose sums are kept apart.
  const i64 together = most(1, least(q.n, WALK_REALS / (copy.size() + q.kg * plane + 1))),
            walks = ceilDiv(q.n, together);
  const i64 kept = most(1, least(walks, least(MOST_GROUPS, MOST_PARTIAL / size)));
  const int threads = q.n * plane * size < 2 * CONV_GRAIN ? 1 : cx.threads;
  const i64 parts =
      threads == 1 ? 1 : most(1, least(ceilDiv(q.kg, CHANNELS), ceilDiv(2 * threads, kept * q.groups)));

  const i64 each = roundUp(together * copy.size(), 16);
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
  std::memset(partial, 0, kept * size * sizeof(float));
  std::memset(images, 0, threads * each * sizeof(float));

  parallel(threads, kept * q.groups * parts, [&](i64 task, int worker) {
    const i64 part = task % parts, group = task / parts % q.groups, slot = task / parts / q.groups;
    float* copies = images + worker * each;
    for (i64 walk = walks * slot / kept; walk < walks * (slot + 1) / kept; ++walk) {
      const i64 first = walk * together, count = least(together, q.n - first);
      for (i64 i = 0; i < count; ++i)
        copy.fill(copies + i * copy.size(), x + ((first + i) * q.c + group * q.cg) * q.h * q.w, q.cg, q.h,
                  q.w);
      const LastWalk over{copies,
                          g + (first * q.k + group * q.kg) * plane,
                          count,
                          copy.size(),
                          q.k * plane,
                          plane,
                          q.oh,
                          q.ow,
                          q.sh * copy.cols * copy.channels,
                          q.sw * copy.channels};
      lastWalk(over, tileStart(q.kg, parts, part), tileStart(q.kg, parts, part + 1), offsets, vectors,
               partial + slot * size + group * q.kg * vectors * W);
    }
  });
  for (i64 slot = 1; slot < kept; ++slot) {
    const float* from = partial + slot * size;
    span(0, size,
         [=](auto how, i64 at) { how.store(partial + at, how.load(partial + at) + how.load(from + at)); });
  }
  channelsFirst(gw, partial, q.k, q.cg, taps, copy.channels);
}

namespace rows {

static void conv2dGradWeight(Context& cx, float* gw, const float* x, const float* g, i64 n, i64 c, i64 h,
                             i64 width, i64 k, i64 r, i64 s, i64 sh, i64 sw, i64 ph, i64 pw, i64 dh, i64 dw,
                             i64 groups) {
  const Conv q(n, c, h, width, k, r, s, sh, sw, ph, pw, dh, dw, groups);
  if (k * q.cg * r * s == 0) return;
  // Half-filled vectors of channels are as fast as dot products.
  (2 * q.cg > W ? weightGradLast : weightGradDots)(cx, gw, x, g, q);
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
