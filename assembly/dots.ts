// Sums of products along positions: the register tile of gradients by the weight, whose operands both lie position after
// position. Nothing is packed; the four lanes of a sum are added at the very end.
import { Lanes } from './simd';

export class Dots {
  /** Images of a block; bytes of an image's whole vectors, and how many positions are left. */
  static images: i32 = 0;
  static bytes: usize = 0;
  static rest: i32 = 0;

  static over(images: i32, positions: i32): void {
    Dots.images = images;
    Dots.bytes = usize(positions & ~3) << 2;
    Dots.rest = positions & 3;
  }

  @inline private static mask(): v128 {
    return v128.load(Lanes.lastOnes(Dots.rest));
  }
  @inline private static add(c: usize, sum: v128): void {
    v128.store(c, f32x4.add(v128.load(c), sum));
  }

  /**
   * Adds the sums of two rows with the first `count` of four. Where rows of an operand begin stands in its list, from one
   * image to the next it is `aStep` and `bStep` bytes. A row's sums are `ca` bytes apart, a column's `cb`.
   */
  static two(
    c: usize,
    ca: usize,
    cb: usize,
    a: usize,
    aStep: usize,
    b: usize,
    bStep: usize,
    count: i32,
  ): void {
    let a0 = load<usize>(a);
    let a1 = load<usize>(a, 4);
    let b0 = load<usize>(b);
    let b1 = load<usize>(b, 4);
    let b2 = load<usize>(b, 8);
    let b3 = load<usize>(b, 12);
    const bytes = Dots.bytes;
    let p0 = f32x4.splat(0);
    let p1 = p0;
    let p2 = p0;
    let p3 = p0;
    let q0 = p0;
    let q1 = p0;
    let q2 = p0;
    let q3 = p0;
    aStep -= bytes;
    bStep -= bytes;
    for (let image = Dots.images; image > 0; image--) {
      for (const end = a0 + bytes; a0 < end;) {
        const x = v128.load(a0);
        const y = v128.load(a1);
        const z0 = v128.load(b0);
        p0 = Lanes.madd(x, z0, p0);
        q0 = Lanes.madd(y, z0, q0);
        const z1 = v128.load(b1);
        p1 = Lanes.madd(x, z1, p1);
        q1 = Lanes.madd(y, z1, q1);
        const z2 = v128.load(b2);
        p2 = Lanes.madd(x, z2, p2);
        q2 = Lanes.madd(y, z2, q2);
        const z3 = v128.load(b3);
        p3 = Lanes.madd(x, z3, p3);
        q3 = Lanes.madd(y, z3, q3);
        a0 += 16;
        a1 += 16;
        b0 += 16;
        b1 += 16;
        b2 += 16;
        b3 += 16;
      }
      if (Dots.rest) {
        // The vector that ends with the row; lanes that were summed already become zeros.
        const mask = Dots.mask();
        const back = 16 - (usize(Dots.rest) << 2);
        const x = v128.and(v128.load(a0 - back), mask);
        const y = v128.and(v128.load(a1 - back), mask);
        const z0 = v128.and(v128.load(b0 - back), mask);
        p0 = Lanes.madd(x, z0, p0);
        q0 = Lanes.madd(y, z0, q0);
        const z1 = v128.and(v128.load(b1 - back), mask);
        p1 = Lanes.madd(x, z1, p1);
        q1 = Lanes.madd(y, z1, q1);
        const z2 = v128.and(v128.load(b2 - back), mask);
        p2 = Lanes.madd(x, z2, p2);
        q2 = Lanes.madd(y, z2, q2);
        const z3 = v128.and(v128.load(b3 - back), mask);
        p3 = Lanes.madd(x, z3, p3);
        q3 = Lanes.madd(y, z3, q3);
      }
      a0 += aStep;
      a1 += aStep;
      b0 += bStep;
      b1 += bStep;
      b2 += bStep;
      b3 += bStep;
    }
    Dots.add(c, p0);
    Dots.add(c + ca, q0);
    if (count > 1) {
      Dots.add(c + cb, p1);
      Dots.add(c + ca + cb, q1);
    }
    if (count > 2) {
      Dots.add(c + 2 * cb, p2);
      Dots.add(c + ca + 2 * cb, q2);
    }
    if (count > 3) {
      Dots.add(c + 3 * cb, p3);
      Dots.add(c + ca + 3 * cb, q3);
    }
  }

  /** The same of one row with the first `count` of eight. */
  static one(c: usize, cb: usize, a: usize, aStep: usize, b: usize, bStep: usize, count: i32): void {
    let x0 = load<usize>(a);
    let b0 = load<usize>(b);
    let b1 = load<usize>(b, 4);
    let b2 = load<usize>(b, 8);
    let b3 = load<usize>(b, 12);
    let b4 = load<usize>(b, 16);
    let b5 = load<usize>(b, 20);
    let b6 = load<usize>(b, 24);
    let b7 = load<usize>(b, 28);
    const bytes = Dots.bytes;
    let p0 = f32x4.splat(0);
    let p1 = p0;
    let p2 = p0;
    let p3 = p0;
    let p4 = p0;
    let p5 = p0;
    let p6 = p0;
    let p7 = p0;
    for (let image = Dots.images; image > 0; image--) {
      for (let p: usize = 0; p < bytes; p += 16) {
        const x = v128.load(x0 + p);
        p0 = Lanes.madd(x, v128.load(b0 + p), p0);
        p1 = Lanes.madd(x, v128.load(b1 + p), p1);
        p2 = Lanes.madd(x, v128.load(b2 + p), p2);
        p3 = Lanes.madd(x, v128.load(b3 + p), p3);
        p4 = Lanes.madd(x, v128.load(b4 + p), p4);
        p5 = Lanes.madd(x, v128.load(b5 + p), p5);
        p6 = Lanes.madd(x, v128.load(b6 + p), p6);
        p7 = Lanes.madd(x, v128.load(b7 + p), p7);
      }
      if (Dots.rest) {
        const mask = Dots.mask();
        const p = bytes - 16 + (usize(Dots.rest) << 2);
        const x = v128.and(v128.load(x0 + p), mask);
        p0 = Lanes.madd(x, v128.and(v128.load(b0 + p), mask), p0);
        p1 = Lanes.madd(x, v128.and(v128.load(b1 + p), mask), p1);
        p2 = Lanes.madd(x, v128.and(v128.load(b2 + p), mask), p2);
        p3 = Lanes.madd(x, v128.and(v128.load(b3 + p), mask), p3);
        p4 = Lanes.madd(x, v128.and(v128.load(b4 + p), mask), p4);
        p5 = Lanes.madd(x, v128.and(v128.load(b5 + p), mask), p5);
        p6 = Lanes.madd(x, v128.and(v128.load(b6 + p), mask), p6);
        p7 = Lanes.madd(x, v128.and(v128.load(b7 + p), mask), p7);
      }
      x0 += aStep;
      b0 += bStep;
      b1 += bStep;
      b2 += bStep;
      b3 += bStep;
      b4 += bStep;
      b5 += bStep;
      b6 += bStep;
      b7 += bStep;
    }
    Dots.add(c, p0);
    if (count > 1) Dots.add(c + cb, p1);
    if (count > 2) Dots.add(c + 2 * cb, p2);
    if (count > 3) Dots.add(c + 3 * cb, p3);
    if (count > 4) Dots.add(c + 4 * cb, p4);
    if (count > 5) Dots.add(c + 5 * cb, p5);
    if (count > 6) Dots.add(c + 6 * cb, p6);
    if (count > 7) Dots.add(c + 7 * cb, p7);
  }
}
