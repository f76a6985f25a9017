// a^b as C defines it, computed in double: log2 |a| in float32 would lose its last bits to the factor b.
import { Curve } from './curves';
import { Lanes } from './simd';

const LOG2: usize = memory.data<f64>([
  // log2((1+s)/(1-s)) / s in s² on s² ≤ 0.0295 (Chebyshev fit): 1.3e-11.
  2.885390081790118, 0.9617966732736392, 0.5770836022893222, 0.4116714650590069, 0.3407567042788236,
]);
const EXP2: usize = memory.data<f64>([
  // 2^r on |r| ≤ 1/2 (Chebyshev fit): 4.3e-11.
  0.9999999999595618, 0.6931471805568324, 0.24022651213498092, 0.055504109063258665, 0.009618025613318034,
  0.0013333478473685416, 0.00015469729214118296, 1.5303700711365693e-5,
  // Beyond ±300 the float32 result is 0 or infinite. 1.5 · 2^52 rounds to an integer and leaves it in the low bits.
  -300,
  300, 6755399441055744,
]);

export class Power {
  @inline static at(table: usize, k: usize): v128 {
    return v128.load64_splat(table + 8 * k);
  }
  @inline static step(p: v128, x: v128, table: usize, k: usize): v128 {
    return f64x2.add(f64x2.mul(p, x), Power.at(table, k));
  }
  /** 2^(b (k + log2 m)) for two doubles, as two floats in the low lanes. */
  @inline static pair(m: v128, k: v128, b: v128): v128 {
    const one = f64x2.splat(1);
    const s = f64x2.div(f64x2.sub(m, one), f64x2.add(m, one));
    const z = f64x2.mul(s, s);
    let p = Power.step(Power.at(LOG2, 4), z, LOG2, 3);
    p = Power.step(p, z, LOG2, 2);
    p = Power.step(p, z, LOG2, 1);
    p = Power.step(p, z, LOG2, 0);
    let y = f64x2.mul(b, f64x2.add(k, f64x2.mul(s, p)));
    y = f64x2.pmin(f64x2.pmax(y, Power.at(EXP2, 8)), Power.at(EXP2, 9));
    const magic = Power.at(EXP2, 10);
    const t = f64x2.add(y, magic);
    const r = f64x2.sub(y, f64x2.sub(t, magic));
    let q = Power.step(Power.at(EXP2, 7), r, EXP2, 6);
    q = Power.step(q, r, EXP2, 5);
    q = Power.step(q, r, EXP2, 4);
    q = Power.step(q, r, EXP2, 3);
    q = Power.step(q, r, EXP2, 2);
    q = Power.step(q, r, EXP2, 1);
    q = Power.step(q, r, EXP2, 0);
    return f32x4.demote_f64x2_zero(i64x2.add(q, i64x2.shl(t, 52)));
  }

  /** |a|^b for finite, nonzero a; NaN where b is NaN. */
  @inline static positive(a: v128, b: v128): v128 {
    const tiny = f32x4.lt(a, Lanes.smallestNormal());
    const big = v128.bitselect(f32x4.mul(a, f32x4.splat(8388608)), a, tiny);
    const e = i32x4.shr_s(Curve.logBits(big), 23);
    const m = Curve.mantissa(big, e);
    const k = i32x4.sub(e, v128.and(tiny, i32x4.splat(23)));
    const low = Power.pair(
      f64x2.promote_low_f32x4(m),
      f64x2.convert_low_i32x4_s(k),
      f64x2.promote_low_f32x4(b),
    );
    const high = Power.pair(
      Lanes.promoteHigh(m),
      f64x2.convert_low_i32x4_s(i32x4.shuffle(k, k, 2, 3, 2, 3)),
      Lanes.promoteHigh(b),
    );
    return i64x2.shuffle(low, high, 0, 2);
  }

  @inline static pow(a: v128, b: v128): v128 {
    const zero = f32x4.splat(0);
    const size = Lanes.abs(a);
    const infinity = Lanes.infinity();
    let y = Power.positive(size, b);
    // 0^b and ∞^b: 0 or ∞ by the sign of b.
    const grows = v128.xor(f32x4.eq(size, zero), f32x4.gt(b, zero));
    const end = v128.or(f32x4.eq(size, zero), f32x4.eq(size, infinity));
    y = v128.bitselect(v128.and(grows, infinity), y, v128.and(end, f32x4.eq(b, b)));
    // Odd integers keep the sign of a; a finite a < 0 with a fractional b has no power.
    const halfway = f32x4.mul(b, f32x4.splat(0.5));
    const whole = f32x4.eq(f32x4.nearest(b), b);
    const odd = v128.andnot(whole, f32x4.eq(f32x4.nearest(halfway), halfway));
    y = v128.or(y, v128.and(v128.and(a, odd), Lanes.sign()));
    const none = v128.and(f32x4.lt(a, zero), v128.andnot(f32x4.gt(a, f32x4.neg(infinity)), whole));
    y = v128.or(y, v128.or(none, f32x4.ne(a, a)));
    // 1^anything, anything^0 and (-1)^±∞ are 1.
    const one = Lanes.one();
    const minus = v128.and(f32x4.eq(size, one), f32x4.eq(Lanes.abs(b), infinity));
    return v128.bitselect(one, y, v128.or(v128.or(f32x4.eq(a, one), f32x4.eq(b, zero)), minus));
  }
}
