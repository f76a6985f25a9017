// Convolution and its gradient by the input by Winograd's algorithm: filters are transformed once, then each
// block of tiles goes from inputs to outputs, some output channels at a time.
#pragma once
#include "winograd.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** A convolution of 3 × 3 taps by steps of 1, or a gradient by its input, which is one too. */
struct Winograd {
  i64 images, groups;
  /** Channels of a group that are summed over, and those of its outputs. */
  i64 inner, outer;
  /** Planes of the source and of the outputs; the first output reads from (-top, -left) on. */
  i64 h, w, oh, ow, top, left;
  /** From a filter of an output channel to that of the next, and to that of the next inner channel. */
  i64 outerStep, innerStep;
  bool turned;
  const float *x, *weights, *bias;
  float* y;
  Epilogue after;

  i64 xPlane() const { return h * w; }
  i64 yPlane() const { return oh * ow; }
  TileGrid grid(i64 count) const { return {count, ceilDiv(oh, SIDE), ceilDiv(ow, SIDE)}; }
};

/** Panels of a task at most: its transformed inputs take half of L2. */
constexpr i64 MOST_PANELS = 4;

/** Reals of an element's panel of inputs; a line more than its terms, so that the 16 do not compete for the
 * same places of L1. */
INLINE i64 elementStep(i64 inner) { return inner * TILE_COLS + LINE; }

/** How images and tiles are cut into tasks: `blocks` of `together` images, the last one of `rest`, have
 * `parts` parts of at most `panels` panels. Outputs do not depend on it. */
struct TileCut {
  i64 together, blocks, rest, parts, panels;

  TileCut(const Context& cx, const Winograd& q, int threads) {
    const i64 bytes = ELEMENTS * elementStep(q.inner) * static_cast<i64>(sizeof(float));
    const i64 fitting = most(1, least(MOST_PANELS, cx.l2 / 2 / bytes)) * TILE_VECTORS;
    together = imagesTogether(q, fitting);
    blocks = ceilDiv(q.images, together);
    rest = q.images - (blocks - 1) * together;
    const i64 vectors = q.grid(together).vectors();
    const i64 wanted = threads == 1 ? 1 : ceilDiv(4 * threads, blocks * q.groups);
    parts = most(ceilDiv(vectors, fitting), least(wanted, most(1, vectors / TILE_VECTORS)));
    panels = ceilDiv(ceilDiv(vectors, parts), TILE_VECTORS);
  }
  i64 images(i64 block) const { return block == blocks - 1 ? rest : together; }

 private:
  /** So many images that they fill `wanted` vectors, or few more if that leaves fewer lanes empty. */
  static i64 imagesTogether(const Winograd& q, i64 wanted) {
    const i64 tiles = q.grid(1).size(), reals = most(q.inner * q.xPlane(), q.outer * q.yPlane()) * q.groups;
    // Places are 32-bit.
    const i64 limit = most(1, least(q.images, (INT32_MAX / 2) / most(1, reals)));
    const i64 begin = most(1, least(limit, wanted * W / tiles));
    i64 best = begin;
    const auto lanes = [=](i64 count) { return q.grid(count).vectors() * W; };
    for (i64 count = begin; count <= least(limit, begin + 3); ++count)
      if (lanes(count) * best < lanes(best) * count) best = count;
    return best;
  }
};

/** The places of a block of images: what its tiles read and what they write. */
struct TileLists {
  TilePlaces in, out;

  static i64 bytes(const Winograd& q, i64 count) {
    return TilePlaces::bytes(q.grid(count), 8) + TilePlaces::bytes(q.grid(count), 2);
  }
  void list(const Winograd& q, i64 count, char* memory) {
    Tap reads[8];
    for (int t = 0; t < 8; ++t) reads[t] = {t / 2 - q.top, t % 2 * 2 - q.left};
    const Tap writes[2] = {{0, 0}, {1, 0}};
    const TileGrid grid = q.grid(count);
    const i64 inputs = q.groups * q.inner * q.xPlane(), outputs = q.groups * q.outer * q.yPlane();
    in = TilePlaces(grid, {q.h, q.w, inputs}, reads, 8, memory);
    out = TilePlaces(grid, {q.oh, q.ow, outputs}, writes, 2, memory + TilePlaces::bytes(grid, 8));
  }
};

