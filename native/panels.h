// Implicit matrix products of convolutions: register tiles of channels × positions sum over the terms
// (channel, row, column) in that order. A panel is a few vectors of positions. They are read where they lie,
// running over the gaps between rows, or gathered W by W first, in blocks of terms that depend on the shape
// alone.
#pragma once
#include "gathered.h"
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

/** Vectors of a panel that is not packed: few channels take more, so that sums fill the registers and no sum
 * waits for its last addition. */
constexpr int MOST_POSITIONS = W == 16 ? 8 : POSITIONS;
INLINE i64 positionsOf(i64 channels) {
  if (W < 16 || channels > 4) return POSITIONS;
  return channels > 2 ? 6 : 8;
}

/** Terms of a packed panel: with the tile's weights about two thirds of L1. */
constexpr i64 PANEL_TERMS = 192, PANEL_COLS = POSITIONS * W;

/** What is summed: terms, where each reads, and the weights. */
struct Implicit {
  i64 channels, terms;
  const int32_t* offsets;
  const float *weights, *bias;
  Epilogue after;
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
  Implicit q;
  i64 term, terms;
  const int32_t* offsets;
  i64 plane, channel;
  /** Fetched into L2 term by term, `aheadStep` bytes on each: what the next task reads. */
  const char* ahead;
  i64 aheadStep;
  const float* from[MOST_POSITIONS];
  float* out[MOST_POSITIONS];
  uint32_t mask[MOST_POSITIONS];
  int count[MOST_POSITIONS];
};

/** Stores a tile that ends with more than a relu: once a vector of outputs, not once for each variant. */
static __attribute__((noinline)) void finishTile(const PanelTask& t, const float* sums, int channels,
                                                 int vectors) {
  const Keeping subnormals;
  const Epilogue& after = t.q.after;
  const auto finish = [&](auto how, vf x, float* out) {
    if (after.residual) x += how.load(after.residualFor(out));
    how.store(out, activate(after.act, x));
  };
  for (int v = 0; v < vectors; ++v)
    for (int i = 0; i < channels; ++i, sums += W) {
      const vf x = sideBySide(loadAs<vf>(sums), t.mask[v], t.count[v]);
      float* out = t.out[v] + i * t.plane;
      if (t.count[v] == W)
        finish(Whole{}, x, out);
      else
        finish(Part{t.count[v]}, x, out);
    }
}

template <class Weights, int R, int V>
static void panelTile(const PanelTask& t) {
  vf acc[R][V];
  Weights weights(t.q, t.channel, R, t.term);
  const float* bias = t.q.bias;
  const float* from[V];
#pragma GCC unroll 8
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
  const char* ahead = t.ahead;
  for (; offset < end; ++offset, ahead += t.aheadStep) {
    __builtin_prefetch(ahead, 0, 2);
    vf row[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) row[v] = loadAs<vf>(from[v] + *offset);
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      const vf factor = weights.at(i);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) acc[i][v] = fma(factor, row[v], acc[i][v]);
    }
    weights.template next<R>();
  }
  const Epilogue& after = t.q.after;
  const bool ends = t.term + t.terms == t.q.terms;
  if (ends && after.isRelu())
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v)
#pragma GCC unroll 8
      for (int i = 0; i < R; ++i) acc[i][v] = activate(RELU, acc[i][v]);
  else if (ends && after.any()) {
    float sums[V * R * W];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v)
#pragma GCC unroll 8
      for (int i = 0; i < R; ++i) storeAs(sums + (v * R + i) * W, acc[i][v]);
    return finishTile(t, sums, R, V);
  }
#pragma GCC unroll 8
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

#if defined(__AVX512F__)
/** Tiles of few channels. */
template <class Weights, int R>
INLINE PanelKernel wideTileOf(i64 vectors) {
  static const PanelKernel table[] = {
      &panelTile<Weights, R, 4>,
      &panelTile<Weights, R, 5>,
      &panelTile<Weights, R, 6>,
      &panelTile < Weights,
      R,
      R <= 2 ? 7 : 6 >
      , &panelTile < Weights, R, R <= 2 ? 8 : 6 >,
  };
  return table[vectors - 4];
}
#endif

template <class Weights>
INLINE PanelKernel panelTileOf(i64 channels, i64 vectors) {
#if defined(__AVX512F__)
  if (vectors > 3) {
    if (channels == 1) return wideTileOf<Weights, 1>(vectors);
    if (channels == 2) return wideTileOf<Weights, 2>(vectors);
    return channels == 3 ? wideTileOf<Weights, 3>(vectors) : wideTileOf<Weights, 4>(vectors);
  }
#endif
#if defined(__AVX2__) || defined(__ARM_NEON)
  if (vectors >= 3) return panelTileOf<Weights, 3>(channels);
#endif
  return vectors >= 2 ? panelTileOf<Weights, 2>(channels) : panelTileOf<Weights, 1>(channels);
}

