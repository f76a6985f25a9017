// One time step of the recurrent layers: blocks of `hidden` numbers side by side in rows, all else elementwise. A formula
// is a function of where its first numbers stand; it runs on four elements, and at a row's end on one at a time.
import { Curve } from './curves';
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

function lstmStep<How>(
  h: usize,
  c: usize,
  gates: usize,
  x: usize,
  p: usize,
  before: usize,
  block: usize,
): void {
  const how = changetype<How>(0);
  const i = Curve.sigmoid(f32x4.add(how.load(x), how.load(p)));
  const f = Curve.sigmoid(f32x4.add(how.load(x + block), how.load(p + block)));
  const g = Curve.tanh(f32x4.add(how.load(x + 2 * block), how.load(p + 2 * block)));
  const o = Curve.sigmoid(f32x4.add(how.load(x + 3 * block), how.load(p + 3 * block)));
  const next = Lanes.madd(f, how.load(before), f32x4.mul(i, g));
  how.store(gates, i);
  how.store(gates + block, f);
  how.store(gates + 2 * block, g);
  how.store(gates + 3 * block, o);
  how.store(c, next);
  how.store(h, f32x4.mul(o, Curve.tanh(next)));
}

export function lstmCell(
  h: usize,
  c: usize,
  gates: usize,
  x: usize,
  p: usize,
  before: usize,
  batch: i32,
  hidden: i32,
): void {
  const block = usize(hidden) << 2;
  for (let row: usize = 0; row < usize(batch); row++) {
    const one = row * block;
    const four = 4 * one;
    let j: usize = 0;
    for (const end = block & ~15; j < end; j += 16)
      lstmStep<Four>(
        h + one + j,
        c + one + j,
        gates + four + j,
        x + four + j,
        p + four + j,
        before + one + j,
        block,
      );
    for (; j < block; j += 4)
      lstmStep<One>(
        h + one + j,
        c + one + j,
        gates + four + j,
        x + four + j,
        p + four + j,
        before + one + j,
        block,
      );
  }
}

/** `one` and `four` are the distances of the element in rows of one and of four blocks. */
function lstmGradStep<How>(
  gx: usize,
  gBefore: usize,
  gy: usize,
  gh: usize,
  gc: usize,
  gates: usize,
  before: usize,
  after: usize,
  one: usize,
  four: usize,
  block: usize,
): void {
  const how = changetype<How>(0);
  const zero = f32x4.splat(0);
  const i = how.load(gates + four);
  const f = how.load(gates + four + block);
  const g = how.load(gates + four + 2 * block);
  const o = how.load(gates + four + 3 * block);
  const h = f32x4.add(how.load(gy + one), gh ? how.load(gh + one) : zero);
  const t = Curve.tanh(how.load(after + one));
  const c = Lanes.madd(f32x4.mul(h, o), Gate.tanhSlope(t), gc ? how.load(gc + one) : zero);
  how.store(gx + four, f32x4.mul(f32x4.mul(c, g), Gate.sigmoidSlope(i)));
  how.store(gx + four + block, f32x4.mul(f32x4.mul(c, how.load(before + one)), Gate.sigmoidSlope(f)));
  how.store(gx + four + 2 * block, f32x4.mul(f32x4.mul(c, i), Gate.tanhSlope(g)));
  how.store(gx + four + 3 * block, f32x4.mul(f32x4.mul(h, t), Gate.sigmoidSlope(o)));
  how.store(gBefore + one, f32x4.mul(c, f));
}

export function lstmCellGrad(
  gx: usize,
  gBefore: usize,
  gy: usize,
  gh: usize,
  gc: usize,
  gates: usize,
  before: usize,
  after: usize,
  batch: i32,
  hidden: i32,
): void {
  const block = usize(hidden) << 2;
  for (let row: usize = 0; row < usize(batch); row++) {
    const one = row * block;
    let j: usize = 0;
    for (const end = block & ~15; j < end; j += 16)
      lstmGradStep<Four>(gx, gBefore, gy, gh, gc, gates, before, after, one + j, 4 * one + j, block);
    for (; j < block; j += 4)
      lstmGradStep<One>(gx, gBefore, gy, gh, gc, gates, before, after, one + j, 4 * one + j, block);
  }
}

