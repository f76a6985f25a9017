// Optimizer updates: one pass over parameters, gradients and state, operation for operation as the rows' formulas, each
// rounded to float32. A rule is written once for a vector or a lane of memory; scalars are broadcast from their cells.
import { Leaves } from './leaves';
import { Part } from './part';
import { Double } from './runs';
import { Lanes } from './simd';

/** How a rule reaches memory: four elements at a time. */
@final
@unmanaged
class Four {
  @inline load(p: usize): v128 {
    return v128.load(p);
  }
  @inline store(p: usize, x: v128): void {
    v128.store(p, x);
  }
}
/** One element, in every lane. */
@final
@unmanaged
class One {
  @inline load(p: usize): v128 {
    return v128.load32_splat(p);
  }
  @inline store(p: usize, x: v128): void {
    v128.store32_lane(p, x, 0);
  }
}

/** 2^-126 and its root. */
const SMALLEST_NORMAL: f64 = 1.1754943508222875e-38;
const ROOT_OF_SMALLEST: f32 = 1.0842021724855044e-19;

class Rule {
  @inline static cell(cells: usize, k: usize): v128 {
    return v128.load32_splat(cells + 4 * k);
  }
  @inline static load<M>(p: usize): v128 {
    return changetype<M>(0).load(p);
  }
  @inline static store<M>(p: usize, x: v128): void {
    changetype<M>(0).store(p, x);
  }
  /** sign g + wd p; every rule has wd and sign in cells 1 and 2. */
  @inline static gradient<M>(p: usize, g: usize, cells: usize): v128 {
    const pull = f32x4.mul(Rule.cell(cells, 1), Rule.load<M>(p));
    return f32x4.add(f32x4.mul(Rule.cell(cells, 2), Rule.load<M>(g)), pull);
  }
  /** Below this, in every lane, c x would be subnormal; c from cell k. */
  @inline static leastScaled(cells: usize, k: usize): v128 {
    return f32x4.splat(f32(SMALLEST_NORMAL / f64(load<f32>(cells + 4 * k))));
  }
  /** m += c1 (d - m), stored; cells 3. */
  @inline static mean<M>(m: usize, d: v128, cells: usize, least: v128): v128 {
    const old = Rule.load<M>(m);
    const now = f32x4.add(old, f32x4.mul(Rule.cell(cells, 3), f32x4.sub(d, old)));
    const y = Lanes.flushBelow(now, least);
    Rule.store<M>(m, y);
    return y;
  }
  /** Below this, in every lane, c e e would be subnormal; c from cell k. */
  @inline static least(cells: usize, k: usize): v128 {
    return f32x4.splat(f32(Math.sqrt(SMALLEST_NORMAL / f64(load<f32>(cells + 4 * k)))));
  }
  /** c e e, or 0 where that is below the smallest normal number: subnormal products take a hundred times as long. */
  @inline static squared(e: v128, c: v128, least: v128): v128 {
    const x = Lanes.flushBelow(e, least);
    return f32x4.mul(f32x4.mul(c, x), x);
  }
  /** v = a v + c e e, stored. */
  @inline static power<M>(v: usize, e: v128, a: v128, c: v128, least: v128): v128 {
    const y = f32x4.add(f32x4.mul(a, Rule.load<M>(v)), Rule.squared(e, c, least));
    const flushed = Lanes.flush(y);
    Rule.store<M>(v, flushed);
    return flushed;
  }
  /** The larger of `now` and the stored maximum, stored; NaN of either wins. */
  @inline static peak<M>(vmax: usize, now: v128): v128 {
    const y = v128.or(f32x4.pmax(Rule.load<M>(vmax), now), f32x4.ne(now, now));
    Rule.store<M>(vmax, y);
    return y;
  }
  @inline static subtract<M>(p: usize, x: v128): void {
    Rule.store<M>(p, f32x4.sub(Rule.load<M>(p), x));
  }

  @inline static sgd<M>(p: usize, g: usize, cells: usize): void {
    Rule.subtract<M>(p, f32x4.mul(Rule.cell(cells, 0), Rule.gradient<M>(p, g, cells)));
  }

