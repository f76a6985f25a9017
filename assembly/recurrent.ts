// Recurrent layers through time. A row of the batch never meets another, so a part takes some rows through all steps:
// products with the weights, then the cell, whose blocks of `hidden` numbers stand side by side. A cell's formula is a
// function of where its first numbers stand; it runs on four elements, and at a row's end on one at a time.
import { Curve } from './curves';
import { product } from './matmul';
import { Part } from './part';
import { Lanes } from './simd';

/** How a formula reaches memory: four elements. */
@final
@unmanaged
class Four {
  @inline load(p: usize): v128 {
    return v128.load(p);
  }
  @inline store(p: usize, v: v128): void {
    v128.store(p, v);
  }
}
/** One element, in all lanes. */
@final
@unmanaged
class One {
  @inline load(p: usize): v128 {
    return v128.load32_splat(p);
  }
  @inline store(p: usize, v: v128): void {
    v128.store32_lane(p, v, 0);
  }
}

class Gate {
  /** s (1 - s): the slope of the logistic function from its value. */
  @inline static sigmoidSlope(s: v128): v128 {
    return f32x4.mul(s, f32x4.sub(Lanes.one(), s));
  }
  /** (1 - t)(1 + t). */
  @inline static tanhSlope(t: v128): v128 {
    return f32x4.mul(f32x4.sub(Lanes.one(), t), f32x4.add(Lanes.one(), t));
  }
}

/** Rows of the batch that a part takes through time. */
class Walk {
  static rows: i32 = 0;
  static first: usize = 0;

  /** Parts have four rows at least: one alone would be summed in the order of a product with a vector. */
  static begin(batch: i32): void {
    const alone = batch < 4 * Part.count;
    const from = alone ? 0 : Part.from(batch, 4);
    const to = alone ? (Part.index == 0 ? batch : 0) : Part.to(batch, 4);
    Walk.first = usize(from);
    Walk.rows = to - from;
  }
  /** C = (C where it adds) + A B + bias of the part's rows of A [batch, k] and C, whose rows are `ldc` bytes apart. */
  static product(
    c: usize,
    a: usize,
    b: usize,
    bias: usize,
    n: i32,
    k: i32,
    ldb: usize,
    ldc: usize,
    adds: bool,
  ): void {
    const lda = usize(k) << 2;
    const to = c + Walk.first * ldc;
    product(to, a + Walk.first * lda, b, bias, 0, Walk.rows, n, k, 0, 0, lda, ldb, ldc, 1, adds, 0);
  }
}

/** `blocks` has the sums of both products, and gets the gates. */
function lstmStep<How>(h: usize, c: usize, blocks: usize, before: usize, block: usize): void {
  const how = changetype<How>(0);
  const i = Curve.sigmoid(how.load(blocks));
  const f = Curve.sigmoid(how.load(blocks + block));
  const g = Curve.tanh(how.load(blocks + 2 * block));
  const o = Curve.sigmoid(how.load(blocks + 3 * block));
  const next = Lanes.madd(f, how.load(before), f32x4.mul(i, g));
  how.store(blocks, i);
  how.store(blocks + block, f);
  how.store(blocks + 2 * block, g);
  how.store(blocks + 3 * block, o);
  how.store(c, next);
  how.store(h, f32x4.mul(o, Curve.tanh(next)));
}

export function lstm(
  h: usize,
  c: usize,
  gates: usize,
  x: usize,
  wx: usize,
  wh: usize,
  bx: usize,
  bh: usize,
  time: i32,
  batch: i32,
  inputs: i32,
  hidden: i32,
  reverse: i32,
): void {
  Walk.begin(batch);
  const block = usize(hidden) << 2;
  const wide = 4 * block;
  const state = usize(batch) * block;
  for (let k = 0; k < time; k++) {
    const at = usize(reverse ? time - 1 - k : k);
    const before = (reverse ? at + 1 : at) * state;
    const after = (reverse ? at : at + 1) * state;
    const own = gates + at * 4 * state;
    Walk.product(
      own,
      x + ((at * usize(batch) * usize(inputs)) << 2),
      wx,
      bx,
      4 * hidden,
      inputs,
      wide,
      wide,
      false,
    );
    Walk.product(own, h + before, wh, bh, 4 * hidden, hidden, wide, wide, true);
    for (let q: usize = 0; q < usize(Walk.rows); q++) {
      const one = (Walk.first + q) * block;
      const from = own + 4 * one;
      let j: usize = 0;
      for (const end = block & ~15; j < end; j += 16)
        lstmStep<Four>(h + after + one + j, c + after + one + j, from + j, c + before + one + j, block);
      for (; j < block; j += 4)
        lstmStep<One>(h + after + one + j, c + after + one + j, from + j, c + before + one + j, block);
    }
  }
}

