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

/** Reals of g that a tile of channels walks over before its sums are stored: about half of L1. */
constexpr i64 GRAD_REALS = 5120;
/** Partial sums that are kept at most, in reals, and groups of images at most. */
constexpr i64 MOST_PARTIAL = i64{4} << 20, MOST_GROUPS = 16;

/** What a tile walks over: `images` copies of x, `xStep` apart, and their planes of g, `gStep` apart. */
struct GradWalk {
  const float *x, *g;
  i64 images, xStep, gStep, plane, spots;
  const Spot* list;
  /** Of g, and from row to row of a copy. */
  i64 rows, cols, pitch;
};

#if defined(__AVX512F__)
/** The lanes of a spot that are outputs; the others are 0 and read nothing. */
struct Masked {
  __mmask16 mask;
  INLINE_MEMBER vf load(const float* p) const { return _mm512_maskz_loadu_ps(mask, p); }
};
#endif

template <int R, int C>
static void gradTile(const GradWalk& q, i64 channel, const int32_t* offsets, float* out, i64 step) {
  vf acc[R][C] = {};
  for (i64 i = 0; i < q.images; ++i) {
    const float* g = q.g + i * q.gStep + channel * q.plane;
    const float* x[C];
    for (int c = 0; c < C; ++c) x[c] = q.x + i * q.xStep + offsets[c];
    const auto add = [&](auto how, const Spot& spot) __attribute__((always_inline)) {
      vf a[R];
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) a[r] = how.load(g + r * q.plane + spot.out);
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) {
        const vf b = how.load(x[c] + spot.in);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) acc[r][c] = fma(a[r], b, acc[r][c]);
      }
    };
    for (const Spot *spot = q.list, *end = spot + q.spots; spot < end; ++spot) {
#if defined(__AVX512F__)
      if (spot->mask == 0xffff)
        add(Whole{}, *spot);
      else
        add(Masked{static_cast<__mmask16>(spot->mask)}, *spot);
#else
      if (spot->count == W)
        add(Whole{}, *spot);
      else
        add(Part{spot->count}, *spot);
#endif
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) out[r * step + c] += total(acc[r][c]);
}

#if defined(__AVX512F__) || defined(__ARM_NEON)
/** As many channels as leave registers for nine vectors of x. */
constexpr int WINDOW_CHANNELS = 2;
constexpr bool HAS_WINDOWS = true;

/** Adds a column of vectors of R channels times the nine taps of 3 × 3. A vector of x is loaded once for
 * three rows of g, so sums wait for multiplications, not for loads that begin anywhere in a line. */
template <int R, class How>
INLINE void windowColumn(How how, const GradWalk& q, const float* g, const float* x, vf (&acc)[R][9]) {
  vf row[3][3];
  const auto load = [&](int t) __attribute__((always_inline)) {
#pragma GCC unroll 3
    for (int k = 0; k < 3; ++k) row[t][k] = how.load(x + k);
    x += q.pitch;
  };
  // Row y of g meets rows y to y + 2 of x, the last of which lies in the place of row y - 1.
  const auto add = [&](int y) __attribute__((always_inline)) {
    load((y + 2) % 3);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const vf a = how.load(g + r * q.plane);
      __builtin_prefetch(g + (r + R) * q.plane);
#pragma GCC unroll 9
      for (int k = 0; k < 9; ++k) acc[r][k] = fma(a, row[(y + k / 3) % 3][k % 3], acc[r][k]);
    }
    g += q.cols;
  };
  load(0);
  load(1);
  i64 y = q.rows;
  for (; y >= 3; y -= 3) {
    add(0);
    add(1);
    add(2);
  }
  if (y > 0) add(0);
  if (y > 1) add(1);
}

