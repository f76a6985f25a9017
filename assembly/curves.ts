// Polynomial vector forms of the transcendental functions, one formula for every lane. The coefficients are minimax fits
// (linear programme on a Chebyshev grid, each rounded to float32 in turn); the bound above a table is the fit's own error,
// relative to the result. 2^-24 is half a unit in the last place.
import { Lanes } from './simd';

/** log2 e, and ln 2 in two words, the first of 10 bits: n · hi is exact. The magic number rounds to an integer. */
const EXP: usize = memory.data<f32>([
  // Clamps: below, e^x rounds to 0; above, it overflows.
  -105, 89, 1.44269504, 0.693359375, -2.1219444e-4,
  // 1.5 · 2^23 + 254: adding it rounds to even and leaves n + 254 in the low bits.
  12583166,
  // (e^r - 1 - r) / r² on |r| ≤ 0.347: 3.7e-9.
  0.5, 0.16666535, 0.041667245, 0.008367455, 0.0013863216,
]);

/** Lower end of expDown, and 1.5 · 2^23 + 127, which leaves the exponent bits of 2^n. */
const DOWN: usize = memory.data<f32>([-88, 12583039]);

/** (e^r - 1 - r) / r² on |r| ≤ 0.347: 4.7e-10 of e^r - 1. */
const EXPM1: usize = memory.data<f32>([
  -20, 89, 1.44269504, 0.693359375, -2.1219444e-4,
  // 1.5 · 2^23 + 126: leaves the exponent bits of 2^(n-1).
  12583038, 0.5, 0.16666667, 0.041666497, 0.008333251, 0.0013931973, 0.00019904017,
]);

/** (log(1+f) - f + f²/2) / f³ on [√½ - 1, √2 - 1]: 6.2e-9. */
const LOG: usize = memory.data<f32>([
  0.33333328, -0.25000793, 0.20001407, -0.16624367, 0.14199422, -0.13149378, 0.1276936, -0.076679,
  0.693359375, -2.1219444e-4,
]);

/** π/2 in three words, the first two of 8 and 11 bits, so that their products with n < 2^13 are exact. */
const TURN: usize = memory.data<f32>([
  0.63661977, 1.5703125, 4.837512969970703125e-4, 7.54978995489188216e-8,
  // 1.5 · 2^23: the low bits of the sum are the quadrant.
  12582912,
]);
/** Largest argument whose multiple of π/2 is exact in the three words of TURN. */
const SINE_LIMIT: f32 = 8192;
/** (sin x / x - 1) / z on z = x² ≤ (π/4)²: 1e-8. */
const SIN: usize = memory.data<f32>([-0.16666642, 0.008331429, -0.00019424986]);
/** (cos x - 1 + z/2) / z²: 3.6e-10. */
const COS: usize = memory.data<f32>([0.041666668, -0.0013888231, 2.4524246e-5]);

/** erf x = x P(z) / Q(z) in z = x² on [0, 3.93]: 2.0e-8; beyond, erf is 1. P from z^0 up, then Q, which begins with 1. */
const ERF: usize = memory.data<f32>([
  1.1283791453364813, 1.9078425391355236e-1, 5.27903418492086e-2, 3.7796276573164368e-3, 2.848090661175523e-4,
  2.0419679686446683e-6, 1, 5.024108621331256e-1, 1.1425769730328211e-1, 1.4997473776729317e-2,
  1.1652173028791817e-3, 3.8004070431786106e-5,
]);
/** log(1 + e) / e in e - ½ on [0, 1]: 3.8e-8. */
const LOG1P_NEAR: usize = memory.data<f32>([
  0.8109301924705505, -0.28852689266204834, 0.1326102465391159, -0.06770581007003784, 0.0366191565990448,
  -0.020267566666007042, 0.01165828388184309, -0.008492046035826206, 0.005112954415380955,
]);