  @inline static momentum<M>(p: usize, g: usize, v: usize, cells: usize): void {
    const d = Rule.gradient<M>(p, g, cells);
    const kept = f32x4.mul(Rule.cell(cells, 3), Rule.load<M>(v));
    const now = Lanes.flush(f32x4.add(kept, f32x4.mul(Rule.cell(cells, 4), d)));
    Rule.store<M>(v, now);
    const mix = f32x4.add(f32x4.mul(Rule.cell(cells, 5), d), f32x4.mul(Rule.cell(cells, 6), now));
    Rule.subtract<M>(p, f32x4.mul(Rule.cell(cells, 0), mix));
  }

  @inline static adagrad<M>(p: usize, g: usize, s: usize, cells: usize): void {
    const d = Rule.gradient<M>(p, g, cells);
    const square = Rule.squared(d, Lanes.one(), f32x4.splat(ROOT_OF_SMALLEST));
    const sum = Lanes.flush(f32x4.add(Rule.load<M>(s), square));
    Rule.store<M>(s, sum);
    const bottom = f32x4.add(f32x4.sqrt(sum), Rule.cell(cells, 3));
    Rule.subtract<M>(p, Lanes.quotient(f32x4.mul(Rule.cell(cells, 0), d), bottom));
  }

  @inline static rmsprop<M>(
    p: usize,
    g: usize,
    v: usize,
    mean: usize,
    buf: usize,
    cells: usize,
    least: v128,
  ): void {
    const d = Rule.gradient<M>(p, g, cells);
    let e = d;
    if (mean) {
      const old = Rule.load<M>(mean);
      e = f32x4.sub(d, old);
      Rule.store<M>(mean, Lanes.flush(f32x4.add(old, f32x4.mul(Rule.cell(cells, 5), e))));
    }
    const average = Rule.power<M>(v, e, Rule.cell(cells, 3), Rule.cell(cells, 4), least);
    let q = Lanes.quotient(d, f32x4.add(f32x4.sqrt(average), Rule.cell(cells, 6)));
    if (buf) {
      q = Lanes.flush(f32x4.add(f32x4.mul(Rule.cell(cells, 7), Rule.load<M>(buf)), q));
      Rule.store<M>(buf, q);
    }
    Rule.subtract<M>(p, f32x4.mul(Rule.cell(cells, 0), q));
  }

  @inline static adam<M>(
    p: usize,
    g: usize,
    m: usize,
    v: usize,
    vmax: usize,
    cells: usize,
    least: v128,
    leastMean: v128,
    leastMoving: v128,
  ): void {
    const d = Rule.gradient<M>(p, g, cells);
    const mean = Lanes.flushBelow(Rule.mean<M>(m, d, cells, leastMean), leastMoving);
    const top = f32x4.mul(Rule.cell(cells, 0), mean);
    let w = Rule.power<M>(v, d, Rule.cell(cells, 4), Rule.cell(cells, 5), least);
    if (vmax) w = Rule.peak<M>(vmax, f32x4.mul(w, Rule.cell(cells, 8)));
    const bottom = f32x4.add(f32x4.mul(f32x4.sqrt(w), Rule.cell(cells, 9)), Rule.cell(cells, 6));
    const shrunk = f32x4.mul(Rule.load<M>(p), Rule.cell(cells, 7));
    Rule.store<M>(p, f32x4.sub(shrunk, Lanes.quotient(top, bottom)));
  }

  @inline static adabound<M>(
    p: usize,
    g: usize,
    m: usize,
    v: usize,
    vmax: usize,
    cells: usize,
    least: v128,
    leastMean: v128,
  ): void {
    const d = Rule.gradient<M>(p, g, cells);
    const mean = Rule.mean<M>(m, d, cells, leastMean);
    let w = Rule.power<M>(v, d, Rule.cell(cells, 4), Rule.cell(cells, 5), least);
    if (vmax) w = Rule.peak<M>(vmax, w);
    const rate = f32x4.div(Rule.cell(cells, 0), f32x4.add(f32x4.sqrt(w), Rule.cell(cells, 6)));
    // pmax(low, rate) is low < rate ? rate : low, so NaN clips to low.
    const clipped = f32x4.pmin(Rule.cell(cells, 8), f32x4.pmax(Rule.cell(cells, 7), rate));
    Rule.subtract<M>(p, f32x4.mul(clipped, mean));
  }

