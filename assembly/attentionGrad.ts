// The gradient of attention, tile by tile: weights are made again from each query's log-sum-exp, so no tile outlives its
// turn. A tile takes five matrix products: scores, gradients of weights, and one for each of gq, gk and gv.
import { Curve } from './curves';
import { Head, KEYS, QUERIES, ROW } from './head';
import { product } from './matmul';
import { Run, Together } from './runs';
import { Scratch } from './scratch';

/** Weights p, their gradients, and Σ g y of each query. */
class Tiles {
  @inline static weights(): usize {
    return Scratch.spare();
  }
  @inline static slopes(): usize {
    return Scratch.spare() + usize(QUERIES) * ROW;
  }
  @inline static dots(): usize {
    return Tiles.slopes() + usize(QUERIES) * ROW;
  }
}

/** The operands of the head at hand. */
class At {
  static gq: usize = 0;
  static gk: usize = 0;
  static gv: usize = 0;
  static g: usize = 0;
  static q: usize = 0;
  static k: usize = 0;
  static v: usize = 0;
  static lse: usize = 0;
  static mask: usize = 0;
}

export function attentionGrad(
  gq: usize,
  gk: usize,
  gv: usize,
  g: usize,
  q: usize,
  k: usize,
  v: usize,
  y: usize,
  lse: usize,
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
  memory.fill(gq, 0, usize(n) * Head.size(queries, d));
  memory.fill(gk, 0, usize(n) * Head.size(keys, d));
  memory.fill(gv, 0, usize(n) * Head.size(keys, dv));
  for (let b: usize = 0; b < usize(n); b++) {
    At.gq = gq + b * Head.size(queries, d);
    At.gk = gk + b * Head.size(keys, d);
    At.gv = gv + b * Head.size(keys, dv);
    At.g = g + b * Head.size(queries, dv);
    At.q = q + b * Head.size(queries, d);
    At.k = k + b * Head.size(keys, d);
    At.v = v + b * Head.size(keys, dv);
    At.lse = lse + b * (usize(queries) << 2);
    At.mask = mask ? mask + b * (usize(maskStride) << 2) : 0;
    const out = y + b * Head.size(queries, dv);
    for (let i = 0; i < queries; i += QUERIES) band(out, i, min(queries, i + QUERIES));
  }
}

/** Queries i to last of the head, over all keys that they may look at. */
function band(y: usize, i: i32, last: i32): void {
  for (let r = i; r < last; r++) {
    const at = Head.size(r, Head.dv);
    f32.store(Tiles.dots() + (usize(r - i) << 2), f32(Run.total<Together>(At.g + at, y + at, 0, Head.dv)));
  }
  for (let j = 0; j < Head.keys; j += KEYS) {
    const first = Head.firstQuery(i, j);
    if (first >= last) break;
    tile(first, last - first, j, min(KEYS, Head.keys - j), Tiles.dots() + (usize(first - i) << 2));
  }
}

function tile(i: i32, count: i32, j: i32, width: i32, dots: usize): void {
  const p = Tiles.weights();
  const r = Tiles.slopes();
  const row = Head.size(1, Head.d);
  const wide = Head.size(1, Head.dv);
  const g = At.g + Head.size(i, Head.dv);
  const k = At.k + Head.size(j, Head.d);
  Head.scores(p, At.q, At.k, i, j, count, width);
  const v = At.v + Head.size(j, Head.dv);
  product(r, g, v, 0, 0, count, width, Head.dv, 0, 1, wide, wide, ROW, 1, false, 0);
  for (let c = 0; c < count; c++) {
    const line = usize(c) * ROW;
    const seen = Head.seen(i + c, j, width);
    if (At.mask) Head.addMask(p + line, At.mask, i + c, j, seen);
    const lse = f32.load(At.lse + (usize(i + c) << 2));
    slopes(p + line, r + line, seen, width, lse, f32.load(dots + (usize(c) << 2)));
  }
  const gv = At.gv + Head.size(j, Head.dv);
  product(gv, p, g, 0, 0, width, Head.dv, count, 1, 0, ROW, wide, wide, 1, true, 0);
  const gq = At.gq + Head.size(i, Head.d);
  product(gq, r, k, 0, 0, count, Head.d, width, 0, 0, ROW, row, row, 1, true, 0);
  const gk = At.gk + Head.size(j, Head.d);
  const q = At.q + Head.size(i, Head.d);
  product(gk, r, q, 0, 0, width, Head.d, count, 1, 0, ROW, row, row, 1, true, 0);
}

/** p = e^(p - lse) and r = scale p (r - dot) where the query may look, 0 beyond. Whole vectors: a tile has room for them. */
function slopes(p: usize, r: usize, seen: i32, width: i32, lse: f32, dot: f32): void {
  const size = usize(seen) << 2;
  // Who could look nowhere has no weights.
  const used: usize = lse == -Infinity ? 0 : size;
  const log = f32x4.splat(lse);
  const d = f32x4.splat(dot);
  const s = f32x4.splat(Head.scale);
  for (let c: usize = 0; c < used; c += 16) {
    const e = Curve.expDown(f32x4.sub(v128.load(p + c), log));
    v128.store(p + c, e);
    v128.store(r + c, f32x4.mul(f32x4.mul(s, e), f32x4.sub(v128.load(r + c), d)));
  }
  const rest = (usize(width) << 2) - used;
  memory.fill(p + used, 0, rest);
  memory.fill(r + used, 0, rest);
}
