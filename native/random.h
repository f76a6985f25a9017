// Kernels of random numbers: Philox4x32-10 (Salmon et al., 2011). Element k of a draw depends on the four
// random words, the draw and k alone, so neither vector length nor threads change a bit.
#pragma once
#include "lanes.h"
#include "math.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** The 64-bit products of the even 32-bit lanes. */
INLINE vu evenProducts(vu a, vu b) {
#if defined(__AVX512F__)
  return reinterpret_cast<vu>(_mm512_mul_epu32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
  return reinterpret_cast<vu>(_mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif defined(__SSE2__)
  return reinterpret_cast<vu>(_mm_mul_epu32(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
  vu p;
  for (int k = 0; k < W; k += 2) {
    const uint64_t product = static_cast<uint64_t>(a[k]) * b[k];
    p[k] = static_cast<uint32_t>(product);
    p[k + 1] = static_cast<uint32_t>(product >> 32);
  }
  return p;
#endif
}

/** The words of each group of four, in reverse. */
INLINE vu reverseFours(vu v) {
  return shuffle(v, v, [](auto k) { return k ^ 3; });
}

/** radius times the sine and the cosine of 2πv for v in [0, 1): with 2v = n + r, those of πr, both negated
 * for odd n. Minimax in r² on [-½, ½]: the sine within 2.8e-8, the cosine within 1e-8 of 1. */
INLINE void onCircle(vf radius, vf v, vf& s, vf& c) {
  const vf sum = fma(v, 2.0f, splat(math::ROUNDER));
  const vf r = v * 2.0f - (sum - math::ROUNDER);
  const vf z = r * r;
  radius = reinterpret_cast<vf>(reinterpret_cast<vu>(radius) ^ (reinterpret_cast<vu>(sum) << 31));
  vf p = fma(z, 7.749444246292114e-2f, splat(-5.9829181432724e-1f));
  p = fma(p, z, 2.5500974655151367f);
  p = fma(p, z, -5.167713165283203f);
  p = fma(p, z, 3.1415927410125732f);
  vf q = fma(z, -2.3963874205946922e-2f, splat(2.3468376696109772e-1f));
  q = fma(q, z, -1.335161566734314f);
  q = fma(q, z, 4.0587053298950195f);
  q = fma(q, z, -4.934802055358887f);
  q = fma(q, z, 1.0f);
  s = p * r * radius;
  c = q * radius;
}

/** Box and Muller on two vectors of uniforms: pairs (u, v) lie side by side. */
INLINE void boxMuller(vf& a, vf& b) {
  const vf u = evens(a, b), v = odds(a, b);
  vf s, c;
  onCircle(root(-2.0f * math::logNormal(1.0f - u)), v, s, c);
  a = pairsLow(c, s);
  b = pairsHigh(c, s);
}

typedef uint64_t vq __attribute__((vector_size(4 * W)));

/** A stream: its key and number, and W / 4 blocks at a time, one in each group of four lanes. */
struct Stream {
  uint32_t key[2], draw;

  Stream(const uint32_t* words, i64 number)
      : key{words[0], words[1]}, draw(words[2] + static_cast<uint32_t>(number)) {}

  /** Words of elements k to k + W - 1; k is a multiple of 4. */
  INLINE_MEMBER vu words(i64 k) const {
    const vi lane = lanes();
    const vi place = lane & 3;
    const vu block = reinterpret_cast<vu>(lane >> 2) + static_cast<uint32_t>(k / 4);
    // A group holds counter (block, draw, 0, 0).
    vu c = place == 0 ? block : place == 1 ? splat(draw) : vu{};
    const vu factors = place < 2 ? splat(0xd2511f53u) : splat(0xcd9e8d57u);
    vu keys = place == 0 ? splat(key[0]) : place == 2 ? splat(key[1]) : vu{};
    const vu weyl = place == 0 ? splat(0x9e3779b9u) : place == 2 ? splat(0xbb67ae85u) : vu{};
    for (int round = 0; round < 10; ++round) {
      // [l0 h0 l1 h1] reversed is [h1 l1 h0 l0]; words 1 and 3 move to 0 and 2 and are mixed in there, with
      // the keys.
      const vu product = reverseFours(evenProducts(c, factors));
      const vu odd = reinterpret_cast<vu>(reinterpret_cast<vq>(c) >> 32);
      c = product ^ odd ^ keys;
      keys += weyl;
    }
    return c;
  }

  /** 24 bits as numbers in [0, 1). */
  INLINE_MEMBER vf uniform(i64 k) const { return toReal(reinterpret_cast<vi>(words(k) >> 8)) * 0x1p-24f; }
  /** Normal numbers of elements k to k + 2 W - 1. */
  INLINE_MEMBER void normal(i64 k, vf& a, vf& b) const {
    a = uniform(k);
    b = uniform(k + W);
    boxMuller(a, b);
  }
};

namespace rows {

static void uniform(Context& cx, float* out, const uint32_t* words, i64 draw, i64 n) {
  const Stream stream(words, draw);
  sweep(cx, n, 12, [=](auto how, i64 k) { how.store(out + k, stream.uniform(k)); });
}

static void normal(Context& cx, float* out, const uint32_t* words, i64 draw, i64 n) {
  const Stream stream(words, draw);
  pieces(cx, n, 16, [=](i64 from, i64 to) {
    i64 k = from;
    for (; k + 2 * W <= to; k += 2 * W) {
      vf a, b;
      stream.normal(k, a, b);
      storeAs(out + k, a);
      storeAs(out + k + W, b);
    }
    if (k == to) return;
    vf a, b;
    stream.normal(k, a, b);
    Part{static_cast<int>(least(W, to - k))}.store(out + k, a);
    if (to - k > W) Part{static_cast<int>(to - k - W)}.store(out + k + W, b);
  });
}

static void dropout(Context& cx, float* out, const float* x, const uint32_t* words, i64 draw, double p,
                    i64 n) {
  const Stream stream(words, draw);
  const vf keep = splat(static_cast<float>(1 / (1 - p))), limit = splat(static_cast<float>(p));
  sweep(cx, n, 12, [=](auto how, i64 k) {
    how.store(out + k, stream.uniform(k) >= limit ? how.load(x + k) * keep : vf{});
  });
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
