// Convolution and its gradient by the input, as implicit matrix products: weights are packed once, images are
// read where they lie or from a padded copy, band by band, and the outputs of a band are one product.
#pragma once
#include "depthwise.h"
#include "panels.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

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
/** Reals that a task copies and keeps at most, so that they stay in L2; vectors of positions that it has at
 * least, so that panels are full. */
constexpr i64 BAND_REALS = 98304, LEAST_VECTORS = 12;

/** How images are cut among tasks: small ones together, large ones in bands of rows. Outputs do not depend on
 * it. */
struct Bands {
  i64 together, rows, groups, bands;

  /** Images of rows × cols positions; a row of them costs `reals`. */
  Bands(i64 images, i64 allRows, i64 cols, i64 reals, i64 wanted) {
    const i64 vectors = ceilDiv(allRows * cols, W);
    together = most(1, least(images, least(ceilDiv(LEAST_VECTORS, most(1, vectors)),
                                           BAND_REALS / (reals * allRows + 1))));
    // Never so many that a thread has nothing to do.
    together = most(1, least(together, images / wanted));
    groups = ceilDiv(images, together);
    const i64 least_ = least(allRows, ceilDiv(LEAST_VECTORS * W, most(1, cols)));
    const i64 parts = most(ceilDiv(reals * allRows, BAND_REALS), ceilDiv(wanted, groups));
    rows = together > 1 ? allRows : most(least_, ceilDiv(allRows, parts));
    bands = ceilDiv(allRows, rows);
  }
  i64 tasks() const { return groups * bands; }
};

/** How the positions of a band become vectors. */
enum class Order { FLAT, GAPS, PACKED };

/** Packing a vector for a term costs about as much as 7 products of channels with it, measured with AVX-512.
 * Planes that give one term each lie so far apart that every read would miss; packed, it does so once. */
INLINE Order orderOf(const Grid& grid, i64 channels, i64 taps) {
  if (taps == 1 && channels >= 32) return Order::PACKED;
  return (grid.flat() - grid.dense()) * channels > 7 * grid.dense() ? Order::PACKED : Order::FLAT;
}

/** The places of a grid's bands of `rows` rows: of whole bands, and of the last one. */
struct BandPlaces {
  Grid whole, last;
  Order order;
  Places inWhole, inLast;

  BandPlaces(i64 rows, i64 allRows, i64 cols, i64 pitch)
      : whole{least(rows, allRows), cols, pitch},
        last{allRows == 0 ? 0 : (allRows - 1) % rows + 1, cols, pitch},
        order(Order::FLAT),
        inWhole{},
        inLast{} {}

  static i64 vectors(const Grid& grid) { return most(grid.runningOn(), most(grid.flat(), grid.dense())); }
  /** Bytes of the lists. */
  i64 room() const {
    return 4 * 64 + (vectors(whole) + vectors(last)) * static_cast<i64>(sizeof(Spot) + sizeof(Pieces)) +
           (whole.mostPieces() + last.mostPieces()) * static_cast<i64>(sizeof(Piece)) + 2 * 64;
  }
  void list(Divider& scratch) {
    inWhole = placesOf(whole, scratch);
    inLast = placesOf(last, scratch);
  }

 private:
  Places placesOf(const Grid& grid, Divider& scratch) const {
    Spot* spots = scratch.take<Spot>(vectors(grid));
    if (order == Order::PACKED) {
      Pieces* of = scratch.take<Pieces>(grid.dense());
      Piece* pieces = scratch.take<Piece>(grid.mostPieces());
      grid.listDense(spots, of, pieces);
      return {grid.dense(), spots, of, pieces};
    }
    if (order == Order::GAPS) return {grid.listGaps(spots), spots, nullptr, nullptr};
    grid.listFlat(spots);
    return {grid.flat(), spots, nullptr, nullptr};
  }
};

namespace rows {

static void conv2d(Context& cx, float* y, const float* x, const float* w, const float* bias, i64 n, i64 c,
                   i64 h, i64 width, i64 k, i64 r, i64 s, i64 sh, i64 sw, i64 ph, i64 pw, i64 dh, i64 dw,
                   i64 groups) {
  const Conv q(n, c, h, width, k, r, s, sh, sw, ph, pw, dh, dw, groups);
  if (n * k * q.oh * q.ow == 0) return;
  if (isDepthwise(q)) return (r == 3 ? depthwiseForward<3> : depthwiseForward<5>)(cx, y, x, w, bias, q);
  const i64 terms = q.cg * r * s, plane = q.oh * q.ow;
  const int threads = n * k * plane * terms < 2 * CONV_GRAIN ? 1 : cx.threads;
  // Products of whole planes need no copy.
  const bool direct = r * s * sh * sw == 1 && ph + pw == 0 && q.kg >= 32;
  const i64 rowReals = direct ? 0 : q.cg * sh * Padded::forBand(q, 1).pitch * sw;
  const Bands cut(n, q.oh, q.ow, rowReals, threads == 1 ? 1 : ceilDiv(4 * threads, groups));
  const Padded copy = direct ? Padded{q.cg, h, 1, 1, width, 0, 0} : Padded::forBand(q, cut.rows);
  BandPlaces places(cut.rows, q.oh, q.ow, copy.pitch);
  places.order = orderOf(places.whole, q.kg, r * s);

  const i64 room = direct ? 0 : copy.size(), each = PANEL_TERMS * PANEL_COLS + cut.together * room;
  Divider scratch{static_cast<char*>(
      reserve(cx, Divider::bytes(terms, 4) + places.room() + Divider::bytes(threads * each, 4)))};
  int32_t* offsets = scratch.take<int32_t>(terms);
  places.list(scratch);
  float* memory = scratch.take<float>(threads * each);
  copy.listTerms(q, offsets);

  for (i64 m = 0; !direct && m < threads * cut.together; ++m)
    copy.clear(memory + m / cut.together * each + PANEL_TERMS * PANEL_COLS + m % cut.together * room);

  parallel(threads, cut.tasks() * groups, [&](i64 task, int worker) {
    const i64 g = task % groups, band = task / groups % cut.bands,
              i = task / groups / cut.bands * cut.together;
    const i64 count = least(cut.together, n - i), top = band * cut.rows;
    float* panel = memory + worker * each;
    const float* source = x + (i * c + g * q.cg) * h * width;
    Between at{count,         source + top * width,
               c * h * width, y + (i * k + g * q.kg) * plane + top * q.ow,
               k * plane,     plane};
    if (!direct) {
      float* copies = panel + PANEL_TERMS * PANEL_COLS;
      for (i64 m = 0; m < count; ++m)
        copy.fill(copies + m * room, source + m * c * h * width, h, width, top * sh - ph);
      at.source = copies;
      at.sourceStep = room;
    }
    const Implicit product{q.kg, terms, offsets, w + g * q.kg * terms, bias ? bias + g * q.kg : nullptr};
    panelProduct<WeightRows>(product, band == cut.bands - 1 ? places.inLast : places.inWhole, at, panel);
  });
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