/** Numbers of single formulas. */
const MISC: usize = memory.data<f32>([
  0.5, 8388608, -23, 3.93, 0.70710678, -15,
  // 2 √(2/π), and that times 0.044715.
  1.59576912, 0.071354814,
  // 1/√(2π), and 6 √(2/π) times 0.044715.
  0.39894228, 0.21406444,
]);

export class Curve {
  @inline static at(table: usize, k: usize): v128 {
    return v128.load32_splat(table + 4 * k);
  }
  @inline static step(p: v128, x: v128, table: usize, k: usize): v128 {
    return Lanes.madd(p, x, Curve.at(table, k));
  }
  /** Coefficients k and k + 1 of a polynomial. Taken in pairs, the chain of dependent steps is half as long. */
  @inline static pair(x: v128, table: usize, k: usize): v128 {
    return Curve.step(Curve.at(table, k + 1), x, table, k);
  }
  /** p z + q. */
  @inline static join(p: v128, z: v128, q: v128): v128 {
    return Lanes.madd(p, z, q);
  }
  @inline static half(): v128 {
    return Curve.at(MISC, 0);
  }

  /** e^r for |r| ≤ 0.347. */
  @inline static expNear(r: v128): v128 {
    const z = f32x4.mul(r, r);
    let p = Curve.join(Curve.at(EXP, 10), z, Curve.pair(r, EXP, 8));
    p = Curve.join(p, z, Curve.pair(r, EXP, 6));
    return f32x4.add(Curve.join(p, z, r), Lanes.one());
  }
  /** e^x for x ≤ 0, without subnormals: 0 below -87.7, where the bits of 2^-127 are those of 0. */
  @inline static expDown(x: v128): v128 {
    x = f32x4.pmax(x, Curve.at(DOWN, 0));
    const magic = Curve.at(DOWN, 1);
    const t = Lanes.madd(x, Curve.at(EXP, 2), magic);
    const n = f32x4.sub(t, magic);
    let r = Lanes.nmadd(n, Curve.at(EXP, 3), x);
    r = Lanes.nmadd(n, Curve.at(EXP, 4), r);
    return f32x4.mul(Curve.expNear(r), i32x4.shl(t, 23));
  }

  /** e^x with gradual underflow, to 1.1 ulp. */
  @inline static exp(x: v128): v128 {
    x = f32x4.pmin(f32x4.pmax(x, Curve.at(EXP, 0)), Curve.at(EXP, 1));
    const magic = Curve.at(EXP, 5);
    const t = Lanes.madd(x, Curve.at(EXP, 2), magic);
    const n = f32x4.sub(t, magic);
    let r = Lanes.nmadd(n, Curve.at(EXP, 3), x);
    r = Lanes.nmadd(n, Curve.at(EXP, 4), r);
    const p = Curve.expNear(r);
    // 2^n in two factors, so that n = 128 and subnormal results come out right: n + 254 = low + high.
    const low = i32x4.shr_u(t, 1);
    const high = i32x4.sub(t, low);
    return f32x4.mul(f32x4.mul(p, i32x4.shl(low, 23)), i32x4.shl(high, 23));
  }

  /** e^x - 1 for x ≤ 89.5, to 2 ulp; small x keep their relative accuracy. */
  @inline static expm1(x: v128): v128 {
    x = f32x4.pmin(f32x4.pmax(x, Curve.at(EXPM1, 0)), Curve.at(EXPM1, 1));
    const magic = Curve.at(EXPM1, 5);
    const t = Lanes.madd(x, Curve.at(EXPM1, 2), magic);
    const n = f32x4.sub(t, magic);
    let r = Lanes.nmadd(n, Curve.at(EXPM1, 3), x);
    r = Lanes.nmadd(n, Curve.at(EXPM1, 4), r);
    const z = f32x4.mul(r, r);
    let p = Curve.join(Curve.pair(r, EXPM1, 10), z, Curve.pair(r, EXPM1, 8));
    p = Curve.join(Curve.join(p, z, Curve.pair(r, EXPM1, 6)), z, r);
    // 2 (p 2^(n-1) + 2^(n-1) - 1/2): halved, so that n = 128 does not overflow early.
    const scale = i32x4.shl(t, 23);
    const y = Lanes.madd(p, scale, f32x4.sub(scale, Curve.half()));
    return f32x4.add(y, y);
  }

