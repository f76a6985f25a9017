// Elementary functions of vectors. Above each: method, and its largest error found by running every float32
// of the stated range against double precision (with FMA / without). NaN goes in, NaN comes out.
#pragma once
#include <cmath>

#include "arithmetic.h"
#include "tables.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {
namespace math {

constexpr float LOG2_E = 1.44269504088896341f;
/** ln 2 in two words (Cody and Waite): the first has 10 bits, so that whole multiples of it are exact. */
constexpr float LN2_HIGH = 0.693359375f, LN2_LOW = -2.12194440e-4f;
/** Adding and subtracting it rounds |x| < 2^22 to whole numbers; the sum's low bits are that number. */
constexpr float ROUNDER = 0x1.8p23f;
/** Rounders that leave n + 127, the exponent bits of 2^n, and n + 254, those of two factors of 2^n together.
 */
constexpr float ONE_FACTOR = ROUNDER + 127, TWO_FACTORS = ROUNDER + 254;
constexpr float INFINITE = __builtin_inff();

INLINE vf clamp(vf x, float low, float high) { return atMost(atLeast(x, splat(low)), splat(high)); }

/** 2^n from the sum of n and ONE_FACTOR, n in [-127, 127]; 2^-127 comes out as 0. */
INLINE vf powerOfTwo(vf sum) { return bits(bits(sum) << 23); }

/** p 2^n from the sum of n and TWO_FACTORS, n in [-252, 254]: neither factor overflows; the result may. */
INLINE vf scaleBy(vf p, vf sum) {
#if defined(__AVX512F__)
  return _mm512_scalef_ps(p, sum - TWO_FACTORS);
#else
  const vu whole = reinterpret_cast<vu>(sum), half = whole >> 1;
  return p * reinterpret_cast<vf>(half << 23) * reinterpret_cast<vf>((whole - half) << 23);
#endif
}

/** x = n ln 2 + r with |r| ≤ ln 2 / 2; returns r. `sum` is n + rounder. */
INLINE vf reduceByLn2(vf x, float rounder, vf& sum) {
  sum = fma(x, LOG2_E, splat(rounder));
  const vf n = sum - rounder;
  const vf r = fma(n, -LN2_HIGH, x);
  return fma(n, -LN2_LOW, r);
}

/** e^r - 1 for |r| ≤ ln 2 / 2: r + r² p(r); coefficients of Cephes' expf, p within 2e-8. */
INLINE vf expm1Near(vf r) {
  vf p = fma(r, 1.9875691500e-4f, splat(1.3981999507e-3f));
  p = fma(p, r, 8.3334519073e-3f);
  p = fma(p, r, 4.1665795894e-2f);
  p = fma(p, r, 1.6666665459e-1f);
  p = fma(p, r, 5.0000001201e-1f);
  return fma(p, r * r, r);
}

#if defined(__AVX512F__)
/** x = n ln 2 + r with n in sixteenths, the low bits of `sum`, and |r| ≤ ln 2 / 32; returns e^r - 1, for
 * which a cubic within 1.6e-9 will do. */
INLINE vf expm1Sixteenth(vf x, vf& sum, vf& n) {
  constexpr float rounder = 0x1.8p19f;
  sum = fma(x, LOG2_E, splat(rounder));
  n = sum - rounder;
  const vf r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x));
  return fma(fma(r, 0.16667031f, splat(0.5000162f)), r * r, r);
}

/**
 * e^x: x = n ln 2 + r with n in 32nds and |r| ≤ ln 2 / 64, for which a quadratic within 5.4e-8 will do. Far
 * outside of float32's range n still says 0, infinity or NaN, and r only has to be kept small. Ten
 * instructions, 1.74 ulp; a cubic made it eleven and 0.99.
 */
INLINE vf exp(vf x) {
  constexpr float rounder = 0x1.8p18f;
  constexpr int smallerWithSign = 2;
  const vf sum = fma(x, LOG2_E, splat(rounder));
  const vf n = sum - rounder;
  const vf far = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x));
  const vf r = _mm512_range_ps(far, splat(0.011f), smallerWithSign);
  const vf y = entry(THIRTY_SECONDS, sum);
  return _mm512_scalef_ps(fma(fma(r, 0.5f, splat(1.0000147f)), r * y, y), n);
}

