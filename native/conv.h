// Convolution and its gradient by the input, as implicit matrix products: weights are packed once, images are
// read where they lie or from a padded copy, band by band, and the outputs of a band are one product.
#pragma once
#include "depthwise.h"
#include "panels.h"
#include "winogradconv.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

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
    // Nothing is copied: more of them cost nothing and leave fewer panels that are not full.
    const i64 enough = reals == 0 ? 4 * LEAST_VECTORS : LEAST_VECTORS;
    together =
        most(1, least(images, least(ceilDiv(enough, most(1, vectors)), BAND_REALS / (reals * allRows + 1))));
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

/** How the positions of a band become vectors: read where they lie in a padded copy, packed or with the gaps
 * between rows among the outputs, or gathered from the image itself. */
enum class Order { FLAT, GAPS, GATHERED };

/** Whether to gather from `inner` planes for `channels` outputs, whose vectors would else be read from a copy
 * of the grid `copied`. Gathering a vector for a term takes the time of about 4 products of channels with it,
 * and to begin with a tap that of 8 terms: with AVX-512, 64 channels at 8 × 8 gain 16 %, 64 at 14 × 14 (14
 * vectors for 13) nothing, and 32 at 16 × 16 lose 8 %, 16 from 6 by 5 × 5 taps 30 %. A single tap reads
 * nothing twice, so that a copy of its planes gains nothing. */
INLINE bool gathers(const Plane& image, const Grid& copied, i64 inner, i64 channels, i64 taps) {
  if (image.sw > 2) return false;
  if (taps == 1) return channels >= 16;
  return (copied.flat() - copied.dense()) * channels * inner > 4 * (inner + 8) * copied.dense();
}

/** The places of an image's bands of `rows` rows. */
class BandPlaces {
 public:
  /** Read from a copy in which rows lie `pitch` apart. */
  BandPlaces(Order order, i64 rows, i64 allRows, i64 cols, i64 pitch)
      : order_(order),
        rows_(most(1, rows)),
        bands_(ceilDiv(allRows, rows_)),
        whole_{least(rows_, allRows), cols, pitch},
        last_{allRows == 0 ? 0 : (allRows - 1) % rows_ + 1, cols, pitch} {}
  /** Gathered from `image` by taps. */
  BandPlaces(const Plane& image, const Tap* taps, i64 count, i64 rows, i64 allRows, i64 cols)
      : BandPlaces(Order::GATHERED, rows, allRows, cols, cols) {
    image_ = image;
    taps_ = taps;
    from_ = {count, image.h * image.w, image.sw == 2, nullptr};
  }

  /** Bytes of the lists. */
  i64 room() const {
    const i64 spots = 2 * Divider::bytes(vectors(whole_), sizeof(Spot)) + 2 * 64;
    if (order_ != Order::GATHERED) return spots;
    return spots + Divider::bytes(bands_ * whole_.dense() * from_.taps, sizeof(Reads)) +
           Divider::bytes(bands_ * ReadLister::most(whole_, image_) * from_.taps, sizeof(Read));
  }
  void list(Divider& scratch) {
    inWhole_ = listSpots(whole_, scratch);
    inLast_ = listSpots(last_, scratch);
    if (order_ != Order::GATHERED) return;
    reads_ = scratch.take<Reads>(bands_ * whole_.dense() * from_.taps);
    Read* reads = scratch.take<Read>(bands_ * ReadLister::most(whole_, image_) * from_.taps);
    from_.reads = reads;
    ReadLister lister(image_, reads_, reads);
    for (i64 band = 0; band < bands_; ++band)
      lister.add(band == bands_ - 1 ? last_ : whole_, band * rows_, taps_, from_.taps);
  }
  Places at(i64 band) const {
    Places places = band == bands_ - 1 ? inLast_ : inWhole_;
    if (order_ != Order::GATHERED) return places;
    places.from = &from_;
    places.reads = reads_ + band * whole_.dense() * from_.taps;
    return places;
  }

 private:
  Order order_;
  i64 rows_, bands_;
  Grid whole_, last_;
  Plane image_{};
  const Tap* taps_ = nullptr;
  Gathered from_{};
  Reads* reads_ = nullptr;
  Places inWhole_{}, inLast_{};

  static i64 vectors(const Grid& grid) { return most(grid.runningOn(), most(grid.flat(), grid.dense())); }
  Places listSpots(const Grid& grid, Divider& scratch) const {
    Spot* spots = scratch.take<Spot>(vectors(whole_));
    if (order_ == Order::GAPS) return {grid.listGaps(spots), spots, nullptr, nullptr};
    if (order_ == Order::FLAT) {
      grid.listFlat(spots);
      return {grid.flat(), spots, nullptr, nullptr};
    }
    grid.listDense(spots);
    return {grid.dense(), spots, nullptr, nullptr};
  }
};

