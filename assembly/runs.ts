// Sums and extremes over a run of memory. Sums follow a fixed tree: eight vectors of float32 sums within a block of 4096
// elements, added pairwise, block after block in double; the result depends on the length alone.
import { Lanes } from './simd';

const BLOCK: usize = 16384;

/** The terms of a sum: F has `v(at)`, four of them at byte offset `at` of its operands, and `one(at)`, one of them. */
export class Terms {
  static a: usize = 0;
  static b: usize = 0;
  /** A number that is subtracted from `a`. */
  static shift: f32 = 0;
}

@final
@unmanaged
export class Plain {
  @inline v(at: usize, shift: v128): v128 {
    return v128.load(Terms.a + at);
  }
  @inline one(at: usize, shift: v128): v128 {
    return v128.load32_zero(Terms.a + at);
  }
}
/** (a - shift)². */
@final
@unmanaged
export class Deviation {
  @inline v(at: usize, shift: v128): v128 {
    const d = f32x4.sub(v128.load(Terms.a + at), shift);
    return f32x4.mul(d, d);
  }
  @inline one(at: usize, shift: v128): v128 {
    const d = f32x4.sub(v128.load32_splat(Terms.a + at), shift);
    return f32x4.replace_lane(f32x4.splat(0), 0, f32x4.extract_lane(f32x4.mul(d, d), 0));
  }
}
/** (a - shift) b. */
@final
@unmanaged
export class Product {
  @inline v(at: usize, shift: v128): v128 {
    return f32x4.mul(f32x4.sub(v128.load(Terms.a + at), shift), v128.load(Terms.b + at));
  }
  @inline one(at: usize, shift: v128): v128 {
    return f32x4.mul(f32x4.sub(v128.load32_splat(Terms.a + at), shift), v128.load32_zero(Terms.b + at));
  }
}

export class Run {
  /** Σ F over n elements of `a` (and `b`). */
  static total<F>(a: usize, b: usize, by: f32, n: i32): f64 {
    Terms.a = a;
    Terms.b = b;
    const bytes = usize(n) << 2;
    let sum: f64 = 0;
    for (let at: usize = 0; at < bytes; at += BLOCK) sum += Run.block<F>(at, min(bytes, at + BLOCK), by);
    return sum;
  }

  private static block<F>(at: usize, end: usize, by: f32): f64 {
    const f = changetype<F>(0);
    const shift = f32x4.splat(by);
    let s0 = f32x4.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    let s4 = s0;
    let s5 = s0;
    let s6 = s0;
    let s7 = s0;
    for (; at + 128 <= end; at += 128) {
      s0 = f32x4.add(s0, f.v(at, shift));
      s1 = f32x4.add(s1, f.v(at + 16, shift));
      s2 = f32x4.add(s2, f.v(at + 32, shift));
      s3 = f32x4.add(s3, f.v(at + 48, shift));
      s4 = f32x4.add(s4, f.v(at + 64, shift));
      s5 = f32x4.add(s5, f.v(at + 80, shift));
      s6 = f32x4.add(s6, f.v(at + 96, shift));
      s7 = f32x4.add(s7, f.v(at + 112, shift));
    }
    for (; at + 16 <= end; at += 16) s0 = f32x4.add(s0, f.v(at, shift));
    for (; at < end; at += 4) s1 = f32x4.add(s1, f.one(at, shift));
    s0 = f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3));
    s4 = f32x4.add(f32x4.add(s4, s5), f32x4.add(s6, s7));
    return Lanes.sum64(f32x4.add(s0, s4));
  }

  @inline static sum(x: usize, n: i32): f64 {
    return Run.total<Plain>(x, 0, 0, n);
  }

  /** The largest number, NaN left out; -∞ if there is none. */
  static top(x: usize, n: i32): f32 {
    const end = x + (usize(n) << 2);
    let m0 = f32x4.splat(-Infinity);
    let m1 = m0;
    let m2 = m0;
    let m3 = m0;
    for (; x + 64 <= end; x += 64) {
      m0 = f32x4.pmax(m0, v128.load(x));
      m1 = f32x4.pmax(m1, v128.load(x, 16));
      m2 = f32x4.pmax(m2, v128.load(x, 32));
      m3 = f32x4.pmax(m3, v128.load(x, 48));
    }
    for (; x + 16 <= end; x += 16) m0 = f32x4.pmax(m0, v128.load(x));
    for (; x < end; x += 4) m1 = f32x4.pmax(m1, v128.load32_splat(x));
    m0 = f32x4.pmax(f32x4.pmax(m0, m1), f32x4.pmax(m2, m3));
    m0 = f32x4.pmax(m0, i32x4.shuffle(m0, m0, 2, 3, 0, 1));
    return f32x4.extract_lane(f32x4.pmax(m0, i32x4.shuffle(m0, m0, 1, 0, 3, 2)), 0);
  }
}

/** Dot products in double: what norms and curvature estimates need. */
export class Double {
  @inline static low(p: usize): v128 {
    return f64x2.promote_low_f32x4(v128.load64_zero(p));
  }
  static dot(a: usize, b: usize, n: i32): f64 {
    const bytes = usize(n) << 2;
    let i: usize = 0;
    let s0 = f64x2.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    for (const end = bytes & ~31; i < end; i += 32) {
      s0 = f64x2.add(s0, f64x2.mul(Double.low(a + i), Double.low(b + i)));
      s1 = f64x2.add(s1, f64x2.mul(Double.low(a + i + 8), Double.low(b + i + 8)));
      s2 = f64x2.add(s2, f64x2.mul(Double.low(a + i + 16), Double.low(b + i + 16)));
      s3 = f64x2.add(s3, f64x2.mul(Double.low(a + i + 24), Double.low(b + i + 24)));
    }
    s0 = f64x2.add(f64x2.add(s0, s1), f64x2.add(s2, s3));
    let sum = f64x2.extract_lane(s0, 0) + f64x2.extract_lane(s0, 1);
    for (; i < bytes; i += 4) sum += f64(f32.load(a + i)) * f64(f32.load(b + i));
    return sum;
  }
  /** A double handed over as two floats, its high and low part. */
  static store(o: usize, total: f64): void {
    const high = f32(total);
    f32.store(o, high);
    f32.store(o + 4, f32(total - f64(high)));
  }
}