/** e^x for x ≤ 88, and 0 where that is below the normal range: a processor takes 20 times as long over a
 * subnormal result, and masked scores have many. */
INLINE vf expFlushed(vf x) {
  vf sum, n;
  const vf p = expm1Sixteenth(x, sum, n);
  const vf y = entry(SIXTEENTHS, sum);
  const __mmask16 normal = _mm512_cmp_ps_mask(x, splat(-87.3365f), _CMP_NLT_UQ);
  return _mm512_maskz_scalef_ps(normal, fma(y, p, y), n);
}
#else
INLINE vf exp(vf x) {
  vf sum;
  // Beyond these, e^x is 0 or infinite in float32.
  const vf r = reduceByLn2(clamp(x, -104.0f, 89.0f), TWO_FACTORS, sum);
  return scaleBy(expm1Near(r) + 1.0f, sum);
}

/** e^x for x ≤ 88, and 0 where that is below the normal range, from -87.7 down: a processor takes 20 times as
 * long over a subnormal result, and masked scores have many. */
INLINE vf expFlushed(vf x) {
  vf sum;
  const vf r = reduceByLn2(atLeast(x, splat(-88.0f)), ONE_FACTOR, sum);
  return (expm1Near(r) + 1.0f) * powerOfTwo(sum);
}
#endif

/** 2^n (e^r - 1) + (2^n - 1), at half scale since 2^128 is no float32. */
INLINE vf expm1(vf x) {
  vf sum;
  const vf r = reduceByLn2(clamp(x, -30.0f, 89.0f), ONE_FACTOR - 1, sum);
  const vf half = powerOfTwo(sum);
  return 2.0f * fma(half, expm1Near(r), half - 0.5f);
}

/** ln of a positive normal number: mantissa in [√½, √2), Cephes' logf polynomial, exponent by two words of
 * ln 2. */
INLINE vf logNormal(vf x) {
  const vi u = bits(x);
  const vi e = wrapping(u, splat(-0x3f3504f3)) >> 23;
  const vf f = bits(wrapping(u, -(e << 23))) - 1.0f;
  const vf n = toReal(e);
  vf p = fma(f, 7.0376836292e-2f, splat(-1.1514610310e-1f));
  p = fma(p, f, 1.1676998740e-1f);
  p = fma(p, f, -1.2420140846e-1f);
  p = fma(p, f, 1.4249322787e-1f);
  p = fma(p, f, -1.6668057665e-1f);
  p = fma(p, f, 2.0000714765e-1f);
  p = fma(p, f, -2.4999993993e-1f);
  p = fma(p, f, 3.3333331174e-1f);
  const vf z = f * f;
  vf y = fma(n, LN2_LOW, p * f * z);
  y = fma(z, -0.5f, y);
  return fma(n, LN2_HIGH, f + y);
}

/** ln x for the rest: subnormals are scaled into the normal range, and take 23 ln 2 back. A function of its
 * own, since hardly any vector needs it. */
__attribute__((noinline)) static vf logRare(vf x) {
  const vi tiny = x < 0x1p-126f;
  vf y = logNormal(tiny ? x * 0x1p23f : x);
  y = tiny ? y - 15.942385152878742f : y;
  y = x < INFINITE ? y : x;
  y = x == 0.0f ? splat(-INFINITE) : y;
  return x < 0.0f ? splat(__builtin_nanf("")) : y;
}

/** ln x for any x. */
INLINE vf log(vf x) {
  if (__builtin_expect(!arePositiveNormal(x), 0)) return logRare(x);
  return logNormal(x);
}

/** 1 / d for normal d with normal result: an estimate of 14 bits and one Newton step where there is one (1
 * ulp), else exact. */
INLINE vf inverse(vf d) {
#if defined(__AVX512F__)
  const vf r = _mm512_rcp14_ps(d);
  return fma(fma(-d, r, splat(1.0f)), r, r);
#else
  return 1.0f / d;
#endif
}

