// Positions of an image gathered into vectors, tap by tap, straight from where the image lies: a vector takes
// W positions wherever rows end, and what a tap reads outside the image is 0 without a padded copy. Where and
// under which masks it reads is listed once and serves every channel and image.
#pragma once
#include "image.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** Where a tap reads for the position in row and column 0. */
struct Tap {
  i64 y, x;
};

/** Lanes of `mask` are source[in + lane], the others 0. */
struct Read {
  int32_t in;
  uint32_t mask;
};

/** What a vector reads for a tap: the `low` reads from `first` on make a vector, and if columns go by two,
 * the `high` ones behind them the next, of which pairs every even element counts. */
struct Reads {
  int32_t first;
  int16_t low, high;
};

/** A plane of h × w, whose positions lie sh rows and sw ≤ 2 columns apart. */
struct Plane {
  i64 h, w, sh, sw;
};

/** Lists what positions read: `grid` rows from row `top` on, for each vector the taps in order. */
class ReadLister {
 public:
  ReadLister(const Plane& plane, Reads* of, Read* reads) : plane_(plane), of_(of), reads_(reads) {}

  /** A row's beginning or a vector's begins a read, once in each half. */
  static i64 most(const Grid& grid, const Plane& plane) { return (grid.dense() + grid.rows) * plane.sw; }

  void add(const Grid& grid, i64 top, const Tap* taps, i64 count) {
    for (i64 p = 0; p < grid.size(); p += W)
      for (i64 t = 0; t < count; ++t) {
        const int32_t first = count_;
        half(grid, top, taps[t], p, 0);
        const int32_t middle = count_;
        if (plane_.sw == 2) half(grid, top, taps[t], p, 1);
        *of_++ = {first, static_cast<int16_t>(middle - first), static_cast<int16_t>(count_ - middle)};
      }
  }

 private:
  const Plane& plane_;
  Reads* of_;
  Read* reads_;
  int32_t count_ = 0;

  /** The reads of one vector of the source; with steps of 2 it holds half of the positions. */
  void half(const Grid& grid, i64 top, const Tap& tap, i64 p, i64 which) {
    const i64 lanes = W / plane_.sw, start = p + which * lanes, end = least(grid.size(), start + lanes);
    const int32_t begun = count_;
    for (i64 q = start; q < end;) {
      const i64 row = q / grid.cols, col = q % grid.cols, some = least(end - q, grid.cols - col);
      const i64 y = (top + row) * plane_.sh + tap.y, lane = (q - start) * plane_.sw;
      const i64 x = col * plane_.sw + tap.x;
      q += some;
      if (y < 0 || y >= plane_.h) continue;
      // Of the columns x, x + sw, … those from 0 on and below w.
      const i64 skipped = x < 0 ? ceilDiv(-x, plane_.sw) : 0;
      const i64 inside = least(some, ceilDiv(plane_.w - x, plane_.sw)) - skipped;
      if (inside <= 0) continue;
      const uint32_t every = plane_.sw == 2 ? 0x55555555u : ~0u;
      const uint32_t mask = (every & ((1u << inside * plane_.sw) - 1)) << (lane + skipped * plane_.sw);
      const int32_t in = static_cast<int32_t>(y * plane_.w + x - lane);
      if (count_ > begun && reads_[count_ - 1].in == in)
        reads_[count_ - 1].mask |= mask;
      else
        reads_[count_++] = {in, mask};
    }
  }
};

/** How images are gathered: taps of each of their planes, which lie `plane` apart. */
struct Gathered {
  i64 taps, plane;
  bool pairs;
  const Read* reads;
};

/** Where packed vectors go: one for each of `channels` planes, `step` apart. */
struct Packing {
  float* out;
  i64 step, channels;
};

/** Packs what a tap reads for V vectors side by side, each of them with one read, or one in each half. */
template <int V, bool Pairs>
static void packSingles(const Packing& to, const Gathered& q, const float* const* sources,
                        const Reads* const* of) {
  constexpr int R = Pairs ? 2 : 1;
  const float* from[V * R];
  decltype(Lanes::mask) mask[V * R];
#pragma GCC unroll 8
  for (int k = 0; k < V * R; ++k) {
    const Read& read = q.reads[of[k / R]->first + k % R];
    from[k] = sources[k / R] + read.in;
    mask[k] = Lanes(read.mask).mask;
  }
  float* out = to.out;
  for (i64 at = 0, end = to.channels * q.plane; at < end; at += q.plane, out += to.step)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const auto load = [&](int k)
                            __attribute__((always_inline)) { return Lanes::load(mask[k], from[k] + at); };
      storeAs(out + v * W, Pairs ? evens(load(v * R), load(v * R + R - 1)) : load(v));
    }
}

/** Packs what a tap reads for one vector, with any number of reads. */
static void packSums(const Packing& to, const Gathered& q, const float* source, const Reads& of) {
  const Read* reads = q.reads + of.first;
  const auto sum = [](const Read* from, i64 count, const float* p) __attribute__((always_inline)) {
    vi v = {};
    for (i64 k = 0; k < count; ++k) v |= bits(Lanes(from[k].mask).load(p + from[k].in));
    return bits(v);
  };
  float* out = to.out;
  for (i64 c = 0; c < to.channels; ++c, out += to.step, source += q.plane) {
    const vf low = sum(reads, of.low, source);
    storeAs(out, q.pairs ? evens(low, sum(reads + of.low, of.high, source)) : low);
  }
}

/** Packs what a tap reads for `count` vectors side by side. */
template <int Most>
static void packTap(const Packing& to, i64 count, const Gathered& q, const float* const* sources,
                    const Reads* const* of) {
  bool single = true;
  for (i64 v = 0; v < count; ++v) single = single && of[v]->low == 1 && of[v]->high == (q.pairs ? 1 : 0);
  if (!single) {
    for (i64 v = 0; v < count; ++v) packSums({to.out + v * W, to.step, to.channels}, q, sources[v], *of[v]);
    return;
  }
  if (count == 1)
    (q.pairs ? packSingles<1, true> : packSingles<1, false>)(to, q, sources, of);
  else if (count == 2)
    (q.pairs ? packSingles<2, true> : packSingles<2, false>)(to, q, sources, of);
  else
    (q.pairs ? packSingles<Most, true> : packSingles<Most, false>)(to, q, sources, of);
}

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