  /** log(1 + f) + k ln 2, f in [√½ - 1, √2 - 1]. */
  @inline static logNear(f: v128, k: v128): v128 {
    const square = f32x4.mul(f, f);
    const low = Curve.join(Curve.pair(f, LOG, 2), square, Curve.pair(f, LOG, 0));
    const high = Curve.join(Curve.pair(f, LOG, 6), square, Curve.pair(f, LOG, 4));
    let p = Curve.join(high, f32x4.mul(square, square), low);
    p = f32x4.mul(f32x4.mul(square, f), p);
    p = Lanes.madd(k, Curve.at(LOG, 9), p);
    p = Lanes.nmadd(square, Curve.half(), p);
    return Lanes.madd(k, Curve.at(LOG, 8), f32x4.add(f, p));
  }
  /** Distance of the bits from those of √½, the lower end of the mantissas used; its exponent field is k. */
  @inline static logBits(x: v128): v128 {
    return i32x4.sub(x, Curve.at(MISC, 4));
  }
  @inline static mantissa(x: v128, k: v128): v128 {
    return i32x4.sub(x, i32x4.shl(k, 23));
  }
  /** What log gives outside the positive numbers: NaN below `zero`, -∞ there, x itself for ∞ and NaN. */
  @inline static logEnds(y: v128, x: v128, zero: v128): v128 {
    y = v128.bitselect(y, x, f32x4.lt(x, Lanes.infinity()));
    y = v128.or(y, f32x4.lt(x, zero));
    return v128.bitselect(f32x4.neg(Lanes.infinity()), y, f32x4.eq(x, zero));
  }

  /** log x, subnormals included, to 1.2 ulp. */
  @inline static log(x: v128): v128 {
    const tiny = f32x4.lt(x, Lanes.smallestNormal());
    const big = v128.bitselect(f32x4.mul(x, Curve.at(MISC, 1)), x, tiny);
    const e = i32x4.shr_s(Curve.logBits(big), 23);
    const k = f32x4.add(f32x4.convert_i32x4_s(e), v128.and(tiny, Curve.at(MISC, 2)));
    const y = Curve.logNear(f32x4.sub(Curve.mantissa(big, e), Lanes.one()), k);
    return Curve.logEnds(y, x, f32x4.splat(0));
  }

  /** log(1 + x) for -1 < x < ∞: the rounding error of 1 + x is carried over, so small x keep their accuracy. */
  @inline static log1pInside(x: v128): v128 {
    const one = Lanes.one();
    const u = f32x4.add(one, x);
    const lost = f32x4.sub(x, f32x4.sub(u, one));
    const e = i32x4.shr_s(Curve.logBits(u), 23);
    // From 2^100 on nothing is lost, and 2^-e must stay finite.
    const scale = i32x4.sub(one, i32x4.shl(i32x4.min_s(e, i32x4.splat(100)), 23));
    const f = f32x4.add(f32x4.sub(Curve.mantissa(u, e), one), f32x4.mul(lost, scale));
    return Curve.logNear(f, f32x4.convert_i32x4_s(e));
  }
  @inline static log1p(x: v128): v128 {
    return Curve.logEnds(Curve.log1pInside(x), x, f32x4.neg(Lanes.one()));
  }

  /** tanh x = -t / (t + 2), t = e^(-2|x|) - 1. */
  @inline static tanh(x: v128): v128 {
    const a = Lanes.abs(x);
    const t = Curve.expm1(f32x4.neg(f32x4.add(a, a)));
    return Lanes.withSign(Lanes.abs(f32x4.div(t, f32x4.add(t, Lanes.two()))), x);
  }