/** a / d for normal d: where there is an estimate, the quotient by it is corrected by its own remainder,
 * which is nearly as good as a division (0.51 ulp). */
INLINE vf over(vf a, vf d) {
#if defined(__AVX512F__)
  const vf r = _mm512_rcp14_ps(d);
  const vf y = a * r;
  return fma(fma(-d, y, a), r, y);
#else
  return a / d;
#endif
}

/** ln(1 + x): the rounding error of 1 + x is put back to first order. */
INLINE vf log1p(vf x) {
  const vf u = 1.0f + x;
  const vf lost = (x - (u - 1.0f)) * inverse(u);
  const vf y = log(u);
  return ((u == 0.0f) | (u == INFINITE)) ? y : y + lost;
}

/** ln(1 + e) for e in [0, 1]: e p(e - ½), p minimax of degree 8 within 3.8e-8. */
INLINE vf log1pNear(vf e) {
  const vf t = e - 0.5f;
  vf p = fma(t, 5.112954415380955e-3f, splat(-8.492046035826206e-3f));
  p = fma(p, t, 1.165828388184309e-2f);
  p = fma(p, t, -2.0267566666007042e-2f);
  p = fma(p, t, 3.66191565990448e-2f);
  p = fma(p, t, -6.770581007003784e-2f);
  p = fma(p, t, 1.326102465391159e-1f);
  p = fma(p, t, -2.8852689266204834e-1f);
  p = fma(p, t, 8.109301924705505e-1f);
  return e * p;
}

/** sin and cos of r for |r| ≤ π/4 (Cephes' sinf and cosf). */
INLINE void sinCosNear(vf r, vf& s, vf& c) {
  const vf z = r * r;
  vf p = fma(z, -1.9515295891e-4f, splat(8.3321608736e-3f));
  p = fma(p, z, -1.6666654611e-1f);
  s = fma(p, z * r, r);
  vf q = fma(z, 2.443315711809948e-5f, splat(-1.388731625493765e-3f));
  q = fma(q, z, 4.166664568298827e-2f);
  c = fma(q, z * z, fma(z, -0.5f, splat(1.0f)));
}

/** sin(r + quarter π/2). */
INLINE vf sineOf(vf r, vi quarter) {
  vf s, c;
  sinCosNear(r, s, c);
  const vf y = (quarter & 1) != 0 ? c : s;
  return bits(bits(y) ^ ((quarter & 2) << 30));
}

/** Largest argument whose multiple of π/2 is exact in the three words below. */
constexpr float SINE_LIMIT = 8192.0f;

/** sin(x + shift π/2); arguments beyond the limit go to the C library, lane by lane. */
INLINE vf sine(vf x, int shift) {
  const vf sum = fma(x, 0.636619772f, splat(ROUNDER));
  const vf n = sum - ROUNDER;
  // π/2 in three words of 8, 11 and 24 bits (Cephes).
  vf r = fma(n, -1.5703125f, x);
  r = fma(n, -4.837512969970703125e-4f, r);
  r = fma(n, -7.54978995489188216e-8f, r);
  vf y = sineOf(r, bits(sum) + shift);
  const vi far = magnitude(x) > SINE_LIMIT;
  if (__builtin_expect(any(far), 0))
    for (int k = 0; k < W; ++k)
      if (far[k])
        y[k] =
            static_cast<float>(shift ? ::cos(static_cast<double>(x[k])) : ::sin(static_cast<double>(x[k])));
  return y;
}
INLINE vf sin(vf x) { return sine(x, 0); }
INLINE vf cos(vf x) { return sine(x, 1); }

#if defined(__AVX512F__)
/** By a polynomial for each of 32 parts of [0, 9.1], where tanh is 1 in float32: 17 instructions and 1.9 ulp,
 * half the time of a quotient. */
