// Operations of vectors that compilers have no operator for: extremes, roots, rounding, halves in double,
// sums over lanes.
#pragma once
#include "vec.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** x < low ? low : x: NaN and the sign of a 0 stay those of x. One instruction, where a comparison and a
 * choice are two to four. */
INLINE vf atLeast(vf x, vf low) {
#if defined(__AVX512F__)
  return _mm512_max_ps(low, x);
#elif defined(__AVX2__)
  return _mm256_max_ps(low, x);
#elif defined(__SSE2__)
  return _mm_max_ps(low, x);
#else
  return x < low ? low : x;
#endif
}
/** x > high ? high : x, in the same way. */
INLINE vf atMost(vf x, vf high) {
#if defined(__AVX512F__)
  return _mm512_min_ps(high, x);
#elif defined(__AVX2__)
  return _mm256_min_ps(high, x);
#elif defined(__SSE2__)
  return _mm_min_ps(high, x);
#else
  return x > high ? high : x;
#endif
}

INLINE vf root(vf x) {
#if defined(__AVX512F__)
  return _mm512_sqrt_ps(x);
#elif defined(__AVX2__)
  return _mm256_sqrt_ps(x);
#elif defined(__SSE2__)
  return _mm_sqrt_ps(x);
#else
  return vsqrtq_f32(x);
#endif
}

#if defined(__AVX512F__)
/** √x of zeros and of numbers from 2^-100 on: the estimate of 14 bits, one step of Goldschmidt, and what is
 * left of x is added in one rounding. */
INLINE vf rootByProducts(vf x, __mmask16 nonzero) {
  const vf y = _mm512_maskz_rsqrt14_ps(nonzero, x);
  vf s = x * y, h = 0.5f * y;
  const vf r = _mm512_fnmadd_ps(s, h, splat(0.5f));
  s = _mm512_fmadd_ps(s, r, s);
  h = _mm512_fmadd_ps(h, r, h);
  return _mm512_fmadd_ps(_mm512_fnmadd_ps(s, s, x), h, s);
}
#endif

/**
 * √x, the same bits as root(x), for loops that wait for the divider: with AVX-512 a square root takes it 12
 * cycles a vector, products and sums in its place 7. That they round correctly was seen by trying every
 * float32.
 */
INLINE vf quickRoot(vf x) {
#if defined(__AVX512F__)
  const __m512i u = reinterpret_cast<__m512i>(x);
  constexpr int least = 0x0d800000, infinite = 0x7f800000;
  const __mmask16 nonzero = _mm512_test_epi32_mask(u, u);
  const __mmask16 rare = _mm512_mask_cmp_epu32_mask(nonzero, _mm512_sub_epi32(u, _mm512_set1_epi32(least)),
                                                    _mm512_set1_epi32(infinite - least), _MM_CMPINT_NLT);
  if (__builtin_expect(rare == 0, 1)) return rootByProducts(x, nonzero);
#endif
  return root(x);
}

/** a b + c in one rounding where the instruction set can, else in two. */
INLINE vf fma(vf a, vf b, vf c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__)
  return _mm256_fmadd_ps(a, b, c);
#elif defined(__ARM_NEON)
  return vfmaq_f32(c, a, b);
#else
  return a * b + c;
#endif
}
INLINE vf fma(vf a, float b, vf c) { return fma(a, splat(b), c); }
INLINE vf fma(vf a, vf b, float c) { return fma(a, b, splat(c)); }
INLINE vd fma(vd a, vd b, vd c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_pd(a, b, c);
#elif defined(__FMA__)
  return _mm256_fmadd_pd(a, b, c);
#elif defined(__ARM_NEON)
  return vfmaq_f64(c, a, b);
#else
  return a * b + c;
#endif
}

