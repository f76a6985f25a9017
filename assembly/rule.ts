// What the rules of optimizers (update.ts) are made of: how they reach memory, and the terms that several share, each operation
// rounded to float32.
import { Scratch } from './scratch';
import { Lanes } from './simd';

/** How a rule reaches memory: four elements at a time. */
@final
@unmanaged
export class Four {
  @inline bytes(): usize {
    return 16;
  }
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
export class One {
  @inline bytes(): usize {
    return 4;
  }
  @inline load(p: usize): v128 {
    return v128.load32_splat(p);
  }
  @inline store(p: usize, x: v128): void {
    v128.store32_lane(p, x, 0);
  }
}

/** 2^-126 and its root. */
const SMALLEST_NORMAL: f64 = 1.1754943508222875e-38;
export const ROOT_OF_SMALLEST: f32 = 1.0842021724855044e-19;

const PAGE: usize = 4096;

/**
 * Loops over arrays of `end` bytes, page by page, in which an element of the next page is read first: the processor then looks
 * up where that page lies, and fetches it, while this one is worked on.
 */
export class Pages {
  /** Behind the page from i on. */
  @inline static after(i: usize, end: usize): usize {
    return min(i + PAGE, end);
  }
  /** Reads in all arrays an element of the page after that from i on. */
  @inline static ask2(a: usize, b: usize, i: usize, end: usize): void {
    const at = min(i + PAGE, end - 4);
    Pages.touch(a + at);
    Pages.touch(b + at);
  }
  @inline static ask3(a: usize, b: usize, c: usize, i: usize, end: usize): void {
    Pages.ask2(a, b, i, end);
    Pages.touch(c + min(i + PAGE, end - 4));
  }
  @inline static ask4(a: usize, b: usize, c: usize, d: usize, i: usize, end: usize): void {
    Pages.ask2(a, b, i, end);
    Pages.ask2(c, d, i, end);
  }
  /** The store keeps V8 from leaving the load out. */
  @inline private static touch(p: usize): void {
    store<u32>(Scratch.a(), load<u32>(p));
  }
}

export class Rule {
  @inline static cell(cells: usize, k: usize): v128 {
    return v128.load32_splat(cells + 4 * k);
  }
  @inline static bytes<M>(): usize {
    return changetype<M>(0).bytes();
  }
  @inline static load<M>(p: usize): v128 {
    return changetype<M>(0).load(p);
  }
  @inline static store<M>(p: usize, x: v128): void {
    changetype<M>(0).store(p, x);
  }
  /** sign g + wd p; every rule has wd and sign in cells 1 and 2. */
  @inline static gradient(p: v128, g: v128, wd: v128, sign: v128): v128 {
    return f32x4.add(f32x4.mul(sign, g), f32x4.mul(wd, p));
  }
  /** The same of what lies at two addresses, with scalars from their cells. */
  @inline static gradientAt<M>(p: usize, g: usize, cells: usize): v128 {
    return Rule.gradient(Rule.load<M>(p), Rule.load<M>(g), Rule.cell(cells, 1), Rule.cell(cells, 2));
  }
  /** Below this, in every lane, c x would be subnormal; c from cell k. */
  @inline static leastScaled(cells: usize, k: usize): v128 {
    return f32x4.splat(f32(SMALLEST_NORMAL / f64(load<f32>(cells + 4 * k))));
  }
  /** Below this, in every lane, c e e would be subnormal; c from cell k. */
  @inline static leastSquared(cells: usize, k: usize): v128 {
    return f32x4.splat(f32(Math.sqrt(SMALLEST_NORMAL / f64(load<f32>(cells + 4 * k)))));
  }
  /** m + c (d - m), stored; 0 below `least`. */
  @inline static mean<M>(m: usize, d: v128, c: v128, least: v128): v128 {
    const old = Rule.load<M>(m);
    const y = Lanes.flushBelow(f32x4.add(old, f32x4.mul(c, f32x4.sub(d, old))), least);
    Rule.store<M>(m, y);
    return y;
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
}
