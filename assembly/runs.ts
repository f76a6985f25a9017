// Sums and extremes over a run of memory. Sums follow a fixed tree: eight vectors of float32 sums within a block of 4096
// elements, added pairwise, block after block in double; the result depends on the length alone.
import { Lanes } from './simd';

const BLOCK: usize = 16384;

// The terms of a sum. `v(a, b, shift)`: the four at the addresses a and b; `one(a, b, shift)`: the first of them in the
// first lane, zeros behind it.

@final
@unmanaged
export class Plain {
  @inline v(a: usize, b: usize, shift: v128): v128 {
    return v128.load(a);
  }
  @inline one(a: usize, b: usize, shift: v128): v128 {
    return v128.load32_zero(a);
  }
}
/** (a - shift)². */
@final
@unmanaged
export class Deviation {
  @inline v(a: usize, b: usize, shift: v128): v128 {
    const d = f32x4.sub(v128.load(a), shift);
    return f32x4.mul(d, d);
  }
  @inline one(a: usize, b: usize, shift: v128): v128 {
    const d = f32x4.sub(v128.load32_splat(a), shift);
    return f32x4.replace_lane(f32x4.splat(0), 0, f32x4.extract_lane(f32x4.mul(d, d), 0));
  }
}
/** a b. */
@final
@unmanaged
export class Together {
  @inline v(a: usize, b: usize, shift: v128): v128 {
    return f32x4.mul(v128.load(a), v128.load(b));
  }
  @inline one(a: usize, b: usize, shift: v128): v128 {
    return f32x4.mul(v128.load32_zero(a), v128.load32_zero(b));
  }
}
/** (a - shift) b. */
@final
@unmanaged
export class Product {
  @inline v(a: usize, b: usize, shift: v128): v128 {
    return f32x4.mul(f32x4.sub(v128.load(a), shift), v128.load(b));
  }
  @inline one(a: usize, b: usize, shift: v128): v128 {
    return f32x4.mul(f32x4.sub(v128.load32_zero(a), shift), v128.load32_zero(b));
  }
}

/** The order of numbers, in which NaN is never better. */
@final
@unmanaged
class Ordered {
  @inline best(a: v128, b: v128): v128 {
    return f32x4.pmax(a, b);
  }
  @inline worst(): v128 {
    return f32x4.splat(-Infinity);
  }
}

export class Run {
  /** Σ F over n elements of `a` (and `b`); `by` is what F subtracts from `a`. */
  static total<F>(a: usize, b: usize, by: f32, n: i32): f64 {
    const bytes = usize(n) << 2;
    let sum: f64 = 0;
    for (let at: usize = 0; at < bytes; at += BLOCK) {
      const size = min(bytes - at, BLOCK);
      sum += Run.block<F>(a + at, b + at, size, by);
    }
    return sum;
  }

  static block<F>(a: usize, b: usize, size: usize, by: f32): f64 {
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
    const end = a + size;
    for (; a + 128 <= end; a += 128, b += 128) {
      s0 = f32x4.add(s0, f.v(a, b, shift));
      s1 = f32x4.add(s1, f.v(a + 16, b + 16, shift));
      s2 = f32x4.add(s2, f.v(a + 32, b + 32, shift));
      s3 = f32x4.add(s3, f.v(a + 48, b + 48, shift));
      s4 = f32x4.add(s4, f.v(a + 64, b + 64, shift));
      s5 = f32x4.add(s5, f.v(a + 80, b + 80, shift));
      s6 = f32x4.add(s6, f.v(a + 96, b + 96, shift));
      s7 = f32x4.add(s7, f.v(a + 112, b + 112, shift));
    }
    for (; a + 16 <= end; a += 16, b += 16) s0 = f32x4.add(s0, f.v(a, b, shift));
    for (; a < end; a += 4, b += 4) s1 = f32x4.add(s1, f.one(a, b, shift));
    s0 = f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3));
    s4 = f32x4.add(f32x4.add(s4, s5), f32x4.add(s6, s7));
    return Lanes.sum64(f32x4.add(s0, s4));
  }

  @inline static sum(x: usize, n: i32): f64 {
    return Run.total<Plain>(x, 0, 0, n);
  }

  /** The best number in the order of F: `best(a, b)` of a, the best so far, and b; `worst()` is no better than any. */
  static best<F>(x: usize, n: i32): f32 {
    const f = changetype<F>(0);
    const end = x + (usize(n) << 2);
    let m0 = f.worst();
    let m1 = m0;
    let m2 = m0;
    let m3 = m0;
    for (; x + 64 <= end; x += 64) {
      m0 = f.best(m0, v128.load(x));
      m1 = f.best(m1, v128.load(x, 16));
      m2 = f.best(m2, v128.load(x, 32));
      m3 = f.best(m3, v128.load(x, 48));
    }
    for (; x + 16 <= end; x += 16) m0 = f.best(m0, v128.load(x));
    for (; x < end; x += 4) m1 = f.best(m1, v128.load32_splat(x));
    m0 = f.best(f.best(m0, m1), f.best(m2, m3));
    m0 = f.best(m0, i32x4.shuffle(m0, m0, 2, 3, 0, 1));
    return f32x4.extract_lane(f.best(m0, i32x4.shuffle(m0, m0, 1, 0, 3, 2)), 0);
  }
  /** The largest number, NaN left out; -∞ if there is none. */
  static top(x: usize, n: i32): f32 {
    return Run.best<Ordered>(x, n);
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