/** R channels of g by the taps of 3 × 3 from `offset` on. */
template <int R>
static void windowTile(const GradWalk& q, i64 channel, i64 offset, float* out, i64 step) {
  vf acc[R][9] = {};
  for (i64 i = 0; i < q.images; ++i) {
    const float *g = q.g + i * q.gStep + channel * q.plane, *x = q.x + i * q.xStep + offset;
    i64 j = 0;
    for (; j + W <= q.cols; j += W) windowColumn<R>(Whole{}, q, g + j, x + j, acc);
    if (j < q.cols) windowColumn<R>(Part{static_cast<int>(q.cols - j)}, q, g + j, x + j, acc);
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 9
    for (int k = 0; k < 9; ++k) out[r * step + k] += total(acc[r][k]);
}

/** As gradWalk, where terms are (channel of x, 3 × 3 neighbouring taps). */
static void windowWalk(const GradWalk& q, i64 k0, i64 k1, const int32_t* offsets, i64 terms, float* out) {
  for (i64 k = k0; k < k1; k += WINDOW_CHANNELS)
    for (i64 p = 0; p < terms; p += 9)
      (k + WINDOW_CHANNELS <= k1 ? windowTile<WINDOW_CHANNELS> : windowTile<1>)(q, k, offsets[p],
                                                                                out + k * terms + p, terms);
}
#else
constexpr bool HAS_WINDOWS = false;
static void windowWalk(const GradWalk&, i64, i64, const int32_t*, i64, float*) {}
#endif

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

/** How g is read: where it lies, row by row, or from a copy in which vectors run over the ends of rows. */
struct GradLayout {
  bool runsOn;
  i64 spots, pitch;
  /** Reals from plane to plane of what is read. */
  i64 plane;

  GradLayout(const Conv& q, const Padded& copy, i64 terms) {
    pitch = copy.pitch;
    const Grid grid{q.oh, q.ow, pitch};
    const i64 byRows = grid.byRows(), flat = grid.runningOn();
    // The copy costs about as much as 16 terms.
    runsOn = W == 16 && (byRows - flat) * terms > 16 * byRows;
    spots = runsOn ? flat : byRows;
    plane = runsOn ? flat * W : q.oh * q.ow;
  }

  void list(const Conv& q, Spot* spots_) const {
    const Grid grid{q.oh, q.ow, pitch};
    if (runsOn)
      grid.listFlat(spots_);
    else
      grid.listRows(spots_);
  }
};

/** Spreads planes of g to the lanes that read them. */
static void spreadPlanes(float* out, const float* g, i64 planes, i64 plane, const Spot* list, i64 spots) {
  for (i64 p = 0; p < planes; ++p, g += plane)
    for (i64 k = 0; k < spots; ++k, out += W) {
      const Spot& spot = list[k];
#if defined(__AVX512F__)
      storeAs<vf>(
          out, _mm512_maskz_expand_ps(static_cast<__mmask16>(spot.mask), loadPart(g + spot.out, spot.count)));
#else
      const float* from = g + spot.out;
      for (int lane = 0; lane < W; ++lane) out[lane] = spot.mask >> lane & 1 ? *from++ : 0.0f;
#endif
    }
}

/** The whole gradient this way. */
static void weightGradDots(Context& cx, float* gw, const float* x, const float* g, const Conv& q) {
  const i64 n = q.n, c = q.c, h = q.h, width = q.w, k = q.k, r = q.r, s = q.s;
  const i64 terms = q.cg * r * s, size = k * terms, plane = q.oh * q.ow;
  const Padded copy = Padded::forBand(q, q.oh);
  const GradLayout layout(q, copy, terms);
  const bool near = r == 3 && s == 3 && q.sh == 1 && q.sw == 1 && q.dh == 1 && q.dw == 1;
  const bool windows = HAS_WINDOWS && near && !layout.runsOn;
  // By shape alone: images a walk, and walks whose sums are kept apart.
  const i64 together = most(1, least(n, GRAD_REALS / (GRAD_CHANNELS * layout.plane + 1))),
            walks = ceilDiv(n, together);
  const i64 kept = most(1, least(walks, least(MOST_GROUPS, MOST_PARTIAL / size)));
  const int threads = n * plane * size < 2 * CONV_GRAIN ? 1 : cx.threads;
  const i64 parts =
      threads == 1 ? 1 : most(1, least(ceilDiv(q.kg, GRAD_CHANNELS), ceilDiv(2 * threads, kept * q.groups)));

  const i64 gEach = layout.runsOn ? q.kg * layout.plane : 0, each = together * (copy.size() + gEach);
  Divider scratch{static_cast<char*>(
      reserve(cx, Divider::bytes(terms, 4) + 2 * Divider::bytes(layout.spots, sizeof(Spot)) +
                      Divider::bytes(kept * size, 4) + Divider::bytes(threads * each, 4)))};
  int32_t* offsets = scratch.take<int32_t>(terms);
  Spot* list = scratch.take<Spot>(layout.spots);
  Spot* reads = scratch.take<Spot>(layout.spots);
  float* partial = scratch.take<float>(kept * size);
  float* images = scratch.take<float>(threads * each);
  copy.listTerms(q, offsets);
  layout.list(q, list);
  for (i64 p = 0; p < layout.spots; ++p) {
    reads[p] = list[p];
    if (layout.runsOn) reads[p].out = static_cast<int32_t>(p * W);
  }
  std::memset(partial, 0, kept * size * sizeof(float));
  std::memset(images, 0, threads * each * sizeof(float));

  parallel(threads, kept * q.groups * parts, [&](i64 task, int worker) {
    const i64 part = task % parts, group = task / parts % q.groups, slot = task / parts / q.groups;
    const i64 k0 = tileStart(q.kg, parts, part), k1 = tileStart(q.kg, parts, part + 1);
    float* copies = images + worker * each;
    float* spread = copies + together * copy.size();
    for (i64 walk = walks * slot / kept; walk < walks * (slot + 1) / kept; ++walk) {
      const i64 first = walk * together, count = least(together, n - first);
      const float* from = g + (first * k + group * q.kg) * plane;
      for (i64 i = 0; i < count; ++i) {
        copy.fill(copies + i * copy.size(), x + ((first + i) * c + group * q.cg) * h * width, h, width,
                  -q.ph);
        if (layout.runsOn)
          spreadPlanes(spread + i * gEach + k0 * layout.plane, from + (i * k + k0) * plane, k1 - k0, plane,
                       list, layout.spots);
      }
      const GradWalk over{copies,
                          layout.runsOn ? spread : from,
                          count,
                          copy.size(),
                          layout.runsOn ? gEach : k * plane,
                          layout.plane,
                          layout.spots,
                          reads,
                          q.oh,
                          q.ow,
                          copy.pitch};
      (windows ? windowWalk : gradWalk)(over, k0, k1, offsets, terms,
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

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
