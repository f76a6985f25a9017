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
constexpr int MOST_POINTERS = 11;

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
inline void axpy(const Count* n, Count* e) { every(e, n[1]); }
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
inline void crossEntropy(const Count* n, Count* e) {
  e[0] = e[3] = n[0];
  e[1] = n[0] + n[0];
  e[2] = n[0] * n[1];
}
inline void crossEntropyGrad(const Count* n, Count* e) {
  e[0] = e[2] = n[0] * n[1];
  e[1] = e[4] = n[0];
  e[3] = n[0] + n[0];
}
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

/** rows, cols */
inline void layerNorm(const Count* n, Count* e) {
  e[0] = e[3] = n[0] * n[1];
  e[1] = e[2] = n[0];
  e[4] = e[5] = n[1];
}
inline void layerNormGrad(const Count* n, Count* e) {
  e[0] = e[3] = e[4] = n[0] * n[1];
  e[1] = e[2] = e[7] = n[1];
  e[5] = e[6] = n[0];
}

/** n, c, l, groups; channels that do not divide by the groups have no meaning. */
inline Count grouped(const Count* n) {
  return n[3].value > 0 && n[1].value % n[3].value == 0 ? n[0] * n[1] * n[2] : Count(Count::LIMIT);
}
inline void groupNorm(const Count* n, Count* e) {
  e[0] = e[3] = grouped(n);
  e[1] = e[2] = n[0] * n[3];
  e[4] = e[5] = n[1];
}
inline void groupNormGrad(const Count* n, Count* e) {
  e[0] = e[3] = e[4] = grouped(n);
  e[1] = e[2] = e[7] = n[1];
  e[5] = e[6] = n[0] * n[3];
}

/** n, queries, keys, d, dv, scale, causal, maskStride */
struct AttentionCounts {
  Count q, k, v, y, lse, mask;
  explicit AttentionCounts(const Count* n)
      : q(n[0] * n[1] * n[3]),
        k(n[0] * n[2] * n[3]),
        v(n[0] * n[2] * n[4]),
        y(n[0] * n[1] * n[4]),
        lse(n[0] * n[1]),
        mask(n[0].value == 0 ? Count() : reach(n[0], n[7]) + n[1] * n[2]) {}
};
inline void attention(const Count* n, Count* e) {
  const AttentionCounts c(n);
  e[0] = c.y;
  e[1] = c.lse;
  e[2] = c.q;
  e[3] = c.k;
  e[4] = c.v;
  e[5] = c.mask;
}
inline void attentionGrad(const Count* n, Count* e) {
  const AttentionCounts c(n);
  e[0] = e[4] = c.q;
  e[1] = e[5] = c.k;
  e[2] = e[6] = c.v;
  e[3] = e[7] = c.y;
  e[8] = c.lse;
  e[9] = c.mask;
}

/** time, batch, inputs, hidden */
struct WalkCounts {
  Count state, states, gates, x, ofX, ofH;
  explicit WalkCounts(const Count* n)
      : state(n[1] * n[3]),
        states((n[0] + Count(1)) * state),
        gates(Count(4) * n[0] * state),
        x(n[0] * n[1] * n[2]),
        ofX(n[2] * n[3]),
        ofH(n[3] * n[3]) {}
};
inline void lstm(const Count* n, Count* e) {
  const WalkCounts c(n);
  e[0] = e[1] = c.states;
  e[2] = c.gates;
  e[3] = c.x;
  e[4] = Count(4) * c.ofX;
  e[5] = Count(4) * c.ofH;
  e[6] = e[7] = Count(4) * n[3];
}
inline void gru(const Count* n, Count* e) {
  const WalkCounts c(n);
  e[0] = c.states;
  e[1] = c.gates;
  e[2] = c.x;
  e[3] = Count(3) * c.ofX;
  e[4] = Count(3) * c.ofH;
  e[5] = e[6] = Count(3) * n[3];
}
/** time, batch, hidden */
inline void lstmGrad(const Count* n, Count* e) {
  const Count state = n[1] * n[2];
  e[0] = e[4] = Count(4) * n[0] * state;
  e[1] = e[2] = state;
  e[3] = n[0] * state;
  e[5] = (n[0] + Count(1)) * state;
  e[6] = Count(4) * n[2] * n[2];
}
inline void gruGrad(const Count* n, Count* e) {
  const Count state = n[1] * n[2];
  e[0] = e[1] = Count(3) * n[0] * state;
  e[2] = e[3] = state;
  e[4] = n[0] * state;
  e[5] = Count(4) * n[0] * state;
  e[6] = (n[0] + Count(1)) * state;
  e[7] = Count(3) * n[2] * n[2];
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
  e[4] = e[0];
}
/** m, n, k, ta, tb, lda, ldb, ldc */
inline void sgemm(const Count* n, Count* e) {
  e[0] = area(n[0], n[1], n[7]);
  e[1] = operand(n[3], n[0], n[2], n[5]);
  e[2] = operand(n[4], n[2], n[1], n[6]);
}