INLINE bool any(vi mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask(reinterpret_cast<__m512i>(mask), reinterpret_cast<__m512i>(mask)) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_ps(reinterpret_cast<__m256>(mask)) != 0;
#elif defined(__SSE2__)
  return _mm_movemask_ps(reinterpret_cast<__m128>(mask)) != 0;
#else
  return vmaxvq_u32(reinterpret_cast<uint32x4_t>(mask)) != 0;
#endif
}

/** The first lane of a mask that is set; one is. */
INLINE int firstOf(vi mask) {
#if defined(__AVX512F__)
  return __builtin_ctz(_mm512_movepi32_mask(reinterpret_cast<__m512i>(mask)));
#elif defined(__AVX2__)
  return __builtin_ctz(_mm256_movemask_ps(reinterpret_cast<__m256>(mask)));
#elif defined(__SSE2__)
  return __builtin_ctz(_mm_movemask_ps(reinterpret_cast<__m128>(mask)));
#else
  int lane = 0;
  while (lane < W - 1 && !mask[lane]) ++lane;
  return lane;
#endif
}

/** Whether a NaN has gone by. */
class Unordered {
 public:
  /** Two vectors for the price of one comparison. */
  INLINE_MEMBER void look(vf a, vf b) {
#if defined(__AVX512F__)
    seen_ |= _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q);
#elif defined(__AVX2__)
    seen_ |= reinterpret_cast<vi>(_mm256_cmp_ps(a, b, _CMP_UNORD_Q));
#elif defined(__SSE2__)
    seen_ |= reinterpret_cast<vi>(_mm_cmpunord_ps(a, b));
#else
    seen_ |= (a != a) | (b != b);
#endif
  }
#if defined(__AVX512F__)
  INLINE_MEMBER bool seen() const { return seen_ != 0; }

 private:
  __mmask16 seen_ = 0;
#else
  INLINE_MEMBER bool seen() const { return any(seen_); }

 private:
  vi seen_{};
#endif
};

/** Whether all lanes are positive, finite and not subnormal. */
INLINE bool arePositiveNormal(vf x) {
#if defined(__AVX512F__)
  // All eight classes: NaN (two), zero (two), infinite (two), subnormal, negative.
  return _mm512_fpclass_ps_mask(x, 0xff) == 0;
#else
  return !any(~((x >= 0x1p-126f) & (x < __builtin_inff())));
#endif
}

INLINE vf magnitude(vf x) { return bits(bits(x) & 0x7fffffff); }
INLINE vf signOf(vf x) { return bits(bits(x) & splat(INT32_MIN)); }
INLINE vf withSign(vf size, vf sign) { return bits(bits(magnitude(size)) | (bits(sign) & splat(INT32_MIN))); }

/** To integers towards zero; undefined beyond their range. */
INLINE vi truncate(vf x) { return __builtin_convertvector(x, vi); }
/** a + b where lanes that are thrown away later may overflow. */
INLINE vi wrapping(vi a, vi b) {
  return reinterpret_cast<vi>(reinterpret_cast<vu>(a) + reinterpret_cast<vu>(b));
}
INLINE vf toReal(vi x) { return __builtin_convertvector(x, vf); }

#if defined(__AVX512F__)
#define THALWEG_ROUND(name, mode) \
  INLINE vf name(vf x) { return _mm512_roundscale_ps(x, mode | _MM_FROUND_NO_EXC); }
#elif defined(__AVX2__)
#define THALWEG_ROUND(name, mode) \
  INLINE vf name(vf x) { return _mm256_round_ps(x, mode | _MM_FROUND_NO_EXC); }
#endif

