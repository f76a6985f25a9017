// Gradient of convolution by its weight: every weight is a dot product of a plane of g with a shifted plane
// of x. Images are cut in groups by their shapes alone and the groups' sums are added in order, so threads do
// not change the result.
#pragma once
#include "conv.h"
#include "move.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** Tile of output channels by terms; each pair has a vector of sums. */
#if defined(__AVX512F__)
constexpr int GRAD_CHANNELS = 4, GRAD_TERMS = 6;
#else
constexpr int GRAD_CHANNELS = 2, GRAD_TERMS = 4;
#endif

/** Images that one task sums over: their padded copies should fit L2 beside g. */
constexpr i64 GRAD_REALS = 65536;
/** Partial sums that are kept at most, in reals, and groups of images at most. */
constexpr i64 MOST_PARTIAL = i64{4} << 20, MOST_GROUPS = 16;

/** What a tile walks over: `images` copies of x, `xStep` apart, and their planes of g, `gStep` apart. */
struct GradWalk {
  const float *x, *g;
  i64 images, xStep, gStep, plane, spots;
  const Spot* list;
};

template <int R, int C>
static void gradTile(const GradWalk& q, i64 channel, const int32_t* offsets, float* out, i64 step) {
  vf acc[R][C] = {};
  for (i64 i = 0; i < q.images; ++i) {
    const float* g = q.g + i * q.gStep + channel * q.plane;
    const float* x = q.x + i * q.xStep;
    for (i64 p = 0; p < q.spots; ++p) {
      const Spot spot = q.list[p];
      const auto add = [&](auto how) {
        vf a[R];
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) a[r] = how.load(g + r * q.plane + spot.out);
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) {
          const vf b = how.load(x + spot.in + offsets[c]);
#pragma GCC unroll 4
          for (int r = 0; r < R; ++r) acc[r][c] = fma(a[r], b, acc[r][c]);
        }
      };
      if (spot.count == W)
        add(Whole{});
      else
        add(Part{spot.count});
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) out[r * step + c] += total(acc[r][c]);
}

using GradKernel = void (*)(const GradWalk&, i64, const int32_t*, float*, i64);

template <int R>
INLINE GradKernel gradTileOf(i64 terms) {
  static const GradKernel table[] = {
      &gradTile<R, 1>, &gradTile<R, 2>, &gradTile<R, 3>, &gradTile<R, 4>,
#if defined(__AVX512F__)
      &gradTile<R, 5>, &gradTile<R, 6>,
#endif
  };
  return table[terms - 1];
}

INLINE GradKernel gradTileOf(i64 channels, i64 terms) {
#if defined(__AVX512F__)
  if (channels == 4) return gradTileOf<4>(terms);
  if (channels == 3) return gradTileOf<3>(terms);
#endif
  return channels == 2 ? gradTileOf<2>(terms) : gradTileOf<1>(terms);
}

/** Adds the walk's sums to out[channel, term], for channels [k0, k1). */
static void gradWalk(const GradWalk& q, i64 k0, i64 k1, const int32_t* offsets, i64 terms, float* out) {
  const i64 rows = ceilDiv(k1 - k0, GRAD_CHANNELS), cols = ceilDiv(terms, GRAD_TERMS);
  for (i64 i = 0; i < rows; ++i) {
    const i64 first = k0 + tileStart(k1 - k0, rows, i), last = k0 + tileStart(k1 - k0, rows, i + 1);
    for (i64 j = 0; j < cols; ++j) {
      const i64 p0 = tileStart(terms, cols, j), p1 = tileStart(terms, cols, j + 1);
      gradTileOf(last - first, p1 - p0)(q, first, offsets + p0, out + first * terms + p0, terms);
    }
  }
}

namespace rows {

static void conv2dGradWeight(Context& cx, float* gw, const float* x, const float* g, i64 n, i64 c, i64 h,
                             i64 width, i64 k, i64 r, i64 s, i64 sh, i64 sw, i64 ph, i64 pw, i64 dh, i64 dw,
                             i64 groups) {
  const Conv q(n, c, h, width, k, r, s, sh, sw, ph, pw, dh, dw, groups);
  const i64 terms = q.cg * r * s, size = k * terms, plane = q.oh * q.ow;
  if (size == 0) return;
  const Padded copy{q.cg, h + 2 * ph, sw, ceilDiv(width + 2 * pw, sw), ph, pw};
  // Rows end inside vectors, never between: the lanes beyond an output row must stay out of the sum.
  const i64 spots = q.oh * ceilDiv(q.ow, W);
  // By shape alone: images a walk, and walks whose sums are kept apart.
  const i64 together = most(1, least(n, GRAD_REALS / copy.size())), walks = ceilDiv(n, together);
  const i64 kept = most(1, least(walks, least(MOST_GROUPS, MOST_PARTIAL / size)));
  const int threads = n * plane * size < 2 * CONV_GRAIN ? 1 : cx.threads;
  const i64 parts =
      threads == 1 ? 1 : most(1, least(ceilDiv(q.kg, GRAD_CHANNELS), ceilDiv(2 * threads, kept * groups)));

  const i64 each = together * copy.size();
  Divider scratch{static_cast<char*>(
      reserve(cx, Divider::bytes(terms, 4) + Divider::bytes(spots, sizeof(Spot)) +
                      Divider::bytes(kept * size, 4) + Divider::bytes(threads * each, 4)))};
  int32_t* offsets = scratch.take<int32_t>(terms);
  Spot* list = scratch.take<Spot>(spots);
  float* partial = scratch.take<float>(kept * size);
  float* images = scratch.take<float>(threads * each);
  for (i64 p = 0; p < terms; ++p)
    offsets[p] = static_cast<int32_t>(copy.at(p / (r * s), p / s % r * dh, p % s * dw));
  for (i64 i = 0; i < q.oh; ++i) Field{1, q.ow, 0, i * q.ow, 0, 1}.list(list + i * ceilDiv(q.ow, W));
  for (i64 p = 0; p < spots; ++p)
    list[p].in += static_cast<int32_t>(p / ceilDiv(q.ow, W) * sh * copy.phases * copy.pitch);
  std::memset(partial, 0, kept * size * sizeof(float));
  std::memset(images, 0, threads * each * sizeof(float));

  parallel(threads, kept * groups * parts, [&](i64 task, int worker) {
    const i64 part = task % parts, group = task / parts % groups, slot = task / parts / groups;
    float* copies = images + worker * each;
    for (i64 walk = walks * slot / kept; walk < walks * (slot + 1) / kept; ++walk) {
      const i64 first = walk * together, count = least(together, n - first);
      for (i64 i = 0; i < count; ++i)
        copy.fill(copies + i * copy.size(), x + ((first + i) * c + group * q.cg) * h * width, h, width);
      const GradWalk over{
          copies, g + (first * k + group * q.kg) * plane, count, copy.size(), k * plane, plane, spots, list};
      gradWalk(over, tileStart(q.kg, parts, part), tileStart(q.kg, parts, part + 1), offsets, terms,
               partial + slot * size + group * q.kg * terms);
    }
  });
  for (i64 slot = 1; slot < kept; ++slot) {
    const float* from = partial + slot * size;
    span(0, size,
         [=](auto how, i64 at) { how.store(partial + at, how.load(partial + at) + how.load(from + at)); });
  }
  copyRun(gw, partial, size);
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