/** Output length of a window that slides along `size`; a stride of 0 makes it endless, which no memory holds.
 */
inline Count windows(Count size, Count kernel, Count stride, Count pad, Count dilation) {
  if (stride.value == 0 || kernel.value == 0 || dilation.value == 0) return Count::LIMIT;
  const Count reached = size + pad + pad, needed = Count(kernel.value - 1) * dilation + 1;
  return reached.value < needed.value ? Count() : Count((reached.value - needed.value) / stride.value + 1);
}

/** n, c, h, w, k, r, s, sh, sw, ph, pw, dh, dw, groups */
struct ConvCounts {
  Count x, w, y, bias;
  explicit ConvCounts(const Count* n)
      : x(n[0] * n[1] * n[2] * n[3]),
        w(divides(n) ? n[4] * n[5] * n[6] * Count(n[1].value / n[13].value) : Count(Count::LIMIT)),
        y(n[0] * n[4] * windows(n[2], n[5], n[7], n[9], n[11]) * windows(n[3], n[6], n[8], n[10], n[12])),
        bias(n[4]) {}

  /** Channels that do not divide by the groups have no meaning: such a call is refused like one that reaches
   * too far. */
  static bool divides(const Count* n) {
    return n[13].value > 0 && n[1].value % n[13].value == 0 && n[4].value % n[13].value == 0;
  }
};

inline void conv2d(const Count* n, Count* e) {
  const ConvCounts q(n);
  e[0] = q.y;
  e[1] = q.x;
  e[2] = q.w;
  e[3] = q.bias;
  e[4] = q.y;
}
inline void conv2dGradInput(const Count* n, Count* e) {
  const ConvCounts q(n);
  e[0] = q.x;
  e[1] = q.y;
  e[2] = q.w;
}
inline void conv2dGradWeight(const Count* n, Count* e) {
  const ConvCounts q(n);
  e[0] = q.w;
  e[1] = q.x;
  e[2] = q.y;
}

/** planes, h, w, kh, kw, sh, sw, ph, pw */
inline Count pooledInputs(const Count* n) { return n[0] * n[1] * n[2]; }
inline Count pooledOutputs(const Count* n) {
  return n[0] * windows(n[1], n[3], n[5], n[7], 1) * windows(n[2], n[4], n[6], n[8], 1);
}
inline void maxPool2d(const Count* n, Count* e) {
  e[0] = e[1] = pooledOutputs(n);
  e[2] = pooledInputs(n);
}
inline void maxPool2dGrad(const Count* n, Count* e) {
  e[0] = pooledInputs(n);
  e[1] = e[2] = pooledOutputs(n);
}
inline void avgPool2d(const Count* n, Count* e) {
  e[0] = pooledOutputs(n);
  e[1] = pooledInputs(n);
}
inline void avgPool2dGrad(const Count* n, Count* e) {
  e[0] = pooledInputs(n);
  e[1] = pooledOutputs(n);
}

}  // namespace extents
}  // namespace thalweg