  /** 1 / (1 + e^-x), written so that the exponential never overflows and small results keep their accuracy. */
  @inline static sigmoid(x: v128): v128 {
    const e = Curve.expDown(v128.or(x, Lanes.sign()));
    const one = Lanes.one();
    return f32x4.div(v128.bitselect(e, one, i32x4.shr_s(x, 31)), f32x4.add(one, e));
  }

  /** max(x, 0) + log(1 + e^-|x|). */
  @inline static softplus(x: v128): v128 {
    const e = Curve.expDown(v128.or(x, Lanes.sign()));
    const t = f32x4.sub(e, Curve.half());
    const z = f32x4.mul(t, t);
    const high = Curve.join(Curve.at(LOG1P_NEAR, 8), z, Curve.pair(t, LOG1P_NEAR, 6));
    const low = Curve.join(Curve.pair(t, LOG1P_NEAR, 4), z, Curve.pair(t, LOG1P_NEAR, 2));
    const p = Curve.join(Curve.join(high, f32x4.mul(z, z), low), z, Curve.pair(t, LOG1P_NEAR, 0));
    return Lanes.madd(e, p, f32x4.pmax(x, f32x4.splat(0)));
  }

  /** x minus the nearest multiple of π/2, given that multiple. */
  @inline static turnRest(x: v128, n: v128): v128 {
    x = Lanes.nmadd(n, Curve.at(TURN, 1), x);
    x = Lanes.nmadd(n, Curve.at(TURN, 2), x);
    return Lanes.nmadd(n, Curve.at(TURN, 3), x);
  }
  @inline static sinNear(r: v128, z: v128): v128 {
    const p = Curve.step(Curve.step(Curve.at(SIN, 2), z, SIN, 1), z, SIN, 0);
    return Lanes.madd(f32x4.mul(z, r), p, r);
  }
  @inline static cosNear(z: v128): v128 {
    const p = Curve.step(Curve.step(Curve.at(COS, 2), z, COS, 1), z, COS, 0);
    const y = Lanes.nmadd(Curve.half(), z, Lanes.one());
    return Lanes.madd(f32x4.mul(z, z), p, y);
  }
  /** sin of r plus `quadrant` quarter turns (its low two bits), |r| ≤ π/4. */
  @inline static turned(r: v128, quadrant: v128): v128 {
    const z = f32x4.mul(r, r);
    const odd = i32x4.shr_s(i32x4.shl(quadrant, 31), 31);
    const y = v128.bitselect(Curve.cosNear(z), Curve.sinNear(r, z), odd);
    const sign = v128.and(i32x4.shl(quadrant, 30), Lanes.sign());
    return v128.xor(y, sign);
  }
  /** sin(x + `quarter` π/2). */
  @inline static sine(x: v128, quarter: i32): v128 {
    const magic = Curve.at(TURN, 4);
    const t = Lanes.madd(x, Curve.at(TURN, 0), magic);
    const r = Curve.turnRest(x, f32x4.sub(t, magic));
    const y = Curve.turned(r, quarter == 0 ? t : i32x4.add(t, i32x4.splat(quarter)));
    const far = f32x4.gt(f32x4.abs(x), f32x4.splat(SINE_LIMIT));
    return v128.any_true(far) ? farSine(x, y, quarter) : y;
  }

  /** A polynomial of degree 5 in z, w = z². */
  @inline static quintic(z: v128, w: v128, table: usize, k: usize): v128 {
    const high = Curve.join(Curve.pair(z, table, k + 4), w, Curve.pair(z, table, k + 2));
    return Curve.join(high, w, Curve.pair(z, table, k));
  }
  /** x held within ±limit; NaN stays. */
  @inline static within(x: v128, limit: v128): v128 {
    return f32x4.pmin(f32x4.pmax(x, f32x4.neg(limit)), limit);
  }
  @inline static erf(x: v128): v128 {
    const t = Curve.within(x, Curve.at(MISC, 3));
    const z = f32x4.mul(t, t);
    const w = f32x4.mul(z, z);
    const top = f32x4.mul(t, Curve.quintic(z, w, ERF, 0));
    return Curve.within(f32x4.div(top, Curve.quintic(z, w, ERF, 6)), Lanes.one());
  }
  /** Φ(x) = (1 + erf(x/√2)) / 2, to about 1e-7. */
  @inline static normal(x: v128): v128 {
    return Curve.join(Curve.half(), Curve.erf(f32x4.mul(x, Curve.at(MISC, 4))), Curve.half());
  }
  /** x Φ(x); from -15 down it is 0, which the bound keeps from meeting -∞. */
  @inline static gelu(x: v128): v128 {
    x = f32x4.pmax(x, Curve.at(MISC, 5));
    return f32x4.mul(x, Curve.normal(x));
  }

