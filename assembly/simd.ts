// The loops that every pointwise kernel runs in, and the vector helpers that they share. A tail element goes through the
// same vector formula on one lane, so tail and body agree to the bit; nothing outside the given ranges is read or written.
// Helpers are static methods because a decorator may stand on a method, not on a function.

/** Vector constants come from memory: V8 rebuilds a literal at every use, a broadcast load is one instruction. */
const CONSTANTS: usize = memory.data<f32>([1, 2, -0, f32.MIN_NORMAL_VALUE, Infinity]);

/** From the k-th on: four lanes of which the last 1 + k are set. */
const LAST: usize = memory.data<i32>([0, 0, 0, -1, -1, -1, -1]);

/** Vectors of sums at a time. V8 11 has registers for no more than seven beside as many vectors that it loads first. */
export const MOST_SUMS: i32 = ASC_FEATURE_RELAXED_SIMD ? 8 : 7;

export class Lanes {
  /** The even ones of eight reals, and the odd ones. */
  @inline static evens(x: usize): v128 {
    return i32x4.shuffle(v128.load(x), v128.load(x, 16), 0, 2, 4, 6);
  }
  @inline static odds(x: usize): v128 {
    return i32x4.shuffle(v128.load(x), v128.load(x, 16), 1, 3, 5, 7);
  }
  /** Where a mask of the last n lanes lies, n from 1 to 4. */
  @inline static lastOnes(n: i32): usize {
    return LAST + (usize(n - 1) << 2);
  }
  @inline static one(): v128 {
    return v128.load32_splat(CONSTANTS);
  }
  @inline static two(): v128 {
    return v128.load32_splat(CONSTANTS, 4);
  }
  /** The sign bit alone. */
  @inline static sign(): v128 {
    return v128.load32_splat(CONSTANTS, 8);
  }
  @inline static smallestNormal(): v128 {
    return v128.load32_splat(CONSTANTS, 12);
  }
  @inline static infinity(): v128 {
    return v128.load32_splat(CONSTANTS, 16);
  }

  /**
   * a b + c, rounded once where the build has relaxed SIMD and the processor a fused instruction, else twice. For matrix
   * products and transcendental functions only: what must be the same bits on every engine says mul and add.
   */
  @inline static madd(a: v128, b: v128, c: v128): v128 {
    if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
    return f32x4.add(f32x4.mul(a, b), c);
  }
  /** c - a b, in the same way. */
  @inline static nmadd(a: v128, b: v128, c: v128): v128 {
    if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_nmadd(a, b, c);
    return f32x4.sub(c, f32x4.mul(a, b));
  }

  @inline static abs(x: v128): v128 {
    return v128.andnot(x, Lanes.sign());
  }
  /** |x| with the sign of s, for x of no sign. */
  @inline static withSign(x: v128, s: v128): v128 {
    return v128.or(x, v128.and(s, Lanes.sign()));
  }
  /** max(a, b), NaN if either is NaN: pmax keeps a NaN of a, the comparison's all-ones mask is a NaN itself. */
  @inline static max(a: v128, b: v128): v128 {
    return v128.or(f32x4.pmax(a, b), f32x4.ne(b, b));
  }
  @inline static min(a: v128, b: v128): v128 {
    return v128.or(f32x4.pmin(a, b), f32x4.ne(b, b));
  }
  /** What lies below `least` to +0, all else unchanged. */
  @inline static flushBelow(x: v128, least: v128): v128 {
    return v128.andnot(x, f32x4.lt(Lanes.abs(x), least));
  }
  /** Subnormal to +0. */
  @inline static flush(x: v128): v128 {
    return Lanes.flushBelow(x, Lanes.smallestNormal());
  }
  /** a / b, but 0 where b is 0. */
  @inline static quotient(a: v128, b: v128): v128 {
    return v128.andnot(f32x4.div(a, b), f32x4.eq(b, f32x4.splat(0)));
  }

  @inline static sum(x: v128): f32 {
    const y = f32x4.add(x, i32x4.shuffle(x, x, 2, 3, 0, 1));
    return f32x4.extract_lane(y, 0) + f32x4.extract_lane(y, 1);
  }
  /** The four lanes added in double. */
  @inline static sum64(x: v128): f64 {
    const y = f64x2.add(f64x2.promote_low_f32x4(x), Lanes.promoteHigh(x));
    return f64x2.extract_lane(y, 0) + f64x2.extract_lane(y, 1);
  }
  @inline static promoteHigh(x: v128): v128 {
    return f64x2.promote_low_f32x4(i32x4.shuffle(x, x, 2, 3, 2, 3));
  }
}

/** Functions return one vector, so a 4 × 4 transpose stores its result: columns a to d as rows `step` bytes apart. */
export class Square {
  @inline static transpose(to: usize, step: usize, a: v128, b: v128, c: v128, d: v128): void {
    const ab = i32x4.shuffle(a, b, 0, 4, 1, 5);
    const cd = i32x4.shuffle(c, d, 0, 4, 1, 5);
    const ef = i32x4.shuffle(a, b, 2, 6, 3, 7);
    const gh = i32x4.shuffle(c, d, 2, 6, 3, 7);
    v128.store(to, i64x2.shuffle(ab, cd, 0, 2));
    v128.store(to + step, i64x2.shuffle(ab, cd, 1, 3));
    v128.store(to + 2 * step, i64x2.shuffle(ef, gh, 0, 2));
    v128.store(to + 3 * step, i64x2.shuffle(ef, gh, 1, 3));
  }
}

