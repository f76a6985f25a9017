// Convolution and its gradient by the input, as implicit matrix products: weights are packed once, images are
// padded one by one, and register tiles of channels × positions are summed over the terms (channel, row,
// column) in that order.
#pragma once
#include "image.h"
#include "tile.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** Tile of channels by vectors of positions. Channels come in eights, so 8 wastes nothing. */
#if defined(__AVX512F__)
constexpr int CHANNELS = 8, POSITIONS = 3;
#elif defined(__ARM_NEON)
constexpr int CHANNELS = 8, POSITIONS = 3;
#elif defined(__AVX2__)
constexpr int CHANNELS = 4, POSITIONS = 3;
#else
constexpr int CHANNELS = 4, POSITIONS = 2;
#endif

/** One set of outputs that share their terms: all of a forward pass, or one phase of a strided gradient. */
struct Phase {
  i64 terms, spots, step;
  const int32_t* offsets;
  const Spot* list;
  /** Packed weights: for each tile of channels its terms × channels. */
  const float* weights;
};

struct ConvTarget {
  float* out;
  const float* bias;
  i64 plane, step;
};

template <int R, int V>
static void convTile(i64 terms, const float* a, const int32_t* offsets, const float* image, const Spot* spots,
                     const ConvTarget& t) {
  vf acc[R][V];
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) acc[i][v] = t.bias ? splat(t.bias[i]) : vf{};
  const float* b[V];
  for (int v = 0; v < V; ++v) b[v] = image + spots[v].in;
  for (i64 p = 0; p < terms; ++p) {
    const i64 offset = offsets[p];
    vf row[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) row[v] = loadAs<vf>(b[v] + offset);
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      const vf factor = factorAt(a + i);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[i][v] = fma(factor, row[v], acc[i][v]);
    }
    a += R;
  }
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v)
    storeSpot<R>(t.out, [&](int i) { return acc[i][v]; }, spots[v], t.plane, t.step);
}

using ConvKernel = void (*)(i64, const float*, const int32_t*, const float*, const Spot*, const ConvTarget&);

template <int V>
INLINE ConvKernel convTileOf(i64 channels) {
  static const ConvKernel table[] = {
      &convTile<1, V>, &convTile<2, V>, &convTile<3, V>, &convTile<4, V>,
#if defined(__AVX512F__) || defined(__ARM_NEON)
      &convTile<5, V>, &convTile<6, V>, &convTile<7, V>, &convTile<8, V>,
#endif
  };
  return table[channels - 1];
}

INLINE ConvKernel convTileOf(i64 channels, i64 positions) {
#if defined(__AVX2__) || defined(__ARM_NEON)
  if (positions >= 3) return convTileOf<3>(channels);
#endif
  return positions >= 2 ? convTileOf<2>(channels) : convTileOf<1>(channels);
}

/** The outputs of one image: channels [tile0, tile1) in tiles, at every spot of the phase. */
static void convolve(const Phase& q, const float* image, float* out, const float* bias, i64 plane,
                     i64 channels, i64 tile0, i64 tile1) {
  const i64 tiles = ceilDiv(channels, CHANNELS), groups = ceilDiv(q.spots, POSITIONS);
  for (i64 g = 0; g < groups; ++g) {
    const i64 first = q.spots * g / groups, count = q.spots * (g + 1) / groups - first;
    for (i64 t = tile0; t < tile1; ++t) {
      const i64 c0 = tileStart(channels, tiles, t), c1 = tileStart(channels, tiles, t + 1);
      const ConvTarget target{out + c0 * plane, bias ? bias + c0 : nullptr, plane, q.step};
      convTileOf(c1 - c0, count)(q.terms, q.weights + c0 * q.terms, q.offsets, image, q.list + first, target);
    }
  }
}

/** Packs weights for `channels` outputs: value(channel, term), tile by tile. */
template <class F>
static void packWeights(float* out, i64 channels, i64 terms, const F& value) {
  const i64 tiles = ceilDiv(channels, CHANNELS);
  for (i64 t = 0; t < tiles; ++t) {
    const i64 c0 = tileStart(channels, tiles, t), c1 = tileStart(channels, tiles, t + 1);
    for (i64 p = 0; p < terms; ++p)
      for (i64 c = c0; c < c1; ++c) *out++ = value(c, p);
  }
}

