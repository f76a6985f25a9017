// Gradient of convolution by its weight by Winograd's algorithm: gw = Gᵀ[Σ (A g Aᵀ) ⊙ (Bᵀ d B)]G over all
// tiles. Tiles of g have neighbours in lanes, tiles of inputs channels, so that the sums over tiles are 16
// matrix products whose operands are read where they are. Tiles are cut into blocks and blocks into slots by
// shape alone, and added in order, so threads do not change the result.
#pragma once
#include "gradlast.h"
#include "winograd.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** Transformed reals of a block, both operands: they should stay in L2 beside the sums. */
constexpr i64 BLOCK_REALS = 196608;
/** Slots of sums at most. */
constexpr i64 MOST_SLOTS = 8;

/** How tiles are cut into blocks of `together` images, or of `rows` rows of tiles of one. */
struct TileBlocks {
  i64 together, rows, bands, count;

  TileBlocks(const Conv& q, i64 channels) {
    const TileGrid one{1, ceilDiv(q.oh, SIDE), ceilDiv(q.ow, SIDE)};
    const i64 wanted = most(4 * W, BLOCK_REALS / (ELEMENTS * (channels + q.kg)));
    bands = most(1, ceilDiv(one.size(), wanted));
    rows = ceilDiv(one.rows, bands);
    bands = ceilDiv(one.rows, rows);
    together = bands > 1 ? 1 : most(1, least(q.n, wanted / one.size()));
    count = ceilDiv(q.n, together) * bands;
  }
};

/** A of two elements. */
INLINE void spreadOutputs(vf a, vf b, vf* out) {
  out[0] = a;
  out[1] = a + b;
  out[2] = a - b;
  out[3] = -b;
}

/** A g Aᵀ of a vector of tiles for `channels` planes: element i of channel c goes to out[i step + c rowStep].
 */
static void spreadTiles(float* out, i64 step, i64 rowStep, const float* g, i64 plane, i64 channels,
                        const Read* reads, i64 pieces) {
  for (i64 c = 0; c < channels; ++c, g += plane, out += rowStep) {
    vf rows[2][4];
#pragma GCC unroll 2
    for (int r = 0; r < 2; ++r) {
      vf even, odd;
      if (pieces == 1)
        loadPair<1>(g, reads + 2 * r, 1, even, odd);
      else
        loadPair<0>(g, reads + 2 * r * pieces, pieces, even, odd);
      spreadOutputs(even, odd, rows[r]);
    }
#pragma GCC unroll 4
    for (int s = 0; s < 4; ++s) {
      vf v[4];
      spreadOutputs(rows[0][s], rows[1][s], v);
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) storeAs(out + (4 * r + s) * step, v[r]);
    }
  }
}

/** Bᵀ d B of a row of `tiles` tiles in a copy with channels last, of whose channels W are taken: element i of
 * tile t goes to out[i step + t channels]. Columns that tiles share are transformed once. */
static void transformLast(float* out, i64 step, const float* x, i64 rowStep, i64 channels, i64 tiles) {
  vf columns[4][4];
  const auto column = [=](i64 at, vf* to) __attribute__((always_inline)) {
    const float* from = x + at * channels;
    transformInputs(loadAs<vf>(from), loadAs<vf>(from + rowStep), loadAs<vf>(from + 2 * rowStep),
                    loadAs<vf>(from + 3 * rowStep), to, 1);
  };
  column(0, columns[0]);
  column(1, columns[1]);
  for (i64 t = 0; t < tiles; ++t, out += channels) {
    column(SIDE * t + 2, columns[2]);
    column(SIDE * t + 3, columns[3]);
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      vf v[4];
      transformInputs(columns[0][r], columns[1][r], columns[2][r], columns[3][r], v, 1);
#pragma GCC unroll 4
      for (int s = 0; s < 4; ++s) storeAs(out + (4 * r + s) * step, v[s]);
    }
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      columns[0][r] = columns[2][r];
      columns[1][r] = columns[3][r];
    }
  }
}

/** Gᵀ S G of W channels: taps[tap, channel] of one output channel from elements `step` apart, of `kept`
 * slots.
 */