  @inline static lion<M>(p: usize, g: usize, m: usize, cells: usize): void {
    const d = Rule.gradient<M>(p, g, cells);
    const old = Rule.load<M>(m);
    const x = f32x4.add(f32x4.mul(Rule.cell(cells, 3), old), f32x4.mul(Rule.cell(cells, 4), d));
    const moves = f32x4.gt(Lanes.abs(x), f32x4.splat(0));
    const u = v128.bitselect(Lanes.withSign(Lanes.one(), x), x, moves);
    const now = f32x4.add(f32x4.mul(Rule.cell(cells, 5), old), f32x4.mul(Rule.cell(cells, 6), d));
    Rule.store<M>(m, Lanes.flush(now));
    const shrunk = f32x4.mul(Rule.load<M>(p), Rule.cell(cells, 7));
    Rule.store<M>(p, f32x4.sub(shrunk, f32x4.mul(Rule.cell(cells, 0), u)));
  }

  /** Adam's step q, added to p; returns q. The gradient is handed in, because its product with q is wanted too. */
  @inline static swats<M>(
    p: usize,
    d: v128,
    m: usize,
    v: usize,
    cells: usize,
    least: v128,
    leastMean: v128,
    leastMoving: v128,
  ): v128 {
    const mean = Lanes.flushBelow(Rule.mean<M>(m, d, cells, leastMean), leastMoving);
    const top = f32x4.mul(Rule.cell(cells, 0), mean);
    const w = Rule.power<M>(v, d, Rule.cell(cells, 4), Rule.cell(cells, 5), least);
    const bottom = f32x4.add(f32x4.sqrt(w), Rule.cell(cells, 6));
    const q = f32x4.neg(Lanes.quotient(top, bottom));
    Rule.store<M>(p, f32x4.add(Rule.load<M>(p), q));
    return q;
  }
}

export function sgdStep(p: usize, g: usize, cells: usize, n: i32): void {
  const bytes = usize(n) << 2;
  let i: usize = 0;
  for (const end = bytes & ~15; i < end; i += 16) Rule.sgd<Four>(p + i, g + i, cells);
  for (; i < bytes; i += 4) Rule.sgd<One>(p + i, g + i, cells);
}

export function momentumStep(p: usize, g: usize, v: usize, cells: usize, n: i32): void {
  const bytes = usize(n) << 2;
  let i: usize = 0;
  for (const end = bytes & ~15; i < end; i += 16) Rule.momentum<Four>(p + i, g + i, v + i, cells);
  for (; i < bytes; i += 4) Rule.momentum<One>(p + i, g + i, v + i, cells);
}

export function adagradStep(p: usize, g: usize, s: usize, cells: usize, n: i32): void {
  const bytes = usize(n) << 2;
  let i: usize = 0;
  for (const end = bytes & ~15; i < end; i += 16) Rule.adagrad<Four>(p + i, g + i, s + i, cells);
  for (; i < bytes; i += 4) Rule.adagrad<One>(p + i, g + i, s + i, cells);
}

/** The address of element i, or 0 where the array is absent. */
class Maybe {
  @inline static at(p: usize, i: usize): usize {
    return p ? p + i : 0;
  }
}

export function rmspropStep(
  p: usize,
  g: usize,
  v: usize,
  mean: usize,
  buf: usize,
  cells: usize,
  n: i32,
): void {
  const least = Rule.least(cells, 4);
  const bytes = usize(n) << 2;
  let i: usize = 0;
  const end = bytes & ~15;
  // The plain form has its own loop without tests.
  if (!mean && !buf) for (; i < end; i += 16) Rule.rmsprop<Four>(p + i, g + i, v + i, 0, 0, cells, least);
  for (; i < end; i += 16)
    Rule.rmsprop<Four>(p + i, g + i, v + i, Maybe.at(mean, i), Maybe.at(buf, i), cells, least);
  for (; i < bytes; i += 4)
    Rule.rmsprop<One>(p + i, g + i, v + i, Maybe.at(mean, i), Maybe.at(buf, i), cells, least);
}

