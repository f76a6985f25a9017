// Lanes rearranged: pairs split and joined, which is how images of every second pixel are read and written,
// and lanes read under a mask, as at the ends of rows.
#pragma once
#include <utility>

#include "loop.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

#if defined(__clang__)
template <class V, class At, int... K>
INLINE V shuffleBy(V a, V b, At at, std::integer_sequence<int, K...>) {
  return __builtin_shufflevector(a, b, at(K)...);
}
#endif

/** Lane k of the result is lane at(k) of a and b side by side. `at` captures nothing; it takes numbers for
 * clang, which wants constants, and a vector for GCC, which takes constants from version 12 on only. */
template <class V, class At>
INLINE V shuffle(V a, V b, At at) {
#if defined(__clang__)
  return shuffleBy(a, b, at, std::make_integer_sequence<int, W>{});
#else
  return __builtin_shuffle(a, b, at(lanes()));
#endif
}

/** Lanes 0, 2, 4, … and 1, 3, 5, … of a and b side by side. */
INLINE vf evens(vf a, vf b) {
  return shuffle(a, b, [](auto k) { return k * 2; });
}
INLINE vf odds(vf a, vf b) {
  return shuffle(a, b, [](auto k) { return k * 2 + 1; });
}
/** The first and the second half of a[0], b[0], a[1], b[1], … */
INLINE vf pairsLow(vf a, vf b) {
  return shuffle(a, b, [](auto k) { return (k >> 1) + (k & 1) * W; });
}
INLINE vf pairsHigh(vf a, vf b) {
  return shuffle(a, b, [](auto k) { return (k >> 1) + (k & 1) * W + W / 2; });
}

/** Elements 0, 2, 4, … and 1, 3, 5, … of 2 count ≤ 2W consecutive ones. */
template <class How>
INLINE void splitPairs(How how, const float* x, vf& even, vf& odd) {
  vf a, b;
  if (how.count == W) {
    a = loadAs<vf>(x);
    b = loadAs<vf>(x + W);
  } else {
    a = loadPart(x, static_cast<int>(least(W, 2 * how.count)));
    b = 2 * how.count > W ? loadPart(x + W, 2 * how.count - W) : vf{};
  }
  even = evens(a, b);
  odd = odds(a, b);
}

/** Stores even[0], odd[0], even[1], odd[1], …: 2 count elements. */
template <class How>
INLINE void storePairs(How how, float* to, vf even, vf odd) {
  const vf first = pairsLow(even, odd), second = pairsHigh(even, odd);
  if (how.count == W) {
    storeAs(to, first);
    storeAs(to + W, second);
    return;
  }
  storePart(to, first, static_cast<int>(least(W, 2 * how.count)));
  if (2 * how.count > W) storePart(to + W, second, 2 * how.count - W);
}

/** Some consecutive lanes of a vector; the others load as 0 and read nothing. */
struct LaneRange {
#if defined(__AVX512F__)
  __mmask16 mask;
  INLINE_MEMBER LaneRange(int first, int count)
      : mask(static_cast<__mmask16>(((1u << count) - 1) << first)) {}
  INLINE_MEMBER vf load(const float* p) const { return _mm512_maskz_loadu_ps(mask, p); }
#elif defined(__AVX2__)
  vi mask;
  INLINE_MEMBER LaneRange(int first, int count) : mask((lanes() >= first) & (lanes() < first + count)) {}
  INLINE_MEMBER vf load(const float* p) const {
    return _mm256_maskload_ps(p, reinterpret_cast<__m256i>(mask));
  }
#else
  int first, end;
  INLINE_MEMBER LaneRange(int first_, int count) : first(first_), end(first_ + count) {}
  INLINE_MEMBER vf load(const float* p) const {
    vf v = {};
    for (int k = 0; k < W; ++k)
      if (k >= first && k < end) v[k] = p[k];
    return v;
  }
#endif
};

/** The lanes of a mask; the others load as 0, and are neither read nor written. */
struct Lanes {
#if defined(__AVX512F__)
  __mmask16 mask;
  INLINE_MEMBER explicit Lanes(uint32_t lanes) : mask(static_cast<__mmask16>(lanes)) {}
  INLINE_MEMBER static vf load(__mmask16 mask, const float* p) { return _mm512_maskz_loadu_ps(mask, p); }
  INLINE_MEMBER void store(float* p, vf v) const { _mm512_mask_storeu_ps(p, mask, v); }
#elif defined(__AVX2__)
  vi mask;
  INLINE_MEMBER explicit Lanes(uint32_t from) : mask(-((splat(static_cast<int32_t>(from)) >> lanes()) & 1)) {}
  INLINE_MEMBER static vf load(vi mask, const float* p) {
    return _mm256_maskload_ps(p, reinterpret_cast<__m256i>(mask));
  }
  INLINE_MEMBER void store(float* p, vf v) const {
    _mm256_maskstore_ps(p, reinterpret_cast<__m256i>(mask), v);
  }
#else
  uint32_t mask;
  INLINE_MEMBER explicit Lanes(uint32_t lanes) : mask(lanes) {}
  INLINE_MEMBER static vf load(uint32_t mask, const float* p) {
    if (mask == (1u << W) - 1) return loadAs<vf>(p);
    vf v = {};
    for (int k = 0; k < W; ++k)
      if (mask >> k & 1) v[k] = p[k];
    return v;
  }
  INLINE_MEMBER void store(float* p, vf v) const {
    if (mask == (1u << W) - 1) return storeAs(p, v);
    for (int k = 0; k < W; ++k)
      if (mask >> k & 1) p[k] = v[k];
  }
#endif
  INLINE_MEMBER vf load(const float* p) const { return load(mask, p); }
};

/** The lanes l of a vector for which from ≤ first + l < to. */
INLINE LaneRange lanesWithin(i64 first, i64 from, i64 to) {
  const i64 begin = least(W, most(0, from - first)), end = most(begin, least(W, to - first));
  return LaneRange(static_cast<int>(begin), static_cast<int>(end - begin));
}

/** Columns of a row that a tap meets for a vector of outputs: every `Step`-th from column `at` on; columns
 * outside the row are 0 and not read. */
template <int Step>
struct Columns;
template <>
struct Columns<1> {
  i64 at;
  LaneRange range;
  Columns(i64 at_, i64 width) : at(at_), range(lanesWithin(at_, 0, width)) {}
  INLINE_MEMBER vf load(const float* row) const { return range.load(row + at); }
};
template <>
struct Columns<2> {
  i64 at;
  LaneRange low, high;
  Columns(i64 at_, i64 width)
      : at(at_), low(lanesWithin(at_, 0, width)), high(lanesWithin(at_ + W, 0, width)) {}
  INLINE_MEMBER vf load(const float* row) const { return evens(low.load(row + at), high.load(row + at + W)); }
};

/** What a tap of a gradient by the input reads of g, for a vector of outputs of one parity. */
struct Shifted {
  bool odd;
  i64 at;
  LaneRange range;

  /** Column j of the gradient's first pixel of that parity meets column `at` of g. */
  static Shifted of(i64 first, i64 step, i64 ow) {
    const bool odd = step == 2 && first & 1;
    const i64 at = (first + odd) / step;
    return {odd, at, lanesWithin(at, 0, ow)};
  }
};

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