/** All channels of a panel of `count` vectors. */
template <class Weights>
static void panelTiles(PanelTask& task, i64 count) {
  const i64 channels = task.q.channels;
  if (channels <= CHANNELS) {
    panelTileOf<Weights>(channels, count)(task);
    task.ahead += task.terms * task.aheadStep;
    return;
  }
  const i64 tiles = ceilDiv(channels, CHANNELS);
  for (i64 t = 0; t < tiles; ++t) {
    const i64 rows = tileStart(channels, tiles, t + 1) - task.channel;
    panelTileOf<Weights>(rows, count)(task);
    for (i64 v = 0; v < count; ++v) task.out[v] += rows * task.plane;
    task.channel += rows;
    task.ahead += task.terms * task.aheadStep;
  }
}

/** Offsets of the rows of a packed panel. */
struct PanelSteps {
  int32_t at[PANEL_TERMS];
  PanelSteps() {
    for (i64 p = 0; p < PANEL_TERMS; ++p) at[p] = static_cast<int32_t>(p * PANEL_COLS);
  }
};

/** The vectors of a grid; if they are gathered, with what each reads for every tap. */
struct Places {
  i64 vectors;
  const Spot* spots;
  const Gathered* from;
  const Reads* reads;
};

/** Where the images lie that a task reads and writes; `plane` from output channel to output channel. */
struct Between {
  i64 images;
  const float* source;
  i64 sourceStep;
  float* out;
  i64 outStep, plane;
  /** Reals that the next task reads, fetched into L2 meanwhile. */
  const float* ahead = nullptr;
  i64 aheadReals = 0;
};

/** Walks over the vectors of all images. */
struct Walker {
  const Places& places;
  const Between& at;
  i64 image, u;

  /** The next vector becomes the v-th of the task. */
  void next(PanelTask& task, i64 v) {
    const Spot& spot = places.spots[u];
    task.from[v] = at.source + image * at.sourceStep + spot.in;
    task.out[v] = at.out + image * at.outStep + spot.out;
    task.mask[v] = spot.mask;
    task.count[v] = spot.count;
    if (++u == places.vectors) {
      u = 0;
      ++image;
    }
  }
};

/** As panelProduct for one panel whose vectors begin at `from`, packed in blocks of `depth` terms. */
template <class Weights>
static void packedPanel(const PanelTask& task, i64 count, const Walker& from, i64 depth, float* room) {
  static const PanelSteps steps;
  const Gathered& gathered = *from.places.from;
  const i64 all = task.q.terms, taps = gathered.taps;
  const Reads* reads[POSITIONS];
  PanelTask packed = task;
  packed.offsets = steps.at;
  for (i64 v = 0; v < count; ++v) {
    reads[v] = from.places.reads + (from.u + v) % from.places.vectors * taps;
    packed.from[v] = room + v * W;
  }
  for (i64 p = 0; p == 0 || p < all; p += depth) {
    packed.term = p;
    packed.terms = least(depth, all - p);
    // Terms are (channel, tap).
    for (i64 t = 0; t < taps; ++t) {
      const i64 first = ceilDiv(most(0, p - t), taps), end = ceilDiv(most(0, p + packed.terms - t), taps);
      const float* sources[POSITIONS];
      const Reads* of[POSITIONS];
      for (i64 v = 0; v < count; ++v) {
        sources[v] = task.from[v] + first * gathered.plane;
        of[v] = reads[v] + t;
      }
      packTap<POSITIONS>({room + (first * taps + t - p) * PANEL_COLS, taps * PANEL_COLS, end - first}, count,
                         gathered, sources, of);
    }
    PanelTask block = packed;
    panelTiles<Weights>(block, count);
    packed.ahead = block.ahead;
  }
}

/** All channels at all places in every image. `room` holds PANEL_TERMS × PANEL_COLS. */
template <class Weights>
static void panelProduct(const Implicit& q, const Places& places, const Between& at, float* room) {
  const i64 total = at.images * places.vectors;
  const i64 panels = ceilDiv(total, places.from ? POSITIONS : positionsOf(q.channels));
  const i64 depth = q.terms == 0 ? 1 : ceilDiv(q.terms, ceilDiv(q.terms, PANEL_TERMS));
  Walker walker{places, at, 0, 0};
  const i64 reads = most(1, panels * ceilDiv(q.channels, CHANNELS) * q.terms);
  const i64 aheadStep = ceilDiv(at.aheadReals * static_cast<i64>(sizeof(float)), reads);
  for (i64 s = 0, first = 0; s < panels; ++s) {
    const i64 count = total * (s + 1) / panels - first;
    const Walker start = walker;
    PanelTask task;
    task.q = q;
    task.term = task.channel = 0;
    task.terms = q.terms;
    task.offsets = q.offsets;
    task.plane = at.plane;
    task.ahead = reinterpret_cast<const char*>(at.ahead) + aheadStep * (reads / panels) * s;
    task.aheadStep = aheadStep;
    for (i64 v = 0; v < count; ++v) walker.next(task, v);
    if (places.from)
      packedPanel<Weights>(task, count, start, depth, room);
    else
      panelTiles<Weights>(task, count);
    first += count;
  }
}

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
