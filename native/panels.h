// Implicit matrix products of convolutions: register tiles of channels × positions sum over the terms
// (channel, row, column) in that order. A panel is a few vectors of positions. They are read where they lie,
// running over the gaps between rows, or packed W by W first, in blocks of terms that depend on the shape
// alone.
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

/** Terms of a packed panel: with the tile's weights about two thirds of L1. */
constexpr i64 PANEL_TERMS = 192, PANEL_COLS = POSITIONS * W;

/** What is summed: terms, where each reads, and the weights. */
struct Implicit {
  i64 channels, terms;
  const int32_t* offsets;
  const float *weights, *bias;
};

/** Weights with a row of terms for each channel, as a convolution's lie. */
struct WeightRows : ByRow {
  INLINE_MEMBER WeightRows(const Implicit& q, i64 channel, i64, i64 term)
      : ByRow(q.weights + channel * q.terms + term, q.terms) {}
};

/** Packed weights: for each tile of channels its terms × channels. */
struct WeightTiles : ByTerm {
  INLINE_MEMBER WeightTiles(const Implicit& q, i64 channel, i64 channels, i64 term)
      : ByTerm(q.weights + channel * q.terms + term * channels, channels) {}
};

/** Terms [term, term + terms) of channels from `channel` on at some vectors of positions: where those read
 * and where the sums go, channels `plane` apart. Sums of later terms are added to what is there. */
struct PanelTask {
  const Implicit& q;
  i64 term, terms;
  const int32_t* offsets;
  i64 plane, channel;
  const float* from[POSITIONS];
  float* out[POSITIONS];
  uint32_t mask[POSITIONS];
  int count[POSITIONS];
};

template <class Weights, int R, int V>
static void panelTile(const PanelTask& t) {
  vf acc[R][V];
  Weights weights(t.q, t.channel, R, t.term);
  const float* bias = t.q.bias;
  const float* from[V];
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    from[v] = t.from[v];
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      const float* out = t.out[v] + i * t.plane;
      if (t.term > 0)
        acc[i][v] = t.count[v] == W ? loadAs<vf>(out) : loadPart(out, t.count[v]);
      else
        acc[i][v] = bias ? splat(bias[t.channel + i]) : vf{};
    }
  }
  const int32_t *offset = t.offsets, *end = offset + t.terms;
  for (; offset < end; ++offset) {
    vf row[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) row[v] = loadAs<vf>(from[v] + *offset);
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      const vf factor = weights.at(i);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[i][v] = fma(factor, row[v], acc[i][v]);
    }
    weights.template next<R>();
  }
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v)
    storeSpot<R>([&](int i) { return acc[i][v]; }, t.out[v], t.plane, t.mask[v], t.count[v]);
}

using PanelKernel = void (*)(const PanelTask&);

template <class Weights, int V>
INLINE PanelKernel panelTileOf(i64 channels) {
  static const PanelKernel table[] = {
      &panelTile<Weights, 1, V>, &panelTile<Weights, 2, V>,
      &panelTile<Weights, 3, V>, &panelTile<Weights, 4, V>,
#if defined(__AVX512F__) || defined(__ARM_NEON)
      &panelTile<Weights, 5, V>, &panelTile<Weights, 6, V>,
      &panelTile<Weights, 7, V>, &panelTile<Weights, 8, V>,
#endif
  };
  return table[channels - 1];
}

template <class Weights>
INLINE PanelKernel panelTileOf(i64 channels, i64 vectors) {
#if defined(__AVX2__) || defined(__ARM_NEON)
  if (vectors >= 3) return panelTileOf<Weights, 3>(channels);
#endif
  return vectors >= 2 ? panelTileOf<Weights, 2>(channels) : panelTileOf<Weights, 1>(channels);
}

/** All channels of a panel of `count` vectors. */
template <class Weights>
static void panelTiles(PanelTask task, i64 count) {
  const i64 channels = task.q.channels, tiles = ceilDiv(channels, CHANNELS);
  for (i64 t = 0; t < tiles; ++t) {
    const i64 rows = tileStart(channels, tiles, t + 1) - task.channel;
    panelTileOf<Weights>(rows, count)(task);
    for (i64 v = 0; v < count; ++v) task.out[v] += rows * task.plane;
    task.channel += rows;
  }
}