/** `one` and `four` are the distances of the element in rows of one and of four blocks. */
function lstmGradStep<How>(
  gx: usize,
  gh: usize,
  gc: usize,
  gy: usize,
  gates: usize,
  before: usize,
  after: usize,
  one: usize,
  four: usize,
  block: usize,
): void {
  const how = changetype<How>(0);
  const i = how.load(gates + four);
  const f = how.load(gates + four + block);
  const g = how.load(gates + four + 2 * block);
  const o = how.load(gates + four + 3 * block);
  const h = f32x4.add(how.load(gy + one), how.load(gh + one));
  const t = Curve.tanh(how.load(after + one));
  const c = Lanes.madd(f32x4.mul(h, o), Gate.tanhSlope(t), how.load(gc + one));
  how.store(gx + four, f32x4.mul(f32x4.mul(c, g), Gate.sigmoidSlope(i)));
  how.store(gx + four + block, f32x4.mul(f32x4.mul(c, how.load(before + one)), Gate.sigmoidSlope(f)));
  how.store(gx + four + 2 * block, f32x4.mul(f32x4.mul(c, i), Gate.tanhSlope(g)));
  how.store(gx + four + 3 * block, f32x4.mul(f32x4.mul(h, t), Gate.sigmoidSlope(o)));
  how.store(gc + one, f32x4.mul(c, f));
}

export function lstmGrad(
  gx: usize,
  gh: usize,
  gc: usize,
  gy: usize,
  gates: usize,
  c: usize,
  w: usize,
  time: i32,
  batch: i32,
  hidden: i32,
  reverse: i32,
  through: i32,
): void {
  Walk.begin(batch);
  const block = usize(hidden) << 2;
  const state = usize(batch) * block;
  for (let k = time - 1; k >= 0; k--) {
    const at = usize(reverse ? time - 1 - k : k);
    const before = c + (reverse ? at + 1 : at) * state;
    const after = c + (reverse ? at : at + 1) * state;
    const out = gx + at * 4 * state;
    const own = gates + at * 4 * state;
    const outer = gy + at * state;
    for (let q: usize = 0; q < usize(Walk.rows); q++) {
      const one = (Walk.first + q) * block;
      let j: usize = 0;
      for (const end = block & ~15; j < end; j += 16)
        lstmGradStep<Four>(out, gh, gc, outer, own, before, after, one + j, 4 * one + j, block);
      for (; j < block; j += 4)
        lstmGradStep<One>(out, gh, gc, outer, own, before, after, one + j, 4 * one + j, block);
    }
    if (k > 0 || through) Walk.product(gh, out, w, 0, hidden, 4 * hidden, block, block, false);
  }
}

/** `blocks` has the sums of both products, but for the last, which stand in a block of their own; and gets the gates. */
function gruStep<How>(h: usize, blocks: usize, before: usize, block: usize): void {
  const how = changetype<How>(0);
  const r = Curve.sigmoid(how.load(blocks));
  const z = Curve.sigmoid(how.load(blocks + block));
  const n = Curve.tanh(Lanes.madd(r, how.load(blocks + 3 * block), how.load(blocks + 2 * block)));
  how.store(blocks, r);
  how.store(blocks + block, z);
  how.store(blocks + 2 * block, n);
  how.store(h, Lanes.madd(z, f32x4.sub(how.load(before), n), n));
}