#if defined(__AVX2__)
THALWEG_ROUND(floorOf, _MM_FROUND_TO_NEG_INF)
THALWEG_ROUND(ceilOf, _MM_FROUND_TO_POS_INF)
THALWEG_ROUND(truncOf, _MM_FROUND_TO_ZERO)
THALWEG_ROUND(roundEven, _MM_FROUND_TO_NEAREST_INT)
#elif defined(__ARM_NEON)
INLINE vf floorOf(vf x) { return vrndmq_f32(x); }
INLINE vf ceilOf(vf x) { return vrndpq_f32(x); }
INLINE vf truncOf(vf x) { return vrndq_f32(x); }
INLINE vf roundEven(vf x) { return vrndnq_f32(x); }
#else
/** Reals from 2^23 on (and NaN) are whole already; below, they pass through integers. */
INLINE vf truncOf(vf x) { return magnitude(x) < 0x1p23f ? withSign(toReal(truncate(x)), x) : x; }
INLINE vf floorOf(vf x) {
  const vf t = truncOf(x);
  return t > x ? t - 1.0f : t;
}
INLINE vf ceilOf(vf x) {
  const vf t = truncOf(x);
  return t < x ? withSign(t + 1.0f, x) : t;
}
INLINE vf roundEven(vf x) {
  return magnitude(x) < 0x1p23f ? withSign((magnitude(x) + 0x1p23f) - 0x1p23f, x) : x;
}
#endif

/** The two halves in double. */
INLINE vd low(vf x) {
#if defined(__AVX512F__)
  return _mm512_cvtps_pd(_mm512_castps512_ps256(x));
#elif defined(__AVX2__)
  return _mm256_cvtps_pd(_mm256_castps256_ps128(x));
#elif defined(__SSE2__)
  return _mm_cvtps_pd(x);
#else
  return vcvt_f64_f32(vget_low_f32(x));
#endif
}
INLINE vd high(vf x) {
#if defined(__AVX512F__)
  return _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
#elif defined(__AVX2__)
  return _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
#elif defined(__SSE2__)
  return _mm_cvtps_pd(_mm_movehl_ps(x, x));
#else
  return vcvt_high_f64_f32(x);
#endif
}
/** Half a vector from memory in double: halves of a loaded vector would have to be cut apart first. */
INLINE vd widen(const float* p) {
#if defined(__AVX512F__)
  return _mm512_cvtps_pd(_mm256_loadu_ps(p));
#elif defined(__AVX2__)
  return _mm256_cvtps_pd(_mm_loadu_ps(p));
#elif defined(__SSE2__)
  return vd{p[0], p[1]};
#else
  return vcvt_f64_f32(vld1_f32(p));
#endif
}
/** Rounds two halves in double to reals. */
INLINE vf narrow(vd lo, vd hi) {
#if defined(__AVX512F__)
  return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(lo)), _mm512_cvtpd_ps(hi), 1);
#elif defined(__AVX2__)
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(lo)), _mm256_cvtpd_ps(hi), 1);
#elif defined(__SSE2__)
  return _mm_movelh_ps(_mm_cvtpd_ps(lo), _mm_cvtpd_ps(hi));
#else
  return vcvt_high_f32_f64(vcvt_f32_f64(lo), hi);
#endif
}

/** Folds the lanes by halves: always the same tree. */
template <class V, class F>
INLINE auto across(V v, F f) -> decltype(f(v[0], v[0])) {
  constexpr int n = sizeof(V) / sizeof(v[0]);
  decltype(f(v[0], v[0])) t[n];
  for (int k = 0; k < n; ++k) t[k] = v[k];
  for (int half = n / 2; half > 0; half /= 2)
    for (int k = 0; k < half; ++k) t[k] = f(t[k], t[k + half]);
  return t[0];
}
INLINE double total(vd v) {
  return across(v, [](double a, double b) { return a + b; });
}
INLINE float total(vf v) {
#if defined(__AVX512F__)
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
#elif defined(__AVX2__)
  const __m256 half = v;
#endif
#if defined(__AVX2__)
  const __m128 q = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
#elif defined(__SSE2__)
  const __m128 q = v;
#endif
#if defined(__SSE2__)
  const __m128 two = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return two[0] + two[1];
#else
  return across(v, [](float a, float b) { return a + b; });
#endif
}

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
