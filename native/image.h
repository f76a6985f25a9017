// Images for convolution: a zero-padded copy in which every term of a convolution is a fixed offset, so that
// rows of the implicit matrix are read where they lie and never gathered. Columns are split by stride, which
// makes every read dense.
#pragma once
#include "lanes.h"

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

/** A padded copy of `planes` planes. Rows and columns are split by the steps of the convolution, so that what
 * neighbouring outputs read lies side by side: rowPhases × phases blocks of rows × pitch reals a plane.
 * Padded row `top` and column `left` hold the source's first. */
struct Padded {
  i64 planes, rows, rowPhases, phases, pitch, top, left;

  /** For a band of `band` rows of outputs; `left` and what an output reads beyond the row are zeros. */
  static Padded forBand(const Conv& q, i64 band) {
    const i64 tall = (most(1, band) - 1) * q.sh + (q.r - 1) * q.dh,
              wide = (most(1, q.ow) - 1) * q.sw + (q.s - 1) * q.dw;
    // With stride 1 a row's right margin is the next one's left.
    const bool shared = q.sw == 1 && wide + 1 - q.pw - q.w <= q.pw;
    // Vectors that run over the ends of rows need room for all outputs of one.
    const i64 pitch = shared ? most(q.pw + q.w, q.ow) : wide / q.sw + 1;
    return {q.cg, tall / q.sh + 1, q.sh, q.sw, pitch, q.ph, q.pw};
  }

  i64 plane() const { return rowPhases * phases * rows * pitch; }
  /** Reals of the copy; vectors that begin inside may end beyond it by their own length. */
  i64 size() const {
    const i64 reals = roundUp(planes * plane() + left + 2 * W, 16);
    // Offsets are 32-bit; padding that makes a larger image than that is a mistake, and no memory holds it.
    if (rowPhases * rows > INT32_MAX || phases * pitch > INT32_MAX || reals > INT32_MAX) outOfMemory();
    return reals;
  }
  /** Offset of padded row y and column x. */
  i64 at(i64 plane_, i64 y, i64 x) const {
    return plane_ * plane() + ((y % rowPhases * phases + x % phases) * rows + y / rowPhases) * pitch +
           x / phases;
  }
  /** Where the terms (plane, row, column of the kernel) read for the first output. */
  void listTerms(const Conv& q, int32_t* offsets) const {
    for (i64 c = 0; c < q.cg; ++c)
      for (i64 u = 0; u < q.r; ++u)
        for (i64 v = 0; v < q.s; ++v) *offsets++ = static_cast<int32_t>(at(c, u * q.dh, v * q.dw));
  }
  /** Copies planes of h × w; padded row 0 is row `first` of the source. What lies left and right must be 0
   * already and stays so; rows outside become 0. Inlined, as GCC does in some units and not in others:
   * 28 × 28 by SSE2 takes 2.70 ms so, 2.86 as a call. */
  INLINE_MEMBER void fill(float* out, const float* x, i64 h, i64 w, i64 first) const {
    const RowCopy copy(*this, w);
    for (i64 p = 0; p < planes; ++p, x += h * w)
      for (i64 a = 0; a < rowPhases; ++a) {
        float* to = out + p * plane() + a * phases * rows * pitch;
        for (i64 t = 0, y = first + a; t < rows; ++t, y += rowPhases, to += pitch)
          if (y >= 0 && y < h)
            copy.run(to, x + y * w);
          else
            for (i64 f = 0; f < phases; ++f) std::memset(to + f * rows * pitch, 0, pitch * sizeof(float));
      }
  }
  /** Clears a copy before it is filled for the first time. */
  void clear(float* out) const { std::memset(out, 0, size() * sizeof(float)); }

 private:
  /** How a row of the source is copied: it begins in phase `left` mod phases, and phases lie `step` apart. */
  struct RowCopy {
    i64 phases, step, left, count, even, odd;

    RowCopy(const Padded& q, i64 w)
        : phases(q.phases),
          step(q.rows * q.pitch),
          left(q.left),
          count(most(0, least(w, q.phases * q.pitch - q.left))),
          even(place(0)),
          odd(place(1)) {}
    i64 place(i64 x) const { return (left + x) % phases * step + (left + x) / phases; }