/** out = f(x). F has `v(x)`. */
export function unary<F>(o: usize, x: usize, n: i32): void {
  const f = changetype<F>(0);
  const bytes = usize(n) << 2;
  let i: usize = 0;
  for (const end = bytes & ~63; i < end; i += 64) {
    const x0 = v128.load(x + i);
    const x1 = v128.load(x + i, 16);
    const x2 = v128.load(x + i, 32);
    const x3 = v128.load(x + i, 48);
    const y0 = f.v(x0);
    const y1 = f.v(x1);
    const y2 = f.v(x2);
    const y3 = f.v(x3);
    v128.store(o + i, y0);
    v128.store(o + i, y1, 16);
    v128.store(o + i, y2, 32);
    v128.store(o + i, y3, 48);
  }
  for (const end = bytes & ~15; i < end; i += 16) v128.store(o + i, f.v(v128.load(x + i)));
  for (; i < bytes; i += 4) v128.store32_lane(o + i, f.v(v128.load32_splat(x + i)), 0);
}

/** out = f(a, b), dense. F has `v(a, b)`. */
export function zip<F>(o: usize, a: usize, b: usize, n: i32): void {
  const f = changetype<F>(0);
  const bytes = usize(n) << 2;
  let i: usize = 0;
  for (const end = bytes & ~63; i < end; i += 64) {
    const y0 = f.v(v128.load(a + i), v128.load(b + i));
    const y1 = f.v(v128.load(a + i, 16), v128.load(b + i, 16));
    const y2 = f.v(v128.load(a + i, 32), v128.load(b + i, 32));
    const y3 = f.v(v128.load(a + i, 48), v128.load(b + i, 48));
    v128.store(o + i, y0);
    v128.store(o + i, y1, 16);
    v128.store(o + i, y2, 32);
    v128.store(o + i, y3, 48);
  }
  for (const end = bytes & ~15; i < end; i += 16) v128.store(o + i, f.v(v128.load(a + i), v128.load(b + i)));
  for (; i < bytes; i += 4)
    v128.store32_lane(o + i, f.v(v128.load32_splat(a + i), v128.load32_splat(b + i)), 0);
}

/** out = f(x, c) for the one number at `cell`. F has `v(x, c)`. */
export function zipWith<F>(o: usize, x: usize, cell: usize, n: i32): void {
  if (n <= 0) return;
  const f = changetype<F>(0);
  const c = v128.load32_splat(cell);
  const bytes = usize(n) << 2;
  let i: usize = 0;
  for (const end = bytes & ~63; i < end; i += 64) {
    const y0 = f.v(v128.load(x + i), c);
    const y1 = f.v(v128.load(x + i, 16), c);
    const y2 = f.v(v128.load(x + i, 32), c);
    const y3 = f.v(v128.load(x + i, 48), c);
    v128.store(o + i, y0);
    v128.store(o + i, y1, 16);
    v128.store(o + i, y2, 32);
    v128.store(o + i, y3, 48);
  }
  for (const end = bytes & ~15; i < end; i += 16) v128.store(o + i, f.v(v128.load(x + i), c));
  for (; i < bytes; i += 4) v128.store32_lane(o + i, f.v(v128.load32_splat(x + i), c), 0);
}

/** The arguments of a two-place functor the other way round. */
@final
@unmanaged
class Swapped<F> {
  @inline v(a: v128, b: v128): v128 {
    return changetype<F>(0).v(b, a);
  }
}

function strided<F>(o: usize, a: usize, b: usize, n: i32, sa: usize, sb: usize): void {
  const f = changetype<F>(0);
  for (const end = o + (usize(n) << 2); o < end; o += 4, a += sa, b += sb)
    v128.store32_lane(o, f.v(v128.load32_splat(a), v128.load32_splat(b)), 0);
}

/** out = f(a, b) over a dense box of three sizes, the operands read with strides in elements (0 repeats). */
export function broadcast<F>(
  o: usize,
  a: usize,
  b: usize,
  n0: i32,
  n1: i32,
  n2: i32,
  a0: i32,
  a1: i32,
  a2: i32,
  b0: i32,
  b1: i32,
  b2: i32,
): void {
  const row = usize(n2) << 2;
  for (let i = 0; i < n0; i++)
    for (let j = 0; j < n1; j++, o += row) {
      const pa = a + ((usize(i) * a0 + usize(j) * a1) << 2);
      const pb = b + ((usize(i) * b0 + usize(j) * b1) << 2);
      if (a2 == 1 && b2 == 1) zip<F>(o, pa, pb, n2);
      else if (a2 == 1 && b2 == 0) zipWith<F>(o, pa, pb, n2);
      else if (a2 == 0 && b2 == 1) zipWith<Swapped<F>>(o, pb, pa, n2);
      else strided<F>(o, pa, pb, n2, usize(a2) << 2, usize(b2) << 2);
    }
}
