// Optimizer updates: one pass over parameters, gradients and state, operation for operation as the rows' formulas. A rule is
// written once, as a loop over vectors or lanes of memory; its scalars are broadcast from their cells before it.
import { Four, One, Pages, ROOT_OF_SMALLEST, Rule } from './rule';
import { Lanes } from './simd';

class Loop {
  /** p -= lr d. */
  @inline static sgd<M>(p: usize, g: usize, cells: usize, i: usize, end: usize): void {
    const lr = Rule.cell(cells, 0);
    const wd = Rule.cell(cells, 1);
    const sign = Rule.cell(cells, 2);
    while (i < end) {
      const stop = Pages.after(i, end);
      Pages.ask2(p, g, i, end);
      for (; i < stop; i += Rule.bytes<M>()) {
        const old = Rule.load<M>(p + i);
        const d = Rule.gradient(old, Rule.load<M>(g + i), wd, sign);
        Rule.store<M>(p + i, f32x4.sub(old, f32x4.mul(lr, d)));
      }
    }
  }
  /** v = mu v + c d; p -= lr (a d + b v). */
  @inline static momentum<M>(p: usize, g: usize, v: usize, cells: usize, i: usize, end: usize): void {
    const lr = Rule.cell(cells, 0);
    const wd = Rule.cell(cells, 1);
    const sign = Rule.cell(cells, 2);
    const mu = Rule.cell(cells, 3);
    const c = Rule.cell(cells, 4);
    const a = Rule.cell(cells, 5);
    const b = Rule.cell(cells, 6);
    const smallest = Lanes.smallestNormal();
    while (i < end) {
      const stop = Pages.after(i, end);
      Pages.ask3(p, g, v, i, end);
      for (; i < stop; i += Rule.bytes<M>()) {
        const old = Rule.load<M>(p + i);
        const d = Rule.gradient(old, Rule.load<M>(g + i), wd, sign);
        const kept = f32x4.mul(mu, Rule.load<M>(v + i));
        const now = Lanes.flushBelow(f32x4.add(kept, f32x4.mul(c, d)), smallest);
        Rule.store<M>(v + i, now);
        const mix = f32x4.add(f32x4.mul(a, d), f32x4.mul(b, now));
        Rule.store<M>(p + i, f32x4.sub(old, f32x4.mul(lr, mix)));
      }
    }
  }
  /** s += d d; p -= lr d / (√s + eps). */
  @inline static adagrad<M>(p: usize, g: usize, s: usize, cells: usize, i: usize, end: usize): void {
    const lr = Rule.cell(cells, 0);
    const wd = Rule.cell(cells, 1);
    const sign = Rule.cell(cells, 2);
    const eps = Rule.cell(cells, 3);
    const least = f32x4.splat(ROOT_OF_SMALLEST);
    const smallest = Lanes.smallestNormal();
    while (i < end) {
      const stop = Pages.after(i, end);
      Pages.ask3(p, g, s, i, end);
      for (; i < stop; i += Rule.bytes<M>()) {
        const old = Rule.load<M>(p + i);
        const d = Rule.gradient(old, Rule.load<M>(g + i), wd, sign);
        const e = Lanes.flushBelow(d, least);
        const sum = Lanes.flushBelow(f32x4.add(Rule.load<M>(s + i), f32x4.mul(e, e)), smallest);
        Rule.store<M>(s + i, sum);
        const q = Lanes.quotient(f32x4.mul(lr, d), f32x4.add(f32x4.sqrt(sum), eps));
        Rule.store<M>(p + i, f32x4.sub(old, q));
      }
    }
  }
  /** p = decay p - lr sign(b1 m + c1 d); m = b2 m + c2 d. */
  @inline static lion<M>(p: usize, g: usize, m: usize, cells: usize, i: usize, end: usize): void {
    const lr = Rule.cell(cells, 0);
    const wd = Rule.cell(cells, 1);
    const sign = Rule.cell(cells, 2);
    const b1 = Rule.cell(cells, 3);
    const c1 = Rule.cell(cells, 4);
    const b2 = Rule.cell(cells, 5);
    const c2 = Rule.cell(cells, 6);
    const decay = Rule.cell(cells, 7);
    const smallest = Lanes.smallestNormal();
    while (i < end) {
      const stop = Pages.after(i, end);
      Pages.ask3(p, g, m, i, end);
      for (; i < stop; i += Rule.bytes<M>()) {
        const old = Rule.load<M>(p + i);
        const d = Rule.gradient(old, Rule.load<M>(g + i), wd, sign);
        const m0 = Rule.load<M>(m + i);
        const x = f32x4.add(f32x4.mul(b1, m0), f32x4.mul(c1, d));
        const u = v128.bitselect(Lanes.withSign(Lanes.one(), x), x, f32x4.gt(Lanes.abs(x), f32x4.splat(0)));
        const now = f32x4.add(f32x4.mul(b2, m0), f32x4.mul(c2, d));
        Rule.store<M>(m + i, Lanes.flushBelow(now, smallest));
        Rule.store<M>(p + i, f32x4.sub(f32x4.mul(old, decay), f32x4.mul(lr, u)));
      }
    }
  }
}

export function sgdStep(p: usize, g: usize, cells: usize, n: i32): void {
  const bytes = usize(n) << 2;
  const end = bytes & ~15;
  Loop.sgd<Four>(p, g, cells, 0, end);
  Loop.sgd<One>(p, g, cells, end, bytes);
}

export function momentumStep(p: usize, g: usize, v: usize, cells: usize, n: i32): void {
  const bytes = usize(n) << 2;
  const end = bytes & ~15;
  Loop.momentum<Four>(p, g, v, cells, 0, end);
  Loop.momentum<One>(p, g, v, cells, end, bytes);
}

export function adagradStep(p: usize, g: usize, s: usize, cells: usize, n: i32): void {
  const bytes = usize(n) << 2;
  const end = bytes & ~15;
  Loop.adagrad<Four>(p, g, s, cells, 0, end);
  Loop.adagrad<One>(p, g, s, cells, end, bytes);
}

export function lionStep(p: usize, g: usize, m: usize, cells: usize, n: i32): void {
  const bytes = usize(n) << 2;
  const end = bytes & ~15;
  Loop.lion<Four>(p, g, m, cells, 0, end);
  Loop.lion<One>(p, g, m, cells, end, bytes);
}