  /** x/2 (1 + tanh u) = x σ(2u), bounded as gelu is. */
  @inline static geluTanh(x: v128): v128 {
    x = f32x4.pmax(x, Curve.at(MISC, 5));
    const z = f32x4.mul(x, x);
    const u = f32x4.mul(x, Curve.join(Curve.at(MISC, 7), z, Curve.at(MISC, 6)));
    return f32x4.mul(x, Curve.sigmoid(u));
  }

  /** x within ±15, where the slopes below are 0 or 1. */
  @inline static near(x: v128): v128 {
    return Curve.within(x, f32x4.neg(Curve.at(MISC, 5)));
  }
  /** d gelu / dx = Φ(x) + x φ(x). */
  @inline static geluSlope(x: v128): v128 {
    x = Curve.near(x);
    const bell = Curve.expDown(f32x4.neg(f32x4.mul(Curve.half(), f32x4.mul(x, x))));
    return Curve.join(f32x4.mul(x, Curve.at(MISC, 8)), bell, Curve.normal(x));
  }
  /** σ(v) + w σ'(v): with e = e^-|v|, σ' = e / (1 + e)² keeps its digits on both sides. */
  @inline static gateSlope(v: v128, w: v128): v128 {
    const one = Lanes.one();
    const e = Curve.expDown(v128.or(v, Lanes.sign()));
    const q = f32x4.div(one, f32x4.add(one, e));
    const other = f32x4.mul(e, q);
    return Curve.join(f32x4.mul(other, q), w, v128.bitselect(other, q, i32x4.shr_s(v, 31)));
  }
  /** d x σ(2u) / dx = σ(2u) + x (2u)' σ'(2u), (2u)' = 2k (1 + 3c x²). */
  @inline static geluTanhSlope(x: v128): v128 {
    x = Curve.near(x);
    const z = f32x4.mul(x, x);
    const u = f32x4.mul(x, Curve.join(Curve.at(MISC, 7), z, Curve.at(MISC, 6)));
    const w = f32x4.mul(x, Curve.join(Curve.at(MISC, 9), z, Curve.at(MISC, 6)));
    return Curve.gateSlope(u, w);
  }
  /** d x σ(x) / dx; beyond 88, σ' is 0. */
  @inline static siluSlope(x: v128): v128 {
    return Curve.gateSlope(x, Curve.within(x, f32x4.neg(Curve.at(DOWN, 0))));
  }
}

/** sine() of lanes beyond its limit; the others are y. */
function farSine(x: v128, y: v128, quarter: i32): v128 {
  y = f32x4.replace_lane(y, 0, oneSine(f32x4.extract_lane(x, 0), f32x4.extract_lane(y, 0), quarter));
  y = f32x4.replace_lane(y, 1, oneSine(f32x4.extract_lane(x, 1), f32x4.extract_lane(y, 1), quarter));
  y = f32x4.replace_lane(y, 2, oneSine(f32x4.extract_lane(x, 2), f32x4.extract_lane(y, 2), quarter));
  return f32x4.replace_lane(y, 3, oneSine(f32x4.extract_lane(x, 3), f32x4.extract_lane(y, 3), quarter));
}
function oneSine(x: f32, y: f32, quarter: i32): f32 {
  if (!(abs(x) > SINE_LIMIT)) return y;
  return quarter == 0 ? NativeMathf.sin(x) : NativeMathf.cos(x);
}