    void run(float* out, const float* from) const {
      if (phases == 1) {
        out += left;
        i64 k = 0;
        for (; k + W <= count; k += W) storeAs(out + k, loadAs<vf>(from + k));
        if (k < count)
          storePart(out + k, loadPart(from + k, static_cast<int>(count - k)), static_cast<int>(count - k));
      } else if (phases == 2) {
        runPairs(out, from);
      } else {
        for (i64 f = 0; f < least(phases, count); ++f) {
          float* to = out + place(f);
          for (i64 k = f; k < count; k += phases) *to++ = from[k];
        }
      }
    }
    void runPairs(float* out, const float* from) const {
      const auto split = [=](auto how, i64 k) __attribute__((always_inline)) {
        vf a, b;
        splitPairs(how, from + 2 * k, a, b);
        how.store(out + even + k, a);
        how.store(out + odd + k, b);
      };
      const i64 pairs = count / 2;
      i64 k = 0;
      for (; k + W <= pairs; k += W) split(Whole{}, k);
      if (k < pairs) split(Part{static_cast<int>(pairs - k)}, k);
      if (count % 2) out[even + pairs] = from[count - 1];
    }
  };
};

/** A vector of positions: where it reads, where its outputs go, and which lanes are outputs. */
struct Spot {
  int32_t in, out;
  uint32_t mask;
  int32_t count;
};

constexpr uint32_t ALL = W == 32 ? ~0u : (1u << W) - 1;

/** rows × cols positions whose rows begin `pitch` apart in the source. */
struct Grid {
  i64 rows, cols, pitch;

  i64 size() const { return rows * cols; }
  /** Vectors of W positions, wherever rows end. */
  i64 dense() const { return ceilDiv(size(), W); }
  /** Vectors that run over the gaps between rows, or begin with each row if those are no more. */
  i64 flat() const { return least(byRows(), runningOn()); }
  i64 runningOn() const { return size() == 0 ? 0 : ceilDiv((rows - 1) * pitch + cols, W); }
  i64 byRows() const { return rows * ceilDiv(cols, W); }

  void listFlat(Spot* spots) const {
    if (byRows() <= runningOn()) return listRows(spots);
    const i64 end = (rows - 1) * pitch + cols;
    int32_t done = 0;
    for (i64 u = 0; u < runningOn(); ++u) {
      const i64 q = u * W;
      Spot spot{static_cast<int32_t>(q), done, 0, 0};
      for (int lane = 0; lane < W; ++lane)
        if (q + lane < end && (q + lane) % pitch < cols) {
          spot.mask |= 1u << lane;
          ++spot.count;
        }
      done += spot.count;
      spots[u] = spot;
    }
  }
  /** As listFlat, with the gaps among the outputs; returns their number. */
  i64 listGaps(Spot* spots) const {
    const bool each = cols % W == 0;
    const i64 count = each ? byRows() : runningOn(), across = each ? cols / W : count;
    for (i64 u = 0; u < count; ++u) {
      const int32_t at = static_cast<int32_t>(u / across * pitch + u % across * W);
      spots[u] = {at, at, ALL, W};
    }
    return count;
  }
  void listRows(Spot* spots) const {
    for (i64 i = 0; i < rows; ++i)
      for (i64 j = 0; j < cols; j += W) {
        const int count = static_cast<int>(least(W, cols - j));
        *spots++ = {static_cast<int32_t>(i * pitch + j), static_cast<int32_t>(i * cols + j),
                    count == W ? ALL : (1u << count) - 1, count};
      }
  }
  /** Vectors of W outputs; where they read is listed apart. */
  void listDense(Spot* spots) const {
    for (i64 p = 0; p < size(); p += W) {
      const int count = static_cast<int>(least(W, size() - p));
      *spots++ = {0, static_cast<int32_t>(p), count == W ? ALL : (1u << count) - 1, count};
    }
  }
};

/** Stores the lanes that are outputs of R vectors side by side; vectors go `plane` apart. */
template <int R, class Get>
INLINE void storeSpot(const Get& get, float* out, i64 plane, uint32_t mask, int count) {
  if (mask == ALL) {
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) storeAs(out + i * plane, get(i));
    return;
  }
#if defined(__AVX512F__)
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i)
    storePart(out + i * plane, _mm512_maskz_compress_ps(static_cast<__mmask16>(mask), get(i)), count);
#else
  if ((mask & (mask + 1)) == 0) {
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) storePart(out + i * plane, get(i), count);
    return;
  }
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) {
    float lane[W];
    storeAs(lane, get(i));
    float* to = out + i * plane;
    for (int k = 0; k < W; ++k)
      if (mask >> k & 1) *to++ = lane[k];
  }
#endif
}

/** The lanes that are outputs, side by side. */
INLINE vf sideBySide(vf x, uint32_t mask, int count) {
  if ((mask & (mask + 1)) == 0) return x;
#if defined(__AVX512F__)
  (void)count;
  return _mm512_maskz_compress_ps(static_cast<__mmask16>(mask), x);
#else
  float lane[W];
  storeSpot<1>([=](int) { return x; }, lane, 0, mask, count);
  return loadPart(lane, count);
#endif
}

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
