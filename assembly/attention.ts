// Attention, a tile of queries by keys at a time: a tile's scores are a matrix product in scratch memory, each query keeps
// its running maximum and sum, and what it has gathered is scaled down whenever its maximum rises ("online softmax").
import { Row } from './exponentials';
import { Head, KEYS, QUERIES, ROW } from './head';
import { product } from './matmul';
import { Run } from './runs';
import { Scratch } from './scratch';

/** Each query of a tile has a maximum, in float32, and a sum, in double. */
class Running {
  @inline static top(): usize {
    return Scratch.spare() + usize(QUERIES) * ROW;
  }
  @inline static total(): usize {
    return Running.top() + (usize(QUERIES) << 2);
  }
  static start(): void {
    for (let i: usize = 0; i < usize(QUERIES); i++) {
      f32.store(Running.top() + (i << 2), -Infinity);
      f64.store(Running.total() + (i << 3), 0);
    }
  }
}

export function attention(
  y: usize,
  lse: usize,
  q: usize,
  k: usize,
  v: usize,
  mask: usize,
  n: i32,
  queries: i32,
  keys: i32,
  d: i32,
  dv: i32,
  scale: f64,
  causal: i32,
  maskStride: i32,
): void {
  Head.over(queries, keys, d, dv, scale, causal);
  for (; n > 0; n--) {
    for (let i = 0; i < queries; i += QUERIES)
      band(y, lse + (usize(i) << 2), q, k, v, mask, i, min(queries, i + QUERIES));
    y += Head.size(queries, dv);
    lse += usize(queries) << 2;
    q += Head.size(queries, d);
    k += Head.size(keys, d);
    v += Head.size(keys, dv);
    if (mask) mask += usize(maskStride) << 2;
  }
}

/** Queries i to last of one head, over all keys that they may look at. */
function band(y: usize, lse: usize, q: usize, k: usize, v: usize, mask: usize, i: i32, last: i32): void {
  const row = Head.size(1, Head.dv);
  const to = y + usize(i) * row;
  Running.start();
  if (Head.keys == 0) memory.fill(to, 0, usize(last - i) * row);
  for (let j = 0; j < Head.keys; j += KEYS) {
    const first = Head.firstQuery(i, j);
    if (first >= last) break;
    const count = last - first;
    const width = min(KEYS, Head.keys - j);
    Head.scores(Scratch.spare(), q, k, first, j, count, width);
    const at = to + usize(first - i) * row;
    for (let r = 0; r < count; r++)
      weigh(mask, at + usize(r) * row, first - i + r, first + r, Scratch.spare() + usize(r) * ROW, j, width);
    // Every query sees the first keys, so that tile writes and the others add.
    const value = v + Head.size(j, Head.dv);
    product(at, Scratch.spare(), value, 0, 0, count, Head.dv, width, 0, 0, ROW, row, row, 1, j > 0, 0);
  }
  for (let r = 0; r < last - i; r++) finish(to + usize(r) * row, lse + (usize(r) << 2), r);
}

/** Scores to exponentials, e^(score - maximum); the sum, and the outputs `y` so far, are brought to the new maximum. */
function weigh(mask: usize, y: usize, slot: i32, query: i32, s: usize, j: i32, width: i32): void {
  const seen = Head.seen(query, j, width);
  if (mask) Head.addMask(s, mask, query, j, seen);
  const held = Running.top() + (usize(slot) << 2);
  const old = f32.load(held);
  const top = Run.top(s, seen);
  const shift = max(old, top);
  // A query that has seen only -∞ subtracts 0: its exponentials are 0, but a NaN stays one.
  const by: f32 = shift == -Infinity ? 0 : shift;
  let sum = Row.exponentials(s, s, usize(seen) << 2, f32x4.splat(by));
  if (seen < width) memory.fill(s + (usize(seen) << 2), 0, usize(width - seen) << 2);
  const total = Running.total() + (usize(slot) << 3);
  if (j > 0) {
    const keep = old == shift ? <f32>1 : f32x4.extract_lane(Row.term(f32x4.splat(old), f32x4.splat(by)), 0);
    if (keep != 1) Head.times(y, keep);
    sum += f64.load(total) * f64(keep);
  }
  f32.store(held, shift);
  f64.store(total, sum);
}

/** Divides by the sum; a query that could look nowhere gives 0. */
function finish(y: usize, lse: usize, slot: i32): void {
  const total = f64.load(Running.total() + (usize(slot) << 3));
  if (total == 0) {
    f32.store(lse, -Infinity);
    memory.fill(y, 0, Head.size(1, Head.dv));
    return;
  }
  f32.store(lse, f32.load(Running.top() + (usize(slot) << 2)) + Row.log(total));
  Head.times(y, f32(1.0 / total));
}