static void gatherTaps(float* taps, const float* from, i64 step, i64 kept, i64 slot) {
  const auto gather = [](vf a, vf b, vf c, vf d, vf* out) __attribute__((always_inline)) {
    const vf sum = (b + c) * 0.5f;
    out[0] = a + sum;
    out[1] = (b - c) * 0.5f;
    out[2] = sum + d;
  };
  vf rows[4][3];
  for (int r = 0; r < 4; ++r) {
    vf v[4];
    for (int s = 0; s < 4; ++s) v[s] = slotSum(Whole{}, from + (4 * r + s) * step, kept, slot);
    gather(v[0], v[1], v[2], v[3], rows[r]);
  }
  for (int s = 0; s < 3; ++s) {
    vf v[3];
    gather(rows[0][s], rows[1][s], rows[2][s], rows[3][s], v);
    for (int r = 0; r < 3; ++r) storeAs(taps + (3 * r + s) * W, v[r]);
  }
}

/** The sums over blocks of tiles. */
class WinogradGrad {
 public:
  WinogradGrad(const Conv& q, const float* x, const float* g)
      : q_(q),
        x_(x),
        g_(g),
        channels_(roundUp(q.cg, W)),
        blocks_(q, channels_),
        cols_(ceilDiv(q.ow, SIDE)),
        copy_{channels_, SIDE * blocks_.rows + 2, SIDE * cols_ + 2, q.pw, 1, 1},
        outRow_((ceilDiv(blocks_.together * blocks_.rows * cols_, LINE) | 1) * LINE),
        outStep_(q.kg * outRow_ + LINE),
        inStep_(outRow_ * channels_ + LINE),
        // The last band of an image may end in half a tile.
        even_(blocks_.bands == 1 && q.n % blocks_.together == 0) {}

  i64 channels() const { return channels_; }
  /** From element to element among the sums of a group, which are [element, output channel, channel]. */
  i64 sumStep() const { return q_.kg * channels_; }
  i64 size() const { return q_.groups * ELEMENTS * sumStep(); }
  i64 blocks() const { return blocks_.count; }
  /** Reals that a worker needs. */
  i64 room() const { return roundUp(copy_.size(), LINE) + ELEMENTS * (outStep_ + inStep_); }
  /** Bytes of the lists of places. */
  i64 listed() const { return TilePlaces::bytes(whole(), 2) + TilePlaces::bytes(last(), 2); }

  void list(char* memory) {
    const Tap taps[2] = {{0, 0}, {1, 0}};
    const i64 images = q_.k * q_.oh * q_.ow, above = SIDE * blocks_.rows * (blocks_.bands - 1);
    inWhole_ = TilePlaces(whole(), {q_.oh, q_.ow, images}, taps, 2, memory);
    if (even_) return;
    inLast_ =
        TilePlaces(last(), {q_.oh - above, q_.ow, images}, taps, 2, memory + TilePlaces::bytes(whole(), 2));
  }
  /** What `fill` leaves as it is, in a worker's memory. */
  void clear(float* memory) const { std::memset(memory, 0, copy_.size() * sizeof(float)); }

  /** Adds block `block` of a group to the sums of output channels [k0, k1), or begins with it. */
  void add(float* sums, i64 block, i64 group, i64 k0, i64 k1, bool begins, float* memory) const {
    const i64 image = block / blocks_.bands * blocks_.together, top = block % blocks_.bands * blocks_.rows;
    const bool ends = isLast(block);
    const TileGrid grid = ends ? last() : whole();
    const TilePlaces& places = ends ? inLast_ : inWhole_;
    float* outs = memory + roundUp(copy_.size(), LINE);
    float* ins = outs + ELEMENTS * outStep_;
    const float* g = g_ + (image * q_.k + group * q_.kg + k0) * q_.oh * q_.ow + SIDE * top * q_.ow;
    for (i64 u = 0; u < grid.vectors(); ++u)
      spreadTiles(outs + k0 * outRow_ + u * W, outStep_, outRow_, g, q_.oh * q_.ow, k1 - k0, places.of(u),
                  places.pieces(u));
    for (i64 m = 0; m < grid.images; ++m) {
      copy_.fill(memory, x_ + ((image + m) * q_.c + group * q_.cg) * q_.h * q_.w, q_.cg, q_.h, q_.w,
                 SIDE * top - q_.ph, SIDE * grid.rows + 2);
      for (i64 row = 0; row < grid.rows; ++row)
        for (i64 c = 0; c < channels_; c += W)
          transformLast(ins + (m * grid.rows + row) * cols_ * channels_ + c, inStep_,
                        memory + SIDE * row * copy_.cols * channels_ + c, copy_.cols * channels_, channels_,
                        cols_);
    }
    multiply(sums, outs, ins, grid.size(), k0, k1, begins);
  }