/** Inputs of vectors [first, last) to panels of TILE_VECTORS of them. */
static void transformPanels(const Winograd& q, const float* x, const TilePlaces& in, i64 first, i64 last,
                            float* panels) {
  const i64 step = elementStep(q.inner);
  for (i64 u = first; u < last; ++u) {
    const i64 at = u - first;
    float* out = panels + at / TILE_VECTORS * ELEMENTS * step + at % TILE_VECTORS * W;
    const i64 pieces = in.pieces(u);
    (pieces == 1   ? transformTiles<1>
     : pieces == 2 ? transformTiles<2>
                   : transformTiles<0>)(out, step, x, q.xPlane(), q.inner, in.of(u), pieces);
  }
}

/** Output channels [from, from + rows) of a group at vectors [first, last): 16 products and what makes
 * outputs of them, panel by panel. */
static void tileProducts(const Winograd& q, const float* filters, const float* panels, float* sums, float* y,
                         const float* bias, i64 rows, const TilePlaces& out, i64 first, i64 last) {
  static const Ending plain{1.0f, 0.0f, nullptr, {nullptr, nullptr, 0}};
  const i64 step = elementStep(q.inner), sumStep = rows * TILE_COLS;
  for (i64 u = first; u < last; u += TILE_VECTORS, panels += ELEMENTS * step) {
    const i64 count = least(TILE_VECTORS, last - u);
    const TileKernel product =
        count == TILE_VECTORS ? tileOf<ByTerm, TILE_VECTORS>(rows) : tileOf<ByTerm, 1>(rows);
    for (i64 i = 0; i < ELEMENTS; ++i)
      product(q.inner, filters + i * q.inner * FACTOR_STEP, FACTOR_STEP, panels + i * step, TILE_COLS,
              {sums + i * sumStep, TILE_COLS, nullptr, W, true, true, &plain});
    for (i64 v = 0; v < count; ++v)
      transformSums(y, q.yPlane(), rows, sums + v * W, sumStep, bias, q.after, out.of(u + v),
                    out.pieces(u + v));
  }
}

static void winograd(Context& cx, const Winograd& q, int threads) {
  const TileCut cut(cx, q, threads);
  const i64 tiles = ceilDiv(q.outer, TILE_ROWS), filterTile = ELEMENTS * q.inner * FACTOR_STEP;
  const i64 panelReals = cut.panels * ELEMENTS * elementStep(q.inner),
            each = roundUp(panelReals + ELEMENTS * TILE_ROWS * TILE_COLS, LINE);
  Divider scratch{static_cast<char*>(
      reserve(cx, Divider::bytes(q.groups * tiles * filterTile, 4) + Divider::bytes(threads * each, 4) +
                      TileLists::bytes(q, cut.together) + TileLists::bytes(q, cut.rest) + 2 * 64))};
  float* filters = scratch.take<float>(q.groups * tiles * filterTile);
  float* memory = scratch.take<float>(threads * each);
  TileLists whole, last;
  whole.list(q, cut.together, scratch.take<char>(TileLists::bytes(q, cut.together)));
  if (cut.rest < cut.together) last.list(q, cut.rest, scratch.take<char>(TileLists::bytes(q, cut.rest)));

  parallel(threads, q.groups * tiles, [&](i64 task, int) {
    const i64 t = task % tiles, group = task / tiles;
    const i64 from = tileStart(q.outer, tiles, t), rows = tileStart(q.outer, tiles, t + 1) - from;
    const float* w = q.weights + group * q.inner * q.outer * 9 + from * q.outerStep;
    transformFilters(filters + task * filterTile, w, rows, q.outerStep, q.inner, q.innerStep, q.turned);
  });
  parallel(threads, cut.blocks * cut.parts * q.groups, [&](i64 task, int worker) {
    const i64 part = task % cut.parts, group = task / cut.parts % q.groups,
              block = task / cut.parts / q.groups;
    const i64 count = cut.images(block);
    const TileLists& lists = count < cut.together ? last : whole;
    const i64 vectors = q.grid(count).vectors(), first = tileStart(vectors, cut.parts, part),
              end = tileStart(vectors, cut.parts, part + 1);
    const i64 image = block * cut.together;
    const float* x = q.x + (image * q.groups + group) * q.inner * q.xPlane();
    float* y = q.y + (image * q.groups + group) * q.outer * q.yPlane();
    float* inputs = memory + worker * each;
    transformPanels(q, x, lists.in, first, end, inputs);
    for (i64 t = 0; t < tiles; ++t) {
      const i64 from = tileStart(q.outer, tiles, t), rows = tileStart(q.outer, tiles, t + 1) - from;
      tileProducts(q, filters + (group * tiles + t) * filterTile, inputs, inputs + panelReals,
                   y + from * q.yPlane(), q.bias ? q.bias + group * q.outer + from : nullptr, rows, lists.out,
                   first, end);
    }
  });
}

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