function gruStep<How>(h: usize, gates: usize, x: usize, p: usize, before: usize, block: usize): void {
  const how = changetype<How>(0);
  const product = how.load(p + 2 * block);
  const r = Curve.sigmoid(f32x4.add(how.load(x), how.load(p)));
  const z = Curve.sigmoid(f32x4.add(how.load(x + block), how.load(p + block)));
  const n = Curve.tanh(Lanes.madd(r, product, how.load(x + 2 * block)));
  how.store(gates, r);
  how.store(gates + block, z);
  how.store(gates + 2 * block, n);
  how.store(gates + 3 * block, product);
  how.store(h, Lanes.madd(z, f32x4.sub(how.load(before), n), n));
}

export function gruCell(
  h: usize,
  gates: usize,
  x: usize,
  p: usize,
  before: usize,
  batch: i32,
  hidden: i32,
): void {
  const block = usize(hidden) << 2;
  for (let row: usize = 0; row < usize(batch); row++) {
    const one = row * block;
    let j: usize = 0;
    for (const end = block & ~15; j < end; j += 16)
      gruStep<Four>(
        h + one + j,
        gates + 4 * one + j,
        x + 3 * one + j,
        p + 3 * one + j,
        before + one + j,
        block,
      );
    for (; j < block; j += 4)
      gruStep<One>(
        h + one + j,
        gates + 4 * one + j,
        x + 3 * one + j,
        p + 3 * one + j,
        before + one + j,
        block,
      );
  }
}

/** `one`, `three` and `four` are the distances of the element in rows of so many blocks. */
function gruGradStep<How>(
  gx: usize,
  gp: usize,
  gBefore: usize,
  gy: usize,
  gh: usize,
  gd: usize,
  gates: usize,
  before: usize,
  one: usize,
  three: usize,
  four: usize,
  block: usize,
): void {
  const how = changetype<How>(0);
  const zero = f32x4.splat(0);
  const r = how.load(gates + four);
  const z = how.load(gates + four + block);
  const n = how.load(gates + four + 2 * block);
  const outer = f32x4.add(how.load(gy + one), gh ? how.load(gh + one) : zero);
  const g = f32x4.add(outer, gd ? how.load(gd + one) : zero);
  const gn = f32x4.mul(f32x4.mul(g, f32x4.sub(Lanes.one(), z)), Gate.tanhSlope(n));
  const gr = f32x4.mul(f32x4.mul(gn, how.load(gates + four + 3 * block)), Gate.sigmoidSlope(r));
  const gz = f32x4.mul(f32x4.mul(g, f32x4.sub(how.load(before + one), n)), Gate.sigmoidSlope(z));
  how.store(gx + three, gr);
  how.store(gx + three + block, gz);
  how.store(gx + three + 2 * block, gn);
  how.store(gp + three, gr);
  how.store(gp + three + block, gz);
  how.store(gp + three + 2 * block, f32x4.mul(gn, r));
  how.store(gBefore + one, f32x4.mul(g, z));
}

export function gruCellGrad(
  gx: usize,
  gp: usize,
  gBefore: usize,
  gy: usize,
  gh: usize,
  gd: usize,
  gates: usize,
  before: usize,
  batch: i32,
  hidden: i32,
): void {
  const block = usize(hidden) << 2;
  for (let row: usize = 0; row < usize(batch); row++) {
    const one = row * block;
    let j: usize = 0;
    for (const end = block & ~15; j < end; j += 16)
      gruGradStep<Four>(gx, gp, gBefore, gy, gh, gd, gates, before, one + j, 3 * one + j, 4 * one + j, block);
    for (; j < block; j += 4)
      gruGradStep<One>(gx, gp, gBefore, gy, gh, gd, gates, before, one + j, 3 * one + j, 4 * one + j, block);
  }
}
