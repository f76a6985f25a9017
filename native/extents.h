// Elements behind each pointer of a row, from the numbers among its arguments; as `extents` in the kernel
// table. Counts saturate far above any memory, so a product that overflows is refused like any other range
// that is too long.
#pragma once
#include <cstdint>

namespace thalweg {

/** A count of elements, at most LIMIT. */
struct Count {
  static constexpr int64_t LIMIT = int64_t{1} << 60;
  int64_t value = 0;
  Count() = default;
  Count(int64_t v) : value(v < 0 ? 0 : v > LIMIT ? LIMIT : v) {}
};
inline Count operator+(Count a, Count b) { return a.value + b.value; }
inline Count operator*(Count a, Count b) {
  int64_t product;
  return __builtin_mul_overflow(a.value, b.value, &product) ? Count(Count::LIMIT) : Count(product);
}
inline bool operator==(Count a, Count b) { return a.value == b.value; }

/** `n`: the integers and numbers among the arguments, in order (numbers count as 0). `e`: one entry a
 * pointer. */
using Extents = void (*)(const Count* n, Count* e);
constexpr int MOST_POINTERS = 8;

namespace extents {

/** From the first element to the last one that a stride reaches. */
inline Count reach(Count n, Count stride) { return n.value == 0 ? Count() : Count(n.value - 1) * stride; }

template <int N>
inline Count span(const Count* sizes, const Count* strides) {
  Count total = 1;
  for (int k = 0; k < N; ++k) {
    if (sizes[k].value == 0) return 0;
    total = total + reach(sizes[k], strides[k]);
  }
  return total;
}

inline void every(Count* e, Count n) {
  for (int k = 0; k < MOST_POINTERS; ++k) e[k] = n;
}

inline void map(const Count* n, Count* e) { every(e, n[0]); }
inline void fill(const Count* n, Count* e) { e[0] = n[1]; }
inline void scale(const Count* n, Count* e) {
  e[0] = n[0];
  e[1] = 1;
}
inline void blend(const Count* n, Count* e) { every(e, n[2]); }

inline void binary(const Count* n, Count* e) {
  e[0] = n[0] * n[1] * n[2];
  e[1] = span<3>(n, n + 3);
  e[2] = span<3>(n, n + 6);
}

inline void reduce(const Count* n, Count* e) {
  e[0] = n[0] * n[2];
  e[1] = n[0] * n[1] * n[2];
}
inline void cumsum(const Count* n, Count* e) { every(e, n[0] * n[1] * n[2]); }
inline void rowwise(const Count* n, Count* e) { every(e, n[0] * n[1]); }
inline void total(const Count* n, Count* e) {
  every(e, n[0]);
  e[0] = 2;
}

inline void copy(const Count* n, Count* e) {
  e[0] = span<4>(n, n + 4);
  e[1] = span<4>(n, n + 8);
}

/** outer, n, inner, m */
inline void take(const Count* n, Count* e) {
  e[0] = n[0] * n[3] * n[2];
  e[1] = n[0] * n[1] * n[2];
  e[2] = n[3];
}
inline void takeGrad(const Count* n, Count* e) {
  e[0] = n[0] * n[1] * n[2];
  e[1] = n[0] * n[3] * n[2];
  e[2] = n[3];
}
inline void gather(const Count* n, Count* e) {
  take(n, e);
  e[2] = e[0];
}
inline void scatterAdd(const Count* n, Count* e) {
  takeGrad(n, e);
  e[2] = e[1];
}

/** The cells of an update stand behind its last pointer; addon.cc asks for them through `cells`. */
template <int Cells>
inline void update(const Count* n, Count* e) {
  every(e, n[0]);
  e[MOST_POINTERS - 1] = Cells;
}
inline void swats(const Count* n, Count* e) {
  every(e, n[0]);
  e[4] = 4;
  e[MOST_POINTERS - 1] = 7;
}

/** n, c, l */
inline void batchNorm(const Count* n, Count* e) {
  every(e, n[1]);
  e[0] = e[3] = n[0] * n[1] * n[2];
}
inline void batchNormGrad(const Count* n, Count* e) {
  batchNorm(n, e);
  e[4] = e[0];
}

/** Behind a stream's pointer lie four words. */
inline void random(const Count* n, Count* e) {
  e[0] = n[1];
  e[1] = 4;
}
inline void dropout(const Count* n, Count* e) {
  e[0] = e[1] = n[2];
  e[2] = 4;
}

inline Count area(Count rows, Count cols, Count ld) {
  return rows.value == 0 || cols.value == 0 ? Count() : reach(rows, ld) + cols;
}
inline Count operand(Count trans, Count rows, Count cols, Count ld) {
  return trans.value ? area(cols, rows, ld) : area(rows, cols, ld);
}
inline Count spread(Count one, Count batch, Count stride) {
  return one.value == 0 || batch.value == 0 ? Count() : reach(batch, stride) + one;
}

/** batch, m, n, k, ta, tb, lda, ldb, ldc, sa, sb, sc */
inline void matmul(const Count* n, Count* e) {
  e[0] = spread(area(n[1], n[2], n[8]), n[0], n[11]);
  e[1] = spread(operand(n[4], n[1], n[3], n[6]), n[0], n[9]);
  e[2] = spread(operand(n[5], n[3], n[2], n[7]), n[0], n[10]);
  e[3] = n[2];
}
/** m, n, k, ta, tb, lda, ldb, ldc */
inline void sgemm(const Count* n, Count* e) {
  e[0] = area(n[0], n[1], n[7]);
  e[1] = operand(n[3], n[0], n[2], n[5]);
  e[2] = operand(n[4], n[2], n[1], n[6]);
}

}  // namespace extents
}  // namespace thalweg