/** Packs a vector of pieces for each term. */
static void packPieces(float* out, const float* source, const Piece* pieces, i64 count,
                       const int32_t* offsets, i64 terms) {
  if (pieces[0].count == W) {
    source += pieces[0].in;
    for (i64 p = 0; p < terms; ++p) storeAs(out + p * PANEL_COLS, loadAs<vf>(source + offsets[p]));
    return;
  }
  // A piece that is not there has no lanes.
  const auto piece = [=](i64 k) { return k < count ? pieces[k] : Piece{pieces[0].in, 0, 0}; };
  const Piece a = piece(0), b = piece(1), c = piece(2);
  const LaneRange inA(a.first, a.count), inB(b.first, b.count), inC(c.first, c.count);
  for (i64 p = 0; p < terms; ++p) {
    const float* from = source + offsets[p];
    vi v = bits(inA.load(from + a.in)) | bits(inB.load(from + b.in));
    if (count > 2) v |= bits(inC.load(from + c.in));
    for (i64 k = 3; k < count; ++k)
      v |= bits(LaneRange(pieces[k].first, pieces[k].count).load(from + pieces[k].in));
    storeAs(out + p * PANEL_COLS, bits(v));
  }
}

/** Offsets of the rows of a packed panel. */
struct PanelSteps {
  int32_t at[PANEL_TERMS];
  PanelSteps() {
    for (i64 p = 0; p < PANEL_TERMS; ++p) at[p] = static_cast<int32_t>(p * PANEL_COLS);
  }
};

/** The vectors of a grid; with pieces if they are packed. */
struct Places {
  i64 vectors;
  const Spot* spots;
  const Pieces* of;
  const Piece* pieces;
};

/** Where the images lie that a task reads and writes; `plane` from output channel to output channel. */
struct Between {
  i64 images;
  const float* source;
  i64 sourceStep;
  float* out;
  i64 outStep, plane;
};

/** All channels at all places in every image. `room` holds PANEL_TERMS × PANEL_COLS. */
template <class Weights>
static void panelProduct(const Implicit& q, const Places& places, const Between& at, float* room) {
  static const PanelSteps steps;
  const i64 total = at.images * places.vectors, panels = ceilDiv(total, POSITIONS);
  const i64 depth = q.terms == 0 ? 1 : ceilDiv(q.terms, ceilDiv(q.terms, PANEL_TERMS));
  for (i64 s = 0; s < panels; ++s) {
    const i64 first = total * s / panels, count = total * (s + 1) / panels - first;
    PanelTask task{q, 0, q.terms, q.offsets, at.plane, 0, {}, {}, {}, {}};
    const Pieces* of[POSITIONS] = {};
    for (i64 v = 0; v < count; ++v) {
      const i64 image = (first + v) / places.vectors, u = (first + v) % places.vectors;
      const Spot& spot = places.spots[u];
      of[v] = places.pieces ? places.of + u : nullptr;
      task.from[v] = at.source + image * at.sourceStep + (places.pieces ? 0 : spot.in);
      task.out[v] = at.out + image * at.outStep + spot.out;
      task.mask[v] = spot.mask;
      task.count[v] = spot.count;
    }
    if (!places.pieces) {
      panelTiles<Weights>(task, count);
      continue;
    }
    PanelTask packed = task;
    packed.offsets = steps.at;
    for (i64 v = 0; v < count; ++v) packed.from[v] = room + v * W;
    for (; packed.term == 0 || packed.term < q.terms; packed.term += depth) {
      packed.terms = least(depth, q.terms - packed.term);
      for (i64 v = 0; v < count; ++v)
        packPieces(room + v * W, task.from[v], places.pieces + of[v]->first, of[v]->count,
                   q.offsets + packed.term, packed.terms);
      panelTiles<Weights>(packed, count);
    }
  }
}

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