 private:
  const Conv& q_;
  const float *x_, *g_;
  i64 channels_;
  TileBlocks blocks_;
  i64 cols_;
  Last copy_;
  /** From channel to channel and from element to element of transformed tiles. */
  i64 outRow_, outStep_, inStep_;
  /** Whether all blocks are of one shape. */
  bool even_;
  TilePlaces inWhole_, inLast_;

  TileGrid whole() const { return {blocks_.together, blocks_.rows, cols_}; }
  /** The last rows of an image, or the last images. */
  TileGrid last() const {
    const i64 rows = ceilDiv(q_.oh, SIDE) - blocks_.rows * (blocks_.bands - 1);
    return {(q_.n - 1) % blocks_.together + 1, rows, cols_};
  }
  /** Whether a block is of the other shape. */
  bool isLast(i64 block) const {
    if (even_) return false;
    return blocks_.bands > 1 ? block % blocks_.bands == blocks_.bands - 1 : block == blocks_.count - 1;
  }

  void multiply(float* sums, const float* outs, const float* ins, i64 terms, i64 k0, i64 k1,
                bool begins) const {
    static const Ending plain{1.0f, 0.0f, nullptr, {nullptr, nullptr, 0}};
    const i64 tiles = ceilDiv(k1 - k0, TILE_ROWS);
    for (i64 i = 0; i < ELEMENTS; ++i)
      for (i64 c = 0; c < channels_; c += TILE_COLS)
        for (i64 t = 0; t < tiles; ++t) {
          const i64 k = k0 + tileStart(k1 - k0, tiles, t), rows = k0 + tileStart(k1 - k0, tiles, t + 1) - k;
          const TileKernel product =
              channels_ - c > W ? tileOf<ByRow, TILE_VECTORS>(rows) : tileOf<ByRow, 1>(rows);
          product(terms, outs + i * outStep_ + k * outRow_, outRow_, ins + i * inStep_ + c, channels_,
                  {sums + i * sumStep() + k * channels_ + c, channels_, nullptr, W, begins, true, &plain});
        }
  }
};

static void winogradGradWeight(Context& cx, float* gw, const float* x, const float* g, const Conv& q) {
  WinogradGrad grad(q, x, g);
  const i64 size = grad.size(), channels = grad.channels(), step = grad.sumStep();
  const i64 kept = most(1, least(grad.blocks(), least(MOST_SLOTS, MOST_PARTIAL / size)));
  const int threads = q.n * q.oh * q.ow * q.k * q.cg * 9 < 2 * CONV_GRAIN ? 1 : cx.threads;
  const i64 parts =
      threads == 1 ? 1 : most(1, least(ceilDiv(q.kg, TILE_ROWS), ceilDiv(2 * threads, kept * q.groups)));
  Divider scratch{static_cast<char*>(reserve(cx, Divider::bytes(kept * size, 4) +
                                                     Divider::bytes(threads * roundUp(grad.room(), LINE), 4) +
                                                     grad.listed() + 64))};
  float* sums = scratch.take<float>(kept * size);
  float* memory = scratch.take<float>(threads * roundUp(grad.room(), LINE));
  grad.list(scratch.take<char>(grad.listed()));
  for (int t = 0; t < threads; ++t) grad.clear(memory + t * roundUp(grad.room(), LINE));

  parallel(threads, kept * q.groups * parts, [&](i64 task, int worker) {
    const i64 part = task % parts, group = task / parts % q.groups, slot = task / parts / q.groups;
    const i64 from = grad.blocks() * slot / kept, end = grad.blocks() * (slot + 1) / kept;
    for (i64 block = from; block < end; ++block)
      grad.add(sums + slot * size + group * ELEMENTS * step, block, group, tileStart(q.kg, parts, part),
               tileStart(q.kg, parts, part + 1), block == from, memory + worker * roundUp(grad.room(), LINE));
  });
  eachRow(cx, q.k, kept * ELEMENTS * channels, [&](i64 k) {
    const float* from = sums + k / q.kg * ELEMENTS * step + k % q.kg * channels;
    float taps[9 * W];
    for (i64 c = 0; c < q.cg; c += W) {
      gatherTaps(taps, from + c, step, kept, size);
      channelsFirst(gw + (k * q.cg + c) * 9, taps, 1, 0, least(W, q.cg - c), 9, W);
    }
  });
}

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
