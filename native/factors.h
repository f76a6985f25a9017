// How a register tile reads the factors of A, a number for each of its rows: from rows or columns of A where
// they lie, or packed; and what it fetches meanwhile.
#pragma once
#include "ending.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** How many terms before its use a row of B is fetched into L1: a term takes 6 to 14 cycles, L2 answers after
 * 15 and, busy with other rows, later. */
constexpr i64 NEAR = 8;
/** A factor of A into every lane, straight from memory. */
INLINE vf factorAt(const float* p) {
#if defined(__AVX512F__)
  return _mm512_set1_ps(*p);
#elif defined(__AVX2__)
  return _mm256_broadcast_ss(p);
#else
  return splat(*p);
#endif
}

/** The factor that lies so many strides of `bytes` after p. Named outright for AVX-512: the compiler turns
 * addresses into more counters than it has registers. And for clang, which adds up each address from the one
 * before. */
template <int STRIDES>
INLINE vf factorAt(const float* p, i64 bytes) {
#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__clang__))
  vf x;
  asm("vbroadcastss (%1,%2,%c3), %0"
      : "=v"(x)
      : "r"(p), "r"(bytes), "i"(STRIDES), "m"(*reinterpret_cast<const float (*)[1 << 24]>(p)));
  return x;
#else
  return factorAt(p + STRIDES * bytes / static_cast<i64>(sizeof(float)));
#endif
}

/** A's terms lie side by side, its rows `step` apart. Two pointers and three strides reach 14 rows. */
struct ByRow {
  const float *p, *q;
  i64 one, three, five;
  INLINE_MEMBER ByRow(const float* a, i64 step)
      : p(a), q(a + 7 * step), one(step * static_cast<i64>(sizeof(float))), three(3 * one), five(5 * one) {}
  INLINE_MEMBER vf at(int i) const {
    const float* from = i < 7 ? p : q;
    switch (i % 7) {
      case 0:
        return factorAt(from);
      case 1:
        return factorAt<1>(from, one);
      case 2:
        return factorAt<2>(from, one);
      case 3:
        return factorAt<1>(from, three);
      case 4:
        return factorAt<4>(from, one);
      case 5:
        return factorAt<1>(from, five);
      default:
        return factorAt<2>(from, three);
    }
  }
  template <int R>
  INLINE_MEMBER void next() {
    ++p;
    if (R > 7) ++q;
  }
  /** Asks for factors that come later. */
  template <int R>
  INLINE_MEMBER void ask() const {}
};

/** A's rows lie side by side, its terms `step` apart: a transposed operand, or a packed one. */
struct ByTerm {
  const float* p;
  i64 step;
  INLINE_MEMBER ByTerm(const float* a, i64 s) : p(a), step(s) {}
  INLINE_MEMBER vf at(int i) const { return factorAt(p + i); }
  template <int R>
  INLINE_MEMBER void ask() const {}
  template <int R>
  INLINE_MEMBER void next() {
    p += step;
  }
};

/** A transposed operand where it lies: its terms are far apart, so no hardware brings the next ones. A
 * gradient by weights of 128 × 512 from 1024 rows takes 616 µs, and 679 without asking ahead. */
struct ByFarTerm : ByTerm {
  using ByTerm::ByTerm;
  template <int R>
  INLINE_MEMBER void ask() const {
    __builtin_prefetch(p + NEAR * step);
    __builtin_prefetch(p + NEAR * step + R - 1);
  }
};

/** As A, and fetches what a later tile reads: at 1024 and 2048 rows, which come from beyond L2, products gain
 * 2 and 4 %. */
template <class A>
struct Fetching : A {
  const float* ahead;
  i64 by;
  INLINE_MEMBER Fetching(const float* a, i64 step, const Target& t)
      : A(a, step), ahead(t.ahead), by(t.aheadStep) {}
  template <int R>
  INLINE_MEMBER void ask() {
    A::template ask<R>();
    __builtin_prefetch(ahead, 0, 2);
    ahead += by;
  }
};

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