/** Hands out parts of one block of scratch, each on a cache line. */
struct Divider {
  char* next;
  template <class T>
  T* take(i64 count) {
    T* p = reinterpret_cast<T*>(next);
    next += roundUp(count * static_cast<i64>(sizeof(T)), 64);
    return p;
  }
  static i64 bytes(i64 count, i64 size) { return roundUp(count * size, 64); }
};

/** Multiplications that are worth a second thread. */
constexpr i64 CONV_GRAIN = 1 << 17;

/** How images and channels are shared: one task is some channels of one image. */
INLINE i64 channelParts(i64 images, i64 tiles, int threads) {
  return images >= 2 * threads ? 1 : least(tiles, ceilDiv(2 * threads, images));
}

namespace rows {

static void conv2d(Context& cx, float* y, const float* x, const float* w, const float* bias, i64 n, i64 c,
                   i64 h, i64 width, i64 k, i64 r, i64 s, i64 sh, i64 sw, i64 ph, i64 pw, i64 dh, i64 dw,
                   i64 groups) {
  const Conv q(n, c, h, width, k, r, s, sh, sw, ph, pw, dh, dw, groups);
  if (n * k * q.oh * q.ow == 0) return;
  const Padded copy{q.cg, h + 2 * ph, sw, ceilDiv(width + 2 * pw, sw), ph, pw};
  const i64 terms = q.cg * r * s, plane = q.oh * q.ow, pitch = sh * copy.phases * copy.pitch;
  const Field field{q.oh, q.ow, pitch, 0, q.ow, 1, terms};
  const i64 spots = field.count(), tiles = ceilDiv(q.kg, CHANNELS);
  const int threads = n * k * plane * terms < 2 * CONV_GRAIN ? 1 : cx.threads;

  Divider scratch{static_cast<char*>(
      reserve(cx, Divider::bytes(terms, 4) + Divider::bytes(spots, sizeof(Spot)) +
                      Divider::bytes(k * terms, 4) + Divider::bytes(threads * copy.size(), 4)))};
  int32_t* offsets = scratch.take<int32_t>(terms);
  Spot* list = scratch.take<Spot>(spots);
  float* weights = scratch.take<float>(k * terms);
  float* images = scratch.take<float>(threads * copy.size());
  for (i64 p = 0; p < terms; ++p)
    offsets[p] = static_cast<int32_t>(copy.at(p / (r * s), p / s % r * dh, p % s * dw));
  field.list(list);
  for (i64 g = 0; g < groups; ++g)
    packWeights(weights + g * q.kg * terms, q.kg, terms,
                [&](i64 channel, i64 p) { return w[(g * q.kg + channel) * terms + p]; });
  std::memset(images, 0, threads * copy.size() * sizeof(float));

  const i64 parts = threads == 1 ? 1 : channelParts(n * groups, tiles, threads);
  parallel(threads, n * groups * parts, [&](i64 task, int worker) {
    const i64 part = task % parts, g = task / parts % groups, i = task / parts / groups;
    float* image = images + worker * copy.size();
    copy.fill(image, x + (i * c + g * q.cg) * h * width, h, width);
    const Phase phase{terms, spots, 1, offsets, list, weights + g * q.kg * terms};
    convolve(phase, image, y + (i * k + g * q.kg) * plane, bias ? bias + g * q.kg : nullptr, plane, q.kg,
             tiles * part / parts, tiles * (part + 1) / parts);
  });
}

}  // namespace rows

/** Of outputs y = phase + stride i along one axis, a tap reads row i + shift of g; false when it reads none.
 */
INLINE bool tapShift(i64 phase, i64 pad, i64 tap, i64 dilation, i64 stride, i64& shift) {
  const i64 at = phase + pad - tap * dilation;
  shift = at / stride;
  return at % stride == 0;
}

/** Rows before those of g, and rows in all, so that every tap of every phase lands inside. */
INLINE void gradPadding(i64 in, i64 size, i64 kernel, i64 stride, i64 pad, i64 dilation, i64& before,
                        i64& total) {
  before = 0;
  i64 end = size;
  for (i64 phase = 0; phase < stride && phase < in; ++phase)
    for (i64 tap = 0; tap < kernel; ++tap) {
      i64 shift;
      if (!tapShift(phase, pad, tap, dilation, stride, shift)) continue;
      before = most(before, -shift);
      end = most(end, ceilDiv(in - phase, stride) + shift);
    }
  total = before + end;
}

/** A tap that a phase has: its place in the kernel and the offset that it reads at. */
struct Tap {
  int32_t place, offset;
};

