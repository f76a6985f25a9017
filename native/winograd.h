// Winograd's algorithm F(2 × 2, 3 × 3) for convolution by steps of 1 (Lavin and Gray, "Fast Algorithms for
// Convolutional Neural Networks", 2015): a tile of 2 × 2 outputs is Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A of its 4 × 4
// inputs d, which takes 16 multiplications for 36. Over all channels the 16 elementwise products are 16
// matrix products. Lanes are neighbouring tiles; a block of them stays in L2 from its inputs to its outputs.
#pragma once
#include "gathered.h"
#include "pack.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** Elements of a transformed tile, and outputs along one side of it. */
constexpr int ELEMENTS = 16, SIDE = 2;

/** What transforming a vector of tiles takes for an input and an output channel, in products of vectors: much
 * of it is memory. Sums over tiles take longer, as they transpose the inputs. */
struct TransformCost {
  i64 input, output;
};
constexpr TransformCost OUTPUT_TILES{160, 110}, SUMMED_TILES{200, 200};
/** More filters than these would come from memory anew for each block of tiles. */
constexpr i64 MOST_FILTERS = 1 << 18;

/** Whether the algorithm is the faster one, from the shape of one image alone. A tile takes 16 products for
 * each pair of channels, which run at seven eighths of the speed of the 9 that the direct way takes for each
 * output. Measured with AVX-512 at 32 × 32 against the direct way: 16 channels 0.9 of the time, 32 0.71, 64
 * 0.58; at 7 × 7, where a fifth of the tiles is waste, 0.7 and 0.61. */
INLINE bool winogradPays(const TransformCost& cost, i64 inner, i64 outer, i64 oh, i64 ow) {
  const i64 tiles = ceilDiv(oh, SIDE) * ceilDiv(ow, SIDE), pairs = inner * outer;
  const i64 here = tiles * (ELEMENTS * pairs * 8 / 7 + cost.input * inner + cost.output * outer);
  return pairs <= MOST_FILTERS && here < oh * ow * pairs * 10;
}

/** Whether the algorithm can do it. Places of pixels are 32-bit. */
INLINE bool winogradFits(const Conv& q) {
  return q.r == 3 && q.s == 3 && q.sh * q.sw * q.dh * q.dw == 1 && q.c * q.h * q.w <= INT32_MAX / 2 &&
         q.k * q.oh * q.ow <= INT32_MAX / 2;
}

/** A plane in which pairs of columns are read or written for tiles. */
struct TilePlane {
  i64 h, w;
  /** From image to image. */
  i64 step;
};

/** The tiles of some images, W to a vector wherever rows and images end. */
struct TileGrid {
  i64 images, rows, cols;

  i64 size() const { return images * rows * cols; }
  i64 vectors() const { return ceilDiv(size(), W); }

  /** Runs of tiles of one row in half of a vector; `visit(lane, some, image, row, col)`. */
  template <class F>
  i64 runs(i64 first, const F& visit) const {
    i64 count = 0;
    for (i64 t = first, end = least(size(), first + W / 2); t < end; ++count) {
      const i64 col = t % cols, some = least(end - t, cols - col);
      visit(SIDE * (t - first), some, t / cols / rows, t / cols % rows, col);
      t += some;
    }
    return count;
  }

  /** Runs in half of any vector, at most. */
  i64 mostRuns() const { return least(W / 2, ceilDiv(W / 2 - 1, cols) + 1); }
};

/** Where vectors of tiles read or write pairs of columns: for each vector and each of some taps, two halves
 * of `pieces` masked ranges. Half a vector of tiles makes a vector of pixels. */