INLINE vf tanh(vf x) {
  const vf a = atMost(magnitude(x), splat(31 * TANH_WIDTH));
  const vf sum = fma(a, 1 / TANH_WIDTH, splat(ROUNDER));
  const vf t = fma(sum - ROUNDER, -TANH_WIDTH, a);
  vf y = entry(TANH[5], sum);
  for (int k = 4; k >= 0; --k) y = fma(y, t, entry(TANH[k], sum));
  return bits(bits(y) | bits(signOf(x)));
}
#else
/** -t / (t + 2) with t = e^(-2|x|) - 1: from half the exponent's remainder, so that the coefficients are
 * those of expm1Near times powers of two. From -10 on, t is -1 in float32. */
INLINE vf tanh(vf x) {
  const vf a = atLeast(bits(bits(x) | splat(INT32_MIN)), splat(-10.0f));
  const vf sum = fma(a, 2 * LOG2_E, splat(ONE_FACTOR));
  const vf r = fma(sum - ONE_FACTOR, -0.5f * (LN2_HIGH + LN2_LOW), a);
  vf p = fma(r, 128 * 1.9875691500e-4f, splat(64 * 1.3981999507e-3f));
  p = fma(p, r, 32 * 8.3334519073e-3f);
  p = fma(p, r, 16 * 4.1665795894e-2f);
  p = fma(p, r, 8 * 1.6666665459e-1f);
  p = fma(p, r, 4 * 5.0000001201e-1f);
  const vf scale = powerOfTwo(sum);
  const vf t = fma(fma(p, r * r, r + r), scale, scale - 1.0f);
  return withSign(over(t, t + 2.0f), x);
}
#endif

/** 1 / (1 + e^-|x|), times e^-|x| for negative x: nothing overflows and small values keep their digits. */
INLINE vf sigmoid(vf x) {
  const vf e = expFlushed(-magnitude(x));
  const vf s = inverse(1.0f + e);
  return x < 0.0f ? e * s : s;
}
/** σ(x), and 1 - σ(x) with all its digits. */
INLINE vf sigmoid(vf x, vf& rest) {
  const vf e = expFlushed(-magnitude(x));
  const vf s = inverse(1.0f + e), small = e * s;
  rest = x < 0.0f ? s : small;
  return x < 0.0f ? small : s;
}

INLINE vf softplus(vf x) { return atLeast(x, vf{}) + log1pNear(expFlushed(-magnitude(x))); }

/** x P(x²) / Q(x²), minimax of degrees 5 and 5 on [0, 3.93], within 2.0e-8; beyond, erf is 1 in float32. */
INLINE vf erf(vf x) {
  const vf t = clamp(x, -3.93f, 3.93f);
  const vf z = t * t;
  vf p = fma(z, 2.0419679686446683e-6f, splat(2.848090661175523e-4f));
  p = fma(p, z, 3.7796276573164368e-3f);
  p = fma(p, z, 5.27903418492086e-2f);
  p = fma(p, z, 1.9078425391355236e-1f);
  p = fma(p, z, 1.1283791453364813f);
  vf q = fma(z, 3.8004070431786106e-5f, splat(1.1652173028791817e-3f));
  q = fma(q, z, 1.4997473776729317e-2f);
  q = fma(q, z, 1.1425769730328211e-1f);
  q = fma(q, z, 5.024108621331256e-1f);
  q = fma(q, z, 1.0f);
  return clamp(over(t * p, q), -1.0f, 1.0f);
}

/** x Φ(x). Below -14 the result is 0 in float32; the clamp keeps -∞ from meeting that 0. */
INLINE vf gelu(vf x) {
  const vf t = atLeast(x, splat(-14.0f));
  return 0.5f * t * (1.0f + erf(t * 0.707106781186547524f));
}

/** x/2 (1 + tanh u) is x σ(2u), with 2u = 2 √(2/π) (x + 0.044715 x³). */
INLINE vf geluTanh(vf x) {
  const vf t = atLeast(x, splat(-14.0f));
  return t * sigmoid(t * fma(t * t, 0.0713548163f, splat(1.59576912f)));
}

/** d x Φ(x) = Φ(x) + x φ(x). Beyond ±13 it is 0 or 1 to within 1e-35, and within them nothing is subnormal.
 */