/** Lists the taps of phase (py, px); returns their number. */
static i64 listTaps(const Conv& q, const Padded& copy, i64 py, i64 px, Tap* taps) {
  i64 count = 0, dy, dx;
  for (i64 a = 0; a < q.r; ++a) {
    if (!tapShift(py, q.ph, a, q.dh, q.sh, dy)) continue;
    for (i64 b = 0; b < q.s; ++b)
      if (tapShift(px, q.pw, b, q.dw, q.sw, dx))
        taps[count++] = {static_cast<int32_t>(a * q.s + b),
                         static_cast<int32_t>(copy.at(0, dy + copy.top, dx + copy.left))};
  }
  return count;
}

namespace rows {

/** Every phase (y mod sh, x mod sw) of the input is a convolution of g by some of the taps, with stride 1. */
static void conv2dGradInput(Context& cx, float* gx, const float* g, const float* w, i64 n, i64 c, i64 h,
                            i64 width, i64 k, i64 r, i64 s, i64 sh, i64 sw, i64 ph, i64 pw, i64 dh, i64 dw,
                            i64 groups) {
  const Conv q(n, c, h, width, k, r, s, sh, sw, ph, pw, dh, dw, groups);
  if (n * c * h * width == 0) return;
  Padded copy{q.kg, 0, 1, 0, 0, 0};
  gradPadding(h, q.oh, r, sh, ph, dh, copy.top, copy.rows);
  gradPadding(width, q.ow, s, sw, pw, dw, copy.left, copy.pitch);
  const i64 allTerms = q.kg * r * s, plane = h * width, tiles = ceilDiv(q.cg, CHANNELS);
  const i64 phases = least(sh, h) * least(sw, width), spotRoom = plane / W + (h + sh) * sw + phases;
  const int threads = n * c * q.oh * q.ow * allTerms < 2 * CONV_GRAIN ? 1 : cx.threads;

  Divider scratch{static_cast<char*>(
      reserve(cx, Divider::bytes(phases, sizeof(Phase)) + Divider::bytes(r * s, sizeof(Tap)) +
                      Divider::bytes(allTerms, 4) + Divider::bytes(spotRoom, sizeof(Spot)) +
                      Divider::bytes(c * allTerms, 4) + Divider::bytes(threads * copy.size(), 4)))};
  Phase* list = scratch.take<Phase>(phases);
  Tap* taps = scratch.take<Tap>(r * s);
  int32_t* offsets = scratch.take<int32_t>(allTerms);
  Spot* spots = scratch.take<Spot>(spotRoom);
  float* weights = scratch.take<float>(c * allTerms);
  float* images = scratch.take<float>(threads * copy.size());
  std::memset(images, 0, threads * copy.size() * sizeof(float));

  for (i64 f = 0; f < phases; ++f) {
    const i64 py = f / least(sw, width), px = f % least(sw, width);
    const i64 count = listTaps(q, copy, py, px, taps), terms = q.kg * count;
    const Field field{
        ceilDiv(h - py, sh), ceilDiv(width - px, sw), copy.pitch, py * width + px, sh * width, sw, terms};
    field.list(spots);
    list[f] = Phase{terms, field.count(), sw, offsets, spots, weights};
    for (i64 p = 0; p < terms; ++p)
      offsets[p] = static_cast<int32_t>(p / count * copy.plane()) + taps[p % count].offset;
    for (i64 group = 0; group < groups; ++group)
      packWeights(weights + group * q.cg * terms, q.cg, terms, [&](i64 channel, i64 p) {
        return w[((group * q.kg + p / count) * q.cg + channel) * r * s + taps[p % count].place];
      });
    offsets += terms;
    spots += field.count();
    weights += c * terms;
  }

  const i64 parts = threads == 1 ? 1 : channelParts(n * groups, tiles, threads);
  parallel(threads, n * groups * parts, [&](i64 task, int worker) {
    const i64 part = task % parts, group = task / parts % groups, i = task / parts / groups;
    float* image = images + worker * copy.size();
    copy.fill(image, g + (i * k + group * q.kg) * q.oh * q.ow, q.oh, q.ow);
    for (i64 f = 0; f < phases; ++f) {
      Phase phase = list[f];
      phase.weights += group * q.cg * phase.terms;
      convolve(phase, image, gx + (i * c + group * q.cg) * plane, nullptr, plane, q.cg, tiles * part / parts,
               tiles * (part + 1) / parts);
    }
  });
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