class TilePlaces {
 public:
  TilePlaces() = default;
  static i64 bytes(const TileGrid& grid, i64 taps) {
    return roundUp(grid.vectors() * taps * 2 * grid.mostRuns() * static_cast<i64>(sizeof(Read)), 64) +
           roundUp(grid.vectors() * static_cast<i64>(sizeof(int32_t)), 64);
  }
  /** Lists the places in `memory`, which has room for them. */
  TilePlaces(const TileGrid& grid, const TilePlane& plane, const Tap* taps, i64 count, char* memory)
      : stride_(count * 2 * grid.mostRuns()),
        pieces_(reinterpret_cast<int32_t*>(memory)),
        reads_(reinterpret_cast<Read*>(memory +
                                       roundUp(grid.vectors() * static_cast<i64>(sizeof(int32_t)), 64))) {
    for (i64 u = 0; u < grid.vectors(); ++u) {
      const auto none = [](i64, i64, i64, i64, i64) {};
      const i64 pieces = most(1, most(grid.runs(u * W, none), grid.runs(u * W + W / 2, none)));
      pieces_[u] = static_cast<int32_t>(pieces);
      Read* to = reads_ + u * stride_;
      for (i64 t = 0; t < count; ++t)
        for (i64 half = 0; half < 2; ++half, to += pieces) {
          for (i64 k = 0; k < pieces; ++k) to[k] = {0, 0};
          Read* next = to;
          grid.runs(u * W + half * (W / 2), [&](i64 lane, i64 some, i64 image, i64 row, i64 col) {
            *next++ = range(plane, image, SIDE * row + taps[t].y, SIDE * col + taps[t].x, lane, SIDE * some);
          });
        }
    }
  }
  i64 pieces(i64 vector) const { return pieces_[vector]; }
  const Read* of(i64 vector) const { return reads_ + vector * stride_; }

 private:
  i64 stride_ = 0;
  int32_t* pieces_ = nullptr;
  Read* reads_ = nullptr;

  /** `some` pixels from (y, x) on, in lanes from `lane` on; those outside the plane are masked off. */
  static Read range(const TilePlane& plane, i64 image, i64 y, i64 x, i64 lane, i64 some) {
    const i64 from = most(0, -x), to = least(some, plane.w - x);
    if (y < 0 || y >= plane.h || from >= to) return {0, 0};
    const uint32_t mask = ((1u << (to - from)) - 1) << (lane + from);
    return {static_cast<int32_t>(image * plane.step + y * plane.w + x - lane), mask};
  }
};

/** Even and odd columns of what a tap reads for a vector of tiles: `Pieces` ranges a half, 0 for any number.
 */
template <int Pieces>
INLINE void loadPair(const float* from, const Read* reads, i64 pieces, vf& even, vf& odd) {
  const auto half = [=](const Read* r) __attribute__((always_inline)) {
    if (Pieces == 1) return Lanes(r->mask).load(from + r->in);
    vi v = {};
#pragma GCC unroll 2
    for (i64 k = 0; k < (Pieces ? Pieces : pieces); ++k) v |= bits(Lanes(r[k].mask).load(from + r[k].in));
    return bits(v);
  };
  const vf low = half(reads), high = half(reads + (Pieces ? Pieces : pieces));
  even = evens(low, high);
  odd = odds(low, high);
}

/** Bᵀ of four elements. */
INLINE void transformInputs(vf a, vf b, vf c, vf d, vf* out, int step) {
  out[0] = a - c;
  out[step] = b + c;
  out[2 * step] = c - b;
  out[3 * step] = b - d;
}

/** Bᵀ d B of a vector of tiles for `channels` planes, `plane` apart: element i of channel c goes to
 * out[i step + c TILE_COLS]. */
template <int Pieces>
static void transformTiles(float* out, i64 step, const float* x, i64 plane, i64 channels, const Read* reads,
                           i64 pieces) {
  const i64 tap = 2 * (Pieces ? Pieces : pieces);
  for (i64 c = 0; c < channels; ++c, x += plane, out += TILE_COLS) {
    vf rows[4][4];
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      vf d[4];
      loadPair<Pieces>(x, reads + 2 * r * tap, pieces, d[0], d[1]);
      loadPair<Pieces>(x, reads + (2 * r + 1) * tap, pieces, d[2], d[3]);
      transformInputs(d[0], d[1], d[2], d[3], rows[r], 1);
    }
#pragma GCC unroll 4
    for (int s = 0; s < 4; ++s) {
      vf v[4];
      transformInputs(rows[0][s], rows[1][s], rows[2][s], rows[3][s], v, 1);
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) storeAs(out + (4 * r + s) * step, v[r]);
    }
  }
}

/** Filters that are read at a time: whole lines of each row, as rows may compete for the same places of L1.
 */
constexpr i64 FILTERS_READ = 8;

/** G g Gᵀ of filters [rows, terms] of 9 taps, `rowStep` and `termStep` apart, turned by 180° or not. Element
 * i of term c and row r goes to out[(i terms + c) FACTOR_STEP + r]. */
