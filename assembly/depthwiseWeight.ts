// Gradients by the weight of depthwise convolutions of 3 × 3, walked as depthwise.ts walks: nine sums in registers, four
// columns each, of a row of pixels with the three rows of gradients that saw it.
import { Conv } from './geometry';
import { Part } from './part';
import { Scratch } from './scratch';
import { Lanes } from './simd';
import { Border, Inside } from './strip';

/** Those of the last strip of columns that the one before it does not have. */
class Last {
  @inline static mask(): usize {
    return Lanes.lastOnes(((Conv.ow - 1) & 3) + 1);
  }
}

/** Positions that are summed at a time: sums of more would be less accurate. */
const POSITIONS: i32 = 1024;
/** Bytes of a row of gradients whose strips have so many positions. */
function block(): usize {
  return max<usize>(16, usize(POSITIONS / (4 * Conv.oh)) << 4);
}

export function depthwiseWeight(gw: usize, x: usize, g: usize): void {
  const last = Part.to(Conv.k, 1);
  const images = max(1, POSITIONS / (Conv.oh * Conv.ow));
  for (let f = Part.from(Conv.k, 1); f < last; f++) {
    memory.fill(Scratch.a(), 0, 144);
    for (let q = 0; q < Conv.n; q += images) {
      const at = usize(q * Conv.k + f);
      const some = min(images, Conv.n - q);
      if (Conv.sw == 1) strips(x + at * Conv.inPlane(), g + at * Conv.outPlane(), some);
      else halves(x + at * Conv.inPlane(), g + at * Conv.outPlane(), some);
    }
    for (let k: usize = 0; k < 9; k++)
      f32.store(gw + ((usize(f) * 9 + k) << 2), f32(Lanes.sum64(v128.load(Scratch.a() + (k << 4)))));
  }
}

/** A plane in steps of 1. */
function strips(x: usize, g: usize, images: i32): void {
  const end = usize(Conv.ow - 4) << 2;
  if (end == 0) return walk<Border, Border>(x, g, images, 0, 4);
  walk<Border, Inside>(x, g, images, 0, 4);
  const step = block();
  for (let j: usize = 16; j < end; j += step) walk<Inside, Inside>(x, g, images, j, min(end, j + step));
  walk<Inside, Border>(x, g, images, end, end + 4);
}
function walk<L, R>(x: usize, g: usize, images: i32, j: usize, end: usize): void {
  const left = changetype<L>(0);
  const right = changetype<R>(0);
  const mask = Last.mask();
  const line = usize(Conv.w) << 2;
  const pixels = usize(Conv.k) * Conv.inPlane();
  const gradients = usize(Conv.k) * Conv.outPlane();
  const zero = f32x4.splat(0);
  let s0 = zero;
  let s1 = zero;
  let s2 = zero;
  let s3 = zero;
  let s4 = zero;
  let s5 = zero;
  let s6 = zero;
  let s7 = zero;
  let s8 = zero;
  for (; images > 0; images--, x += pixels, g += gradients)
    for (let k = j; k < end; k += 16) {
      let from = x + k;
      let to = g + k;
      const last = from + Conv.inPlane();
      // The gradients above, at and below the row of pixels.
      let up = zero;
      let at = right.own(v128.load(to), mask);
      for (; from < last; from += line) {
        let next = zero;
        to += line;
        if (from + line < last) next = right.own(v128.load(to), mask);
        const a = right.own(left.before(from), mask);
        s0 = Lanes.madd(a, next, s0);
        s3 = Lanes.madd(a, at, s3);
        s6 = Lanes.madd(a, up, s6);
        const b = right.own(v128.load(from), mask);
        s1 = Lanes.madd(b, next, s1);
        s4 = Lanes.madd(b, at, s4);
        s7 = Lanes.madd(b, up, s7);
        const c = right.own(right.behind(from), mask);
        s2 = Lanes.madd(c, next, s2);
        s5 = Lanes.madd(c, at, s5);
        s8 = Lanes.madd(c, up, s8);
        up = at;
        at = next;
      }
    }
  Sums.add(s0, s1, s2, s3, s4, s5, s6, s7, s8);
}

/** A plane in steps of 2. */
function halves(x: usize, g: usize, images: i32): void {
  const end = usize(Conv.ow - 4) << 2;
  down<Border, Inside>(x, g, images, 0, 4);
  const step = block();
  for (let j: usize = 16; j < end; j += step) down<Inside, Inside>(x, g, images, j, min(end, j + step));
  if (end > 0) down<Inside, Border>(x, g, images, end, end + 4);
}
function down<L, R>(x: usize, g: usize, images: i32, j: usize, end: usize): void {
  const left = changetype<L>(0);
  const right = changetype<R>(0);
  const mask = Last.mask();
  const line = usize(Conv.w) << 2;
  const row = usize(Conv.ow) << 2;
  const pixels = usize(Conv.k) * Conv.inPlane();
  const gradients = usize(Conv.k) * Conv.outPlane();
  const zero = f32x4.splat(0);
  let s0 = zero;
  let s1 = zero;
  let s2 = zero;
  let s3 = zero;
  let s4 = zero;
  let s5 = zero;
  let s6 = zero;
  let s7 = zero;
  let s8 = zero;
  for (; images > 0; images--, x += pixels, g += gradients)
    for (let k = j; k < end; k += 16) {
      let from = x + 2 * k;
      let to = g + k;
      const last = to + Conv.outPlane();
      let at = right.own(v128.load(to), mask);
      while (to < last) {
        let e = right.own(Lanes.evens(from), mask);
        let o = Lanes.odds(from);
        let b = right.own(left.beforeEven(from, o), mask);
        o = right.own(o, mask);
        s3 = Lanes.madd(b, at, s3);
        s4 = Lanes.madd(e, at, s4);
        s5 = Lanes.madd(o, at, s5);
        from += line;
        e = right.own(Lanes.evens(from), mask);
        o = Lanes.odds(from);
        b = right.own(left.beforeEven(from, o), mask);
        o = right.own(o, mask);
        from += line;
        to += row;
        s6 = Lanes.madd(b, at, s6);
        s7 = Lanes.madd(e, at, s7);
        s8 = Lanes.madd(o, at, s8);
        if (to >= last) break;
        at = right.own(v128.load(to), mask);
        s0 = Lanes.madd(b, at, s0);
        s1 = Lanes.madd(e, at, s1);
        s2 = Lanes.madd(o, at, s2);
      }
    }
  Sums.add(s0, s1, s2, s3, s4, s5, s6, s7, s8);
}

class Sums {
  @inline static add(
    s0: v128,
    s1: v128,
    s2: v128,
    s3: v128,
    s4: v128,
    s5: v128,
    s6: v128,
    s7: v128,
    s8: v128,
  ): void {
    Sums.one(0, s0);
    Sums.one(16, s1);
    Sums.one(32, s2);
    Sums.one(48, s3);
    Sums.one(64, s4);
    Sums.one(80, s5);
    Sums.one(96, s6);
    Sums.one(112, s7);
    Sums.one(128, s8);
  }
  @inline private static one(k: usize, sum: v128): void {
    const at = Scratch.a() + k;
    v128.store(at, f32x4.add(v128.load(at), sum));
  }
}