export function adamStep(p: usize, g: usize, m: usize, v: usize, vmax: usize, cells: usize, n: i32): void {
  const least = Rule.least(cells, 5);
  const leastMean = Rule.leastScaled(cells, 3);
  const leastMoving = Rule.leastScaled(cells, 0);
  const bytes = usize(n) << 2;
  let i: usize = 0;
  const end = bytes & ~15;
  if (vmax)
    for (; i < end; i += 16)
      Rule.adam<Four>(p + i, g + i, m + i, v + i, vmax + i, cells, least, leastMean, leastMoving);
  else
    for (; i < end; i += 16)
      Rule.adam<Four>(p + i, g + i, m + i, v + i, 0, cells, least, leastMean, leastMoving);
  for (; i < bytes; i += 4)
    Rule.adam<One>(p + i, g + i, m + i, v + i, Maybe.at(vmax, i), cells, least, leastMean, leastMoving);
}

export function adaboundStep(
  p: usize,
  g: usize,
  m: usize,
  v: usize,
  vmax: usize,
  cells: usize,
  n: i32,
): void {
  const least = Rule.least(cells, 5);
  const leastMean = Rule.leastScaled(cells, 3);
  const bytes = usize(n) << 2;
  let i: usize = 0;
  const end = bytes & ~15;
  if (vmax)
    for (; i < end; i += 16)
      Rule.adabound<Four>(p + i, g + i, m + i, v + i, vmax + i, cells, least, leastMean);
  else for (; i < end; i += 16) Rule.adabound<Four>(p + i, g + i, m + i, v + i, 0, cells, least, leastMean);
  for (; i < bytes; i += 4)
    Rule.adabound<One>(p + i, g + i, m + i, v + i, Maybe.at(vmax, i), cells, least, leastMean);
}

export function lionStep(p: usize, g: usize, m: usize, cells: usize, n: i32): void {
  const bytes = usize(n) << 2;
  let i: usize = 0;
  for (const end = bytes & ~15; i < end; i += 16) Rule.lion<Four>(p + i, g + i, m + i, cells);
  for (; i < bytes; i += 4) Rule.lion<One>(p + i, g + i, m + i, cells);
}

export function swatsStep(p: usize, g: usize, m: usize, v: usize, dots: usize, cells: usize, n: i32): void {
  const last = Leaves.to(n);
  for (let k = Leaves.from(n); k < last; k++) {
    const at = usize(Leaves.start(k)) << 2;
    swatsLeaf(p + at, g + at, m + at, v + at, cells, Leaves.length(k, n), k);
  }
  if (!Part.ends()) return;
  Double.store(dots, Leaves.total(0, n));
  Double.store(dots + 8, Leaves.total(1, n));
}

/** The step of one leaf; q q and q d of it are its two quantities. */
function swatsLeaf(p: usize, g: usize, m: usize, v: usize, cells: usize, n: i32, leaf: i32): void {
  const least = Rule.least(cells, 5);
  const leastMean = Rule.leastScaled(cells, 3);
  const leastMoving = Rule.leastScaled(cells, 0);
  const bytes = usize(n) << 2;
  let i: usize = 0;
  let qq = f64x2.splat(0);
  let qd = f64x2.splat(0);
  for (const end = bytes & ~15; i < end; i += 16) {
    const d = Rule.gradient<Four>(p + i, g + i, cells);
    const q = Rule.swats<Four>(p + i, d, m + i, v + i, cells, least, leastMean, leastMoving);
    const low = f64x2.promote_low_f32x4(q);
    const high = Lanes.promoteHigh(q);
    qq = f64x2.add(qq, f64x2.add(f64x2.mul(low, low), f64x2.mul(high, high)));
    qd = f64x2.add(qd, f64x2.mul(low, f64x2.promote_low_f32x4(d)));
    qd = f64x2.add(qd, f64x2.mul(high, Lanes.promoteHigh(d)));
  }
  let sumQQ = f64x2.extract_lane(qq, 0) + f64x2.extract_lane(qq, 1);
  let sumQD = f64x2.extract_lane(qd, 0) + f64x2.extract_lane(qd, 1);
  for (; i < bytes; i += 4) {
    const d = Rule.gradient<One>(p + i, g + i, cells);
    const q = f64(
      f32x4.extract_lane(Rule.swats<One>(p + i, d, m + i, v + i, cells, least, leastMean, leastMoving), 0),
    );
    sumQQ += q * q;
    sumQD += q * f64(f32x4.extract_lane(d, 0));
  }
  Leaves.put(leaf, 0, sumQQ);
  Leaves.put(leaf, 1, sumQD);
}
