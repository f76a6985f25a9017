// Lanes rearranged: pairs split and joined, which is how images of every second pixel are read and written,
// and lanes read under a mask.
#pragma once
#include "loop.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

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
  const vi lane = lanes();
  even = __builtin_shuffle(a, b, lane * 2);
  odd = __builtin_shuffle(a, b, lane * 2 + 1);
}

/** Stores even[0], odd[0], even[1], odd[1], …: 2 count elements. */
template <class How>
INLINE void storePairs(How how, float* to, vf even, vf odd) {
  const vi half = lanes() >> 1, side = (lanes() & 1) * W;
  const vf first = __builtin_shuffle(even, odd, half + side),
           second = __builtin_shuffle(even, odd, half + side + W / 2);
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

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