export function gru(
  h: usize,
  gates: usize,
  x: usize,
  wx: usize,
  wh: usize,
  bx: usize,
  bh: usize,
  time: i32,
  batch: i32,
  inputs: i32,
  hidden: i32,
  reverse: i32,
): void {
  Walk.begin(batch);
  const block = usize(hidden) << 2;
  const wide = 3 * block;
  const row = 4 * block;
  const state = usize(batch) * block;
  const bias = bh ? bh + 2 * block : 0;
  for (let k = 0; k < time; k++) {
    const at = usize(reverse ? time - 1 - k : k);
    const before = h + (reverse ? at + 1 : at) * state;
    const after = h + (reverse ? at : at + 1) * state;
    const own = gates + at * 4 * state;
    Walk.product(
      own,
      x + ((at * usize(batch) * usize(inputs)) << 2),
      wx,
      bx,
      3 * hidden,
      inputs,
      wide,
      row,
      false,
    );
    Walk.product(own, before, wh, bh, 2 * hidden, hidden, wide, row, true);
    // The reset gate multiplies the last block of the product with h alone.
    Walk.product(own + wide, before, wh + 2 * block, bias, hidden, hidden, wide, row, false);
    for (let q: usize = 0; q < usize(Walk.rows); q++) {
      const one = (Walk.first + q) * block;
      const from = own + 4 * one;
      let j: usize = 0;
      for (const end = block & ~15; j < end; j += 16)
        gruStep<Four>(after + one + j, from + j, before + one + j, block);
      for (; j < block; j += 4) gruStep<One>(after + one + j, from + j, before + one + j, block);
    }
  }
}

/** `one`, `three` and `four` are the distances of the element in rows of so many blocks. */
function gruGradStep<How>(
  gx: usize,
  gp: usize,
  gh: usize,
  gd: usize,
  gy: usize,
  gates: usize,
  before: usize,
  one: usize,
  three: usize,
  four: usize,
  block: usize,
): void {
  const how = changetype<How>(0);
  const r = how.load(gates + four);
  const z = how.load(gates + four + block);
  const n = how.load(gates + four + 2 * block);
  const g = f32x4.add(f32x4.add(how.load(gy + one), how.load(gh + one)), how.load(gd + one));
  const gn = f32x4.mul(f32x4.mul(g, f32x4.sub(Lanes.one(), z)), Gate.tanhSlope(n));
  const gr = f32x4.mul(f32x4.mul(gn, how.load(gates + four + 3 * block)), Gate.sigmoidSlope(r));
  const gz = f32x4.mul(f32x4.mul(g, f32x4.sub(how.load(before + one), n)), Gate.sigmoidSlope(z));
  how.store(gx + three, gr);
  how.store(gx + three + block, gz);
  how.store(gx + three + 2 * block, gn);
  how.store(gp + three, gr);
  how.store(gp + three + block, gz);
  how.store(gp + three + 2 * block, f32x4.mul(gn, r));
  how.store(gd + one, f32x4.mul(g, z));
}

export function gruGrad(
  gx: usize,
  gp: usize,
  gh: usize,
  gd: usize,
  gy: usize,
  gates: usize,
  h: usize,
  w: usize,
  time: i32,
  batch: i32,
  hidden: i32,
  reverse: i32,
  through: i32,
): void {
  Walk.begin(batch);
  const block = usize(hidden) << 2;
  const state = usize(batch) * block;
  for (let k = time - 1; k >= 0; k--) {
    const at = usize(reverse ? time - 1 - k : k);
    const before = h + (reverse ? at + 1 : at) * state;
    const byX = gx + at * 3 * state;
    const out = gp + at * 3 * state;
    const own = gates + at * 4 * state;
    const outer = gy + at * state;
    for (let q: usize = 0; q < usize(Walk.rows); q++) {
      const one = (Walk.first + q) * block;
      let j: usize = 0;
      for (const end = block & ~15; j < end; j += 16)
        gruGradStep<Four>(byX, out, gh, gd, outer, own, before, one + j, 3 * one + j, 4 * one + j, block);
      for (; j < block; j += 4)
        gruGradStep<One>(byX, out, gh, gd, outer, own, before, one + j, 3 * one + j, 4 * one + j, block);
    }
    if (k > 0 || through) Walk.product(gh, out, w, 0, hidden, 3 * hidden, block, block, false);
  }
}