static void transformFilters(float* out, const float* w, i64 rows, i64 rowStep, i64 terms, i64 termStep,
                             bool turned) {
  const auto transform = [](vf a, vf b, vf c, vf* to) __attribute__((always_inline)) {
    const vf ends = a + c;
    to[0] = a;
    to[1] = (ends + b) * 0.5f;
    to[2] = (ends - b) * 0.5f;
    to[3] = c;
  };
  float taps[FILTERS_READ][9][FACTOR_STEP] = {};
  for (i64 first = 0; first < terms; first += FILTERS_READ) {
    const i64 count = least(FILTERS_READ, terms - first);
    for (i64 r = 0; r < rows; ++r)
      for (i64 c = 0; c < count; ++c)
        for (int t = 0; t < 9; ++t)
          taps[c][turned ? 8 - t : t][r] = w[r * rowStep + (first + c) * termStep + t];
    for (i64 c = 0; c < count; ++c)
      for (i64 k = 0; k < FACTOR_STEP; k += W) {
        float* to = out + (first + c) * FACTOR_STEP + k;
        vf columns[3][4];
        for (int b = 0; b < 3; ++b)
          transform(loadAs<vf>(taps[c][b] + k), loadAs<vf>(taps[c][3 + b] + k),
                    loadAs<vf>(taps[c][6 + b] + k), columns[b]);
        for (int a = 0; a < 4; ++a) {
          vf row[4];
          transform(columns[0][a], columns[1][a], columns[2][a], row);
          for (int b = 0; b < 4; ++b) storeAs(to + (4 * a + b) * terms * FACTOR_STEP, row[b]);
        }
      }
  }
}

/** Stores a vector of tiles that ends with more than a relu, range by range: four vectors for each of `rows`
 * planes. */
static __attribute__((noinline)) void finishPixels(const Epilogue& after, float* out, i64 plane, i64 rows,
                                                   const Read* places, i64 pieces, const float* sums) {
  const Keeping subnormals;
  for (i64 r = 0; r < rows; ++r, out += plane) {
    const float* residual = after.residualFor(out);
    const Read* to = places;
    for (int v = 0; v < 4; ++v, to += pieces, sums += W) {
      vf x = loadAs<vf>(sums);
      if (residual) {
        vi other = {};
        for (i64 k = 0; k < pieces; ++k) other |= bits(Lanes(to[k].mask).load(residual + to[k].in));
        x += bits(other);
      }
      x = activate(after.act, x);
      for (i64 k = 0; k < pieces; ++k) Lanes(to[k].mask).store(out + to[k].in, x);
    }
  }
}

/** AᵀMA + bias of a vector of tiles, and what follows, for `rows` planes, `plane` apart: element i of row r
 * is m[i step + r TILE_COLS]. */
static void transformSums(float* planes, i64 plane, i64 rows, const float* m, i64 step, const float* bias,
                          const Epilogue& after, const Read* places, i64 pieces) {
  const bool more = after.any() && !after.isRelu();
  float sums[4 * W * TILE_ROWS];
  for (i64 r = 0; r < rows; ++r, m += TILE_COLS) {
    float* out = planes + r * plane;
    vf columns[2][4];
#pragma GCC unroll 4
    for (int s = 0; s < 4; ++s) {
      const vf a = loadAs<vf>(m + s * step), b = loadAs<vf>(m + (4 + s) * step),
               c = loadAs<vf>(m + (8 + s) * step), d = loadAs<vf>(m + (12 + s) * step);
      columns[0][s] = a + b + c;
      columns[1][s] = b - c - d;
    }
    const vf first = bias ? splat(bias[r]) : vf{};
#pragma GCC unroll 2
    for (int y = 0; y < 2; ++y) {
      const vf *v = columns[y], even = v[0] + v[1] + v[2] + first, odd = v[1] - v[2] - v[3] + first;
      vf pixels[2] = {pairsLow(even, odd), pairsHigh(even, odd)};
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        const Read* to = places + (2 * y + h) * pieces;
        if (more) {
          storeAs(sums + (4 * r + 2 * y + h) * W, pixels[h]);
          continue;
        }
        if (after.act) pixels[h] = activate(RELU, pixels[h]);
        for (i64 k = 0; k < pieces; ++k) Lanes(to[k].mask).store(out + to[k].in, pixels[h]);
      }
    }
  }
  if (more) finishPixels(after, planes, plane, rows, places, pieces, sums);
}

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
