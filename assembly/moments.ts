// Optimizer updates with second moments, as update.ts has the others. A rule is written once, for a vector or a lane of memory;
// it reads its scalars from their cells each time, as V8 11 has too few registers to hold them. The plain forms go by page by page.
import { Leaves } from './leaves';
import { Part } from './part';
import { Double } from './runs';
import { Four, One, Pages, Rule } from './rule';
import { Lanes } from './simd';

class Moments {
  @inline static rmsprop<M>(
    p: usize,
    g: usize,
    v: usize,
    mean: usize,
    buf: usize,
    cells: usize,
    least: v128,
  ): void {
    const d = Rule.gradientAt<M>(p, g, cells);
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
    Rule.store<M>(p, f32x4.sub(Rule.load<M>(p), f32x4.mul(Rule.cell(cells, 0), q)));
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
    const d = Rule.gradientAt<M>(p, g, cells);
    const mean = Lanes.flushBelow(Rule.mean<M>(m, d, Rule.cell(cells, 3), leastMean), leastMoving);
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
    const d = Rule.gradientAt<M>(p, g, cells);
    const mean = Rule.mean<M>(m, d, Rule.cell(cells, 3), leastMean);
    let w = Rule.power<M>(v, d, Rule.cell(cells, 4), Rule.cell(cells, 5), least);
    if (vmax) w = Rule.peak<M>(vmax, w);
    const rate = f32x4.div(Rule.cell(cells, 0), f32x4.add(f32x4.sqrt(w), Rule.cell(cells, 6)));
    // pmax(low, rate) is low < rate ? rate : low, so NaN clips to low.
    const clipped = f32x4.pmin(Rule.cell(cells, 8), f32x4.pmax(Rule.cell(cells, 7), rate));
    Rule.store<M>(p, f32x4.sub(Rule.load<M>(p), f32x4.mul(clipped, mean)));
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
    const mean = Lanes.flushBelow(Rule.mean<M>(m, d, Rule.cell(cells, 3), leastMean), leastMoving);
    const top = f32x4.mul(Rule.cell(cells, 0), mean);
    const w = Rule.power<M>(v, d, Rule.cell(cells, 4), Rule.cell(cells, 5), least);
    const bottom = f32x4.add(f32x4.sqrt(w), Rule.cell(cells, 6));
    const q = f32x4.neg(Lanes.quotient(top, bottom));
    Rule.store<M>(p, f32x4.add(Rule.load<M>(p), q));
    return q;
  }
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
  const least = Rule.leastSquared(cells, 4);
  const bytes = usize(n) << 2;
  let i: usize = 0;
  const end = bytes & ~15;
  // The plain form has its own loop without tests.
  if (!mean && !buf)
    while (i < end) {
      const stop = Pages.after(i, end);
      Pages.ask3(p, g, v, i, end);
      for (; i < stop; i += 16) Moments.rmsprop<Four>(p + i, g + i, v + i, 0, 0, cells, least);
    }
  for (; i < end; i += 16)
    Moments.rmsprop<Four>(p + i, g + i, v + i, Maybe.at(mean, i), Maybe.at(buf, i), cells, least);
  for (; i < bytes; i += 4)
    Moments.rmsprop<One>(p + i, g + i, v + i, Maybe.at(mean, i), Maybe.at(buf, i), cells, least);
}

export function adamStep(p: usize, g: usize, m: usize, v: usize, vmax: usize, cells: usize, n: i32): void {
  const least = Rule.leastSquared(cells, 5);
  const leastMean = Rule.leastScaled(cells, 3);
  const leastMoving = Rule.leastScaled(cells, 0);
  const bytes = usize(n) << 2;
  let i: usize = 0;
  const end = bytes & ~15;
  if (vmax)
    for (; i < end; i += 16)
      Moments.adam<Four>(p + i, g + i, m + i, v + i, vmax + i, cells, least, leastMean, leastMoving);
  else
    while (i < end) {
      const stop = Pages.after(i, end);
      Pages.ask4(p, g, m, v, i, end);
      for (; i < stop; i += 16)
        Moments.adam<Four>(p + i, g + i, m + i, v + i, 0, cells, least, leastMean, leastMoving);
    }
  for (; i < bytes; i += 4)
    Moments.adam<One>(p + i, g + i, m + i, v + i, Maybe.at(vmax, i), cells, least, leastMean, leastMoving);
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
  const least = Rule.leastSquared(cells, 5);
  const leastMean = Rule.leastScaled(cells, 3);
  const bytes = usize(n) << 2;
  let i: usize = 0;
  const end = bytes & ~15;
  if (vmax)
    for (; i < end; i += 16)
      Moments.adabound<Four>(p + i, g + i, m + i, v + i, vmax + i, cells, least, leastMean);
  else
    while (i < end) {
      const stop = Pages.after(i, end);
      Pages.ask4(p, g, m, v, i, end);
      for (; i < stop; i += 16)
        Moments.adabound<Four>(p + i, g + i, m + i, v + i, 0, cells, least, leastMean);
    }
  for (; i < bytes; i += 4)
    Moments.adabound<One>(p + i, g + i, m + i, v + i, Maybe.at(vmax, i), cells, least, leastMean);
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
  const least = Rule.leastSquared(cells, 5);
  const leastMean = Rule.leastScaled(cells, 3);
  const leastMoving = Rule.leastScaled(cells, 0);
  const bytes = usize(n) << 2;
  let i: usize = 0;
  let qq = f64x2.splat(0);
  let qd = f64x2.splat(0);
  for (const end = bytes & ~15; i < end; i += 16) {
    const d = Rule.gradientAt<Four>(p + i, g + i, cells);
    const q = Moments.swats<Four>(p + i, d, m + i, v + i, cells, least, leastMean, leastMoving);
    const low = f64x2.promote_low_f32x4(q);
    const high = Lanes.promoteHigh(q);
    qq = f64x2.add(qq, f64x2.add(f64x2.mul(low, low), f64x2.mul(high, high)));
    qd = f64x2.add(qd, f64x2.mul(low, f64x2.promote_low_f32x4(d)));
    qd = f64x2.add(qd, f64x2.mul(high, Lanes.promoteHigh(d)));
  }
  let sumQQ = f64x2.extract_lane(qq, 0) + f64x2.extract_lane(qq, 1);
  let sumQD = f64x2.extract_lane(qd, 0) + f64x2.extract_lane(qd, 1);
  for (; i < bytes; i += 4) {
    const d = Rule.gradientAt<One>(p + i, g + i, cells);
    const q = f64(
      f32x4.extract_lane(Moments.swats<One>(p + i, d, m + i, v + i, cells, least, leastMean, leastMoving), 0),
    );
    sumQQ += q * q;
    sumQD += q * f64(f32x4.extract_lane(d, 0));
  }
  Leaves.put(leaf, 0, sumQQ);
  Leaves.put(leaf, 1, sumQD);
}