INLINE vf geluSlope(vf x) {
  const vf t = clamp(x, -13.0f, 13.0f);
  const vf density = expFlushed(t * t * -0.5f) * 0.398942280f;
  return fma(t, density, 0.5f * (1.0f + erf(t * 0.707106781186547524f)));
}

/** d x σ(u) = σ + x σ (1 - σ) u', u' = 2 √(2/π) (1 + 3 · 0.044715 x²). */
INLINE vf geluTanhSlope(vf x) {
  const vf t = clamp(x, -14.0f, 14.0f);
  const vf z = t * t;
  vf rest;
  const vf s = sigmoid(t * fma(z, 0.0713548163f, splat(1.59576912f)), rest);
  return s * fma(t * rest, fma(z, 0.214064449f, splat(1.59576912f)), splat(1.0f));
}

/** d x σ(x) = σ (1 + x (1 - σ)). From ±104 on, e^-|x| is 0 in float32. */
INLINE vf siluSlope(vf x) {
  const vf t = clamp(x, -104.0f, 104.0f);
  vf rest;
  const vf s = sigmoid(t, rest);
  return s * fma(t, rest, splat(1.0f));
}

/** log2 x in double, for a positive float32: s = (m-1)/(m+1), odd series to s^15; |s| < 0.172, so within
 * 1e-12. */
INLINE vd log2Half(vl u) {
  const vl e = (u - 0x3fe6a09e667f3bcd) >> 52;
  const vd m = reinterpret_cast<vd>(u - (e << 52));
  const vd s = (m - 1.0) / (m + 1.0);
  const vd z = s * s;
  vd p = splat(1.0 / 15);
  for (int k = 13; k > 0; k -= 2) p = fma(p, z, splat(1.0 / k));
  return fma(s * p, splat(2.88539008177792681), __builtin_convertvector(e, vd));
}

/** a^b: b log2 a in double, 2^fraction in float32; special cases as in C. */
INLINE vf pow(vf a, vf b) {
  const vf base = magnitude(a);
  const vd exponent[2] = {low(b) * log2Half(reinterpret_cast<vl>(low(base))),
                          high(b) * log2Half(reinterpret_cast<vl>(high(base)))};
  vd whole[2];
  for (int k = 0; k < 2; ++k) {
    vd e = exponent[k];
    e = e < -300.0 ? splat(-300.0) : e;
    whole[k] = e > 300.0 ? splat(300.0) : e;
  }
  // 2^52 · 1.5 rounds doubles to whole numbers.
  const vd n0 = (whole[0] + 0x1.8p52) - 0x1.8p52, n1 = (whole[1] + 0x1.8p52) - 0x1.8p52;
  const vf r = narrow(whole[0] - n0, whole[1] - n1) * 0.693147181f;
  const vf n = clamp(narrow(n0, n1), -250.0f, 250.0f);
  vf y = scaleBy(expm1Near(r) + 1.0f, n + TWO_FACTORS);

  const vi wholeB = roundEven(b) == b;
  const vf halfB = b * 0.5f;
  const vi odd = wholeB & (roundEven(halfB) != halfB);
  const vf nan = splat(__builtin_nanf(""));
  // 0 and ∞ have no logarithm: the size is 0 or ∞ by the sign of the exponent.
  const vi shrinks = (base == 0.0f) == (b > 0.0f);
  y = ((base == 0.0f) | (base == INFINITE)) ? (shrinks ? vf{} : splat(INFINITE)) : y;
  const vi grows = (base > 1.0f) == (b > 0.0f);
  y = magnitude(b) == INFINITE ? (base == 1.0f ? splat(1.0f) : grows ? splat(INFINITE) : vf{}) : y;
  y = ((a < 0.0f) & (wholeB == 0)) ? nan : y;
  y = (odd & (bits(a) < 0)) ? -y : y;
  y = ((a != a) | (b != b)) ? nan : y;
  return ((b == 0.0f) | (a == 1.0f)) ? splat(1.0f) : y;
}

}  // namespace math
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
