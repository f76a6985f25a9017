// Batch normalisation over [n, c], without positions: rows are read in order and every channel's numbers wait in double.
import { Part } from './part';
import { Scratch } from './scratch';

/** Two channels in double at a time, an odd last one twice in the same lanes. */
class Pair {
  @inline static load(p: usize, both: bool): v128 {
    return f64x2.promote_low_f32x4(both ? v128.load64_zero(p) : v128.load32_zero(p));
  }
  @inline static store(p: usize, x: v128, both: bool): void {
    const y = f32x4.demote_f64x2_zero(x);
    if (both) v128.store64_lane(p, y, 0);
    else v128.store32_lane(p, y, 0);
  }
  @inline static add(p: usize, x: v128): void {
    v128.store(p, f64x2.add(v128.load(p), x));
  }
}

/** Channels worked on together; rows are read in order, so each channel's numbers wait in double: 256 KiB an array. */
const CHUNK: i32 = 1 << 15;
class Totals {
  @inline static sum(): usize {
    return Scratch.a();
  }
  @inline static dot(): usize {
    return Scratch.a() + (1 << 18);
  }
  @inline static mean(): usize {
    return Scratch.a() + (2 << 18);
  }
  @inline static scale(): usize {
    return Scratch.a() + (3 << 18);
  }
}

export function batchNormColumns(
  y: usize,
  mean: usize,
  variance: usize,
  x: usize,
  w: usize,
  b: usize,
  n: i32,
  c: i32,
  eps: f64,
): void {
  const last = Part.to(c, 16);
  for (let j = Part.from(c, 16); j < last; j += CHUNK) {
    const at = usize(j) << 2;
    const some = min(CHUNK, last - j);
    someColumns(y + at, mean + at, variance + at, x + at, w + at, b + at, usize(c) << 2, n, some, eps);
  }
}

function someColumns(
  y: usize,
  mean: usize,
  variance: usize,
  x: usize,
  w: usize,
  b: usize,
  row: usize,
  n: i32,
  c: i32,
  eps: f64,
): void {
  const size = usize(c) << 2;
  const count = f64x2.splat(n);
  memory.fill(Totals.sum(), 0, size << 1);
  memory.fill(Totals.dot(), 0, size << 1);
  for (let i: usize = 0; i < usize(n); i++)
    for (let j: usize = 0; j < size; j += 8)
      Pair.add(Totals.sum() + 2 * j, Pair.load(x + i * row + j, j + 8 <= size));
  for (let j: usize = 0; j < size; j += 8)
    v128.store(Totals.mean() + 2 * j, f64x2.div(v128.load(Totals.sum() + 2 * j), count));
  for (let i: usize = 0; i < usize(n); i++)
    for (let j: usize = 0; j < size; j += 8) {
      const d = f64x2.sub(Pair.load(x + i * row + j, j + 8 <= size), v128.load(Totals.mean() + 2 * j));
      Pair.add(Totals.dot() + 2 * j, f64x2.mul(d, d));
    }
  for (let j: usize = 0; j < size; j += 8) {
    const both = j + 8 <= size;
    const v = f64x2.div(v128.load(Totals.dot() + 2 * j), count);
    const deviation = f64x2.sqrt(f64x2.add(v, f64x2.splat(eps)));
    Pair.store(mean + j, v128.load(Totals.mean() + 2 * j), both);
    Pair.store(variance + j, v, both);
    v128.store(Totals.scale() + 2 * j, f64x2.div(Pair.load(w + j, both), deviation));
  }
  for (let i: usize = 0; i < usize(n); i++)
    for (let j: usize = 0; j < size; j += 8) {
      const both = j + 8 <= size;
      const d = f64x2.sub(Pair.load(x + i * row + j, both), v128.load(Totals.mean() + 2 * j));
      const h = f64x2.mul(d, v128.load(Totals.scale() + 2 * j));
      Pair.store(y + i * row + j, f64x2.add(h, Pair.load(b + j, both)), both);
    }
}

export function batchNormGradColumns(
  gx: usize,
  gw: usize,
  gb: usize,
  g: usize,
  x: usize,
  mean: usize,
  variance: usize,
  w: usize,
  n: i32,
  c: i32,
  eps: f64,
): void {
  const last = Part.to(c, 16);
  for (let j = Part.from(c, 16); j < last; j += CHUNK) {
    const at = usize(j) << 2;
    const some = min(CHUNK, last - j);
    const row = usize(c) << 2;
    someGradColumns(
      gx + at,
      gw + at,
      gb + at,
      g + at,
      x + at,
      mean + at,
      variance + at,
      w + at,
      row,
      n,
      some,
      eps,
    );
  }
}

function someGradColumns(
  gx: usize,
  gw: usize,
  gb: usize,
  g: usize,
  x: usize,
  mean: usize,
  variance: usize,
  w: usize,
  row: usize,
  n: i32,
  c: i32,
  eps: f64,
): void {
  const size = usize(c) << 2;
  const count = f64x2.splat(n);
  memory.fill(Totals.sum(), 0, size << 1);
  memory.fill(Totals.dot(), 0, size << 1);
  for (let i: usize = 0; i < usize(n); i++)
    for (let j: usize = 0; j < size; j += 8) {
      const both = j + 8 <= size;
      const v = Pair.load(g + i * row + j, both);
      Pair.add(Totals.sum() + 2 * j, v);
      const d = f64x2.sub(Pair.load(x + i * row + j, both), Pair.load(mean + j, both));
      Pair.add(Totals.dot() + 2 * j, f64x2.mul(v, d));
    }
  for (let j: usize = 0; j < size; j += 8) {
    const both = j + 8 <= size;
    const deviation = f64x2.sqrt(f64x2.add(Pair.load(variance + j, both), f64x2.splat(eps)));
    const sum = v128.load(Totals.sum() + 2 * j);
    const dot = f64x2.div(v128.load(Totals.dot() + 2 * j), deviation);
    Pair.store(gb + j, sum, both);
    Pair.store(gw + j, dot, both);
    v128.store(Totals.scale() + 2 * j, f64x2.div(Pair.load(w + j, both), deviation));
    v128.store(Totals.sum() + 2 * j, f64x2.div(sum, count));
    v128.store(Totals.dot() + 2 * j, f64x2.div(f64x2.div(dot, count), deviation));
  }
  for (let i: usize = 0; i < usize(n); i++)
    for (let j: usize = 0; j < size; j += 8) {
      const both = j + 8 <= size;
      const d = f64x2.sub(Pair.load(x + i * row + j, both), Pair.load(mean + j, both));
      const h = f64x2.mul(d, v128.load(Totals.dot() + 2 * j));
      const v = f64x2.sub(f64x2.sub(Pair.load(g + i * row + j, both), v128.load(Totals.sum() + 2 * j)), h);
      Pair.store(gx + i * row + j, f64x2.mul(v, v128.load(Totals.scale() + 2 * j)), both);
    }
}
