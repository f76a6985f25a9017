// Images for convolution: a zero-padded copy in which every term of a convolution is a fixed offset, so that
// rows of the implicit matrix are read where they lie and never gathered. Columns are split by stride, which
// makes every read dense.
#pragma once
#include "loop.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** The numbers of a convolution, and what follows from them. */
struct Conv {
  i64 n, c, h, w, k, r, s, sh, sw, ph, pw, dh, dw, groups;
  i64 oh, ow, cg, kg;

  Conv(i64 n_, i64 c_, i64 h_, i64 w_, i64 k_, i64 r_, i64 s_, i64 sh_, i64 sw_, i64 ph_, i64 pw_, i64 dh_,
       i64 dw_, i64 groups_)
      : n(n_),
        c(c_),
        h(h_),
        w(w_),
        k(k_),
        r(r_),
        s(s_),
        sh(most(1, sh_)),
        sw(most(1, sw_)),
        ph(ph_),
        pw(pw_),
        dh(dh_),
        dw(dw_),
        groups(most(1, groups_)) {
    oh = outputs(h, r, sh, ph, dh);
    ow = outputs(w, s, sw, pw, dw);
    cg = c / groups;
    kg = k / groups;
  }
  static i64 outputs(i64 size, i64 kernel, i64 stride, i64 pad, i64 dilation) {
    const i64 room = size + 2 * pad - dilation * (kernel - 1) - 1;
    return room < 0 ? 0 : room / stride + 1;
  }
};

/** A padded copy of `planes` planes: rows × phases × pitch reals each, of which [top, left] on hold the
 * source. */
struct Padded {
  i64 planes, rows, phases, pitch, top, left;

  i64 plane() const { return rows * phases * pitch; }
  /** Reals of the copy; vectors that begin inside may end beyond it by their own length. */
  i64 size() const {
    const i64 reals = roundUp(planes * plane() + 2 * W, 16);
    // Offsets are 32-bit; padding that makes a larger image than that is a mistake, and no memory holds it.
    if (rows > INT32_MAX || phases * pitch > INT32_MAX || reals > INT32_MAX) outOfMemory();
    return reals;
  }
  /** Offset of padded row y and column x. */
  i64 at(i64 plane_, i64 y, i64 x) const {
    return plane_ * plane() + (y * phases + x % phases) * pitch + x / phases;
  }
  /** Copies planes of h × w; what lies round them must be 0 already and stays so. */
  void fill(float* out, const float* x, i64 h, i64 w) const {
    const i64 last = least(h, rows - top), count = least(w, phases * pitch - left);
    for (i64 p = 0; p < planes; ++p, x += h * w)
      for (i64 y = 0; y < last; ++y) {
        const float* from = x + y * w;
        if (phases == 1) {
          float* to = out + at(p, y + top, left);
          span(0, count, [=](auto how, i64 k) { how.store(to + k, how.load(from + k)); });
          continue;
        }
        for (i64 f = 0; f < least(phases, count); ++f) {
          float* to = out + at(p, y + top, left + f);
          for (i64 k = f, j = 0; k < count; k += phases, ++j) to[j] = from[k];
        }
      }
  }
};

/** Consecutive outputs that one vector holds: where it reads, where it writes, and which lanes are outputs.
 */
struct Spot {
  int32_t in, out;
  uint32_t mask;
  int32_t count;
};

constexpr uint32_t ALL = W == 32 ? ~0u : (1u << W) - 1;

/** `rows` × `cols` outputs whose rows begin `pitch` apart in the padded copy. */
struct Field {
  i64 rows, cols, pitch;
  /** Output index of the first, and steps from row to row and from column to column. */
  i64 out, rowStep, colStep;
  /** Terms that a vector of outputs sums. */
  i64 terms;

  /** Vectors may run over the ends of rows when outputs are dense and that saves more than the gaps cost:
   * about 8 terms. */
  bool runsOn() const {
    const i64 flat = ceilDiv((rows - 1) * pitch + cols, W), byRows = rows * ceilDiv(cols, W);
    return colStep == 1 && rowStep == cols && (byRows - flat) * terms > 8 * byRows;
  }
  i64 count() const {
    if (rows == 0 || cols == 0) return 0;
    return runsOn() ? ceilDiv((rows - 1) * pitch + cols, W) : rows * ceilDiv(cols, W);
  }
  void list(Spot* spots) const {
    if (rows == 0 || cols == 0) return;
    if (!runsOn()) {
      for (i64 i = 0; i < rows; ++i)
        for (i64 j = 0; j < cols; j += W) {
          const int count = static_cast<int>(least(W, cols - j));
          *spots++ = {static_cast<int32_t>(i * pitch + j),
                      static_cast<int32_t>(out + i * rowStep + j * colStep),
                      count == W ? ALL : (1u << count) - 1, count};
        }
      return;
    }
    const i64 end = (rows - 1) * pitch + cols;
    int32_t done = 0;
    for (i64 q = 0; q < end; q += W) {
      Spot spot{static_cast<int32_t>(q), static_cast<int32_t>(out) + done, 0, 0};
      for (int lane = 0; lane < W; ++lane)
        if (q + lane < end && (q + lane) % pitch < cols) {
          spot.mask |= 1u << lane;
          ++spot.count;
        }
      done += spot.count;
      *spots++ = spot;
    }
  }
};

/** Stores the lanes that are outputs of R vectors, side by side or `step` apart; vectors go `plane` apart. */
template <int R, class Get>
INLINE void storeSpot(float* out, const Get& get, const Spot& spot, i64 plane, i64 step) {
  out += spot.out;
  if (step == 1 && spot.mask == ALL) {
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) storeAs(out + i * plane, get(i));
    return;
  }
  if (step == 1 && (spot.mask & (spot.mask + 1)) == 0) {
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) storePart(out + i * plane, get(i), spot.count);
    return;
  }
#if defined(__AVX512F__)
  if (step == 1) {
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i)
      storePart(out + i * plane, _mm512_maskz_compress_ps(static_cast<__mmask16>(spot.mask), get(i)),
                spot.count);
    return;
  }
#endif
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) {
    float lane[W];
    storeAs(lane, get(i));
    float* to = out + i * plane;
    for (int k = 0; k < W; ++k)
      if (spot.mask >> k & 1) {
        *to = lane[k];
        to += step;
      }
  }
}

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