namespace rows {

static void conv2d(Context& cx, float* y, const float* x, const float* w, const float* bias,
                   const float* residual, i64 n, i64 c, i64 h, i64 width, i64 k, i64 r, i64 s, i64 sh, i64 sw,
                   i64 ph, i64 pw, i64 dh, i64 dw, i64 groups, i64 act) {
  const Conv q(n, c, h, width, k, r, s, sh, sw, ph, pw, dh, dw, groups);
  if (n * k * q.oh * q.ow == 0) return;
  const Epilogue after{residual, y, static_cast<int>(act)};
  if (isDepthwise(q))
    return (r == 3 ? depthwiseForward<3> : depthwiseForward<5>)(cx, y, x, w, bias, after, q);
  const i64 taps = r * s, terms = q.cg * taps, plane = q.oh * q.ow;
  const int threads = n * k * plane * terms < 2 * CONV_GRAIN ? 1 : cx.threads;
  if (winogradFits(q) && winogradPays(OUTPUT_TILES, q.cg, q.kg, q.oh, q.ow)) {
    winograd(
        cx,
        {n, groups, q.cg, q.kg, h, width, q.oh, q.ow, ph, pw, q.cg * taps, taps, false, x, w, bias, y, after},
        threads);
    return;
  }
  const Plane image{h, width, q.sh, q.sw};
  const i64 pitch = Padded::forBand(q, 1).pitch;
  const bool gathered = gathers(image, {q.oh, q.ow, pitch}, q.cg, q.kg, taps);
  const i64 rowReals = gathered ? 0 : q.cg * q.sh * pitch * q.sw;
  const Bands cut(n, q.oh, q.ow, rowReals, threads == 1 ? 1 : ceilDiv(4 * threads, groups));
  const Padded copy = Padded::forBand(q, cut.rows);
  const i64 room = gathered ? 0 : copy.size(), each = PANEL_TERMS * PANEL_COLS + cut.together * room;

  Tap* reached = nullptr;
  const auto placesOf = [&] {
    return gathered ? BandPlaces(image, reached, taps, cut.rows, q.oh, q.ow)
                    : BandPlaces(Order::FLAT, cut.rows, q.oh, q.ow, pitch);
  };
  Divider scratch{
      static_cast<char*>(reserve(cx, Divider::bytes(terms, 4) + Divider::bytes(taps, sizeof(Tap)) +
                                         placesOf().room() + Divider::bytes(threads * each, 4)))};
  int32_t* offsets = scratch.take<int32_t>(terms);
  reached = scratch.take<Tap>(taps);
  for (i64 t = 0; t < taps; ++t) reached[t] = {t / s * dh - ph, t % s * dw - pw};
  BandPlaces places = placesOf();
  places.list(scratch);
  float* memory = scratch.take<float>(threads * each);
  if (!gathered) copy.listTerms(q, offsets);

  for (i64 m = 0; !gathered && m < threads * cut.together; ++m)
    copy.clear(memory + m / cut.together * each + PANEL_TERMS * PANEL_COLS + m % cut.together * room);

  parallel(threads, cut.tasks() * groups, [&](i64 task, int worker) {
    const i64 g = task % groups, band = task / groups % cut.bands,
              i = task / groups / cut.bands * cut.together;
    const i64 count = least(cut.together, n - i), top = band * cut.rows;
    float* panel = memory + worker * each;
    const float* source = x + (i * c + g * q.cg) * h * width;
    Between at{count, source, c * h * width, y + (i * k + g * q.kg) * plane + top * q.ow, k * plane, plane};
    // Groups and bands take turns at the same images.
    if (cut.bands * groups == 1) {
      at.ahead = source + count * c * h * width;
      at.aheadReals = least(cut.together, n - i - count) * c * h * width;
    }
    if (!gathered) {
      float* copies = panel + PANEL_TERMS * PANEL_COLS;
      for (i64 m = 0; m < count; ++m)
        copy.fill(copies + m * room, source + m * c * h * width, h, width, top * sh - ph);
      at.source = copies;
      at.sourceStep = room;
    }
    const Implicit product{q.kg, terms, offsets, w + g * q.kg * terms, bias ? bias + g * q.kg : nullptr,
                           after};
    panelProduct<WeightRows>(product, places.at(band), at, panel);
  });
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
