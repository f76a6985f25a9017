// The elementwise kernels of two and three operands; see pointwise.ts.
import { Power } from './power';
import { broadcast, Lanes, zip, zipWith } from './simd';

@final
@unmanaged
class Add {
  @inline v(a: v128, b: v128): v128 {
    return f32x4.add(a, b);
  }
}
export function add(
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
  broadcast<Add>(o, a, b, n0, n1, n2, a0, a1, a2, b0, b1, b2);
}

@final
@unmanaged
class Sub {
  @inline v(a: v128, b: v128): v128 {
    return f32x4.sub(a, b);
  }
}
export function sub(
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
  broadcast<Sub>(o, a, b, n0, n1, n2, a0, a1, a2, b0, b1, b2);
}

@final
@unmanaged
class Mul {
  @inline v(a: v128, b: v128): v128 {
    return f32x4.mul(a, b);
  }
}
export function mul(
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
  broadcast<Mul>(o, a, b, n0, n1, n2, a0, a1, a2, b0, b1, b2);
}

@final
@unmanaged
class Div {
  @inline v(a: v128, b: v128): v128 {
    return f32x4.div(a, b);
  }
}
export function div(
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
  broadcast<Div>(o, a, b, n0, n1, n2, a0, a1, a2, b0, b1, b2);
}

@final
@unmanaged
class Pow {
  @inline v(a: v128, b: v128): v128 {
    return Power.pow(a, b);
  }
}
export function pow(
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
  broadcast<Pow>(o, a, b, n0, n1, n2, a0, a1, a2, b0, b1, b2);
}

@final
@unmanaged
class Maximum {
  @inline v(a: v128, b: v128): v128 {
    return Lanes.max(a, b);
  }
}
export function maximum(
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
  broadcast<Maximum>(o, a, b, n0, n1, n2, a0, a1, a2, b0, b1, b2);
}

@final
@unmanaged
class Minimum {
  @inline v(a: v128, b: v128): v128 {
    return Lanes.min(a, b);
  }
}
export function minimum(
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
  broadcast<Minimum>(o, a, b, n0, n1, n2, a0, a1, a2, b0, b1, b2);
}

@final
@unmanaged
class Eq {
  @inline v(a: v128, b: v128): v128 {
    return v128.and(f32x4.eq(a, b), Lanes.one());
  }
}
export function eq(
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
  broadcast<Eq>(o, a, b, n0, n1, n2, a0, a1, a2, b0, b1, b2);
}

@final
@unmanaged
class Ne {
  @inline v(a: v128, b: v128): v128 {
    return v128.and(f32x4.ne(a, b), Lanes.one());
  }
}
export function ne(
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
  broadcast<Ne>(o, a, b, n0, n1, n2, a0, a1, a2, b0, b1, b2);
}

@final
@unmanaged
class Lt {
  @inline v(a: v128, b: v128): v128 {
    return v128.and(f32x4.lt(a, b), Lanes.one());
  }
}
export function lt(
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
  broadcast<Lt>(o, a, b, n0, n1, n2, a0, a1, a2, b0, b1, b2);
}

@final
@unmanaged
class Le {
  @inline v(a: v128, b: v128): v128 {
    return v128.and(f32x4.le(a, b), Lanes.one());
  }
}
export function le(
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
  broadcast<Le>(o, a, b, n0, n1, n2, a0, a1, a2, b0, b1, b2);
}

@final
@unmanaged
class Gt {
  @inline v(a: v128, b: v128): v128 {
    return v128.and(f32x4.gt(a, b), Lanes.one());
  }
}
export function gt(
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
  broadcast<Gt>(o, a, b, n0, n1, n2, a0, a1, a2, b0, b1, b2);
}

@final
@unmanaged
class Ge {
  @inline v(a: v128, b: v128): v128 {
    return v128.and(f32x4.ge(a, b), Lanes.one());
  }
}
export function ge(
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
  broadcast<Ge>(o, a, b, n0, n1, n2, a0, a1, a2, b0, b1, b2);
}

@final
@unmanaged
class ReluGrad {
  @inline v(g: v128, y: v128): v128 {
    return v128.and(g, f32x4.gt(y, f32x4.splat(0)));
  }
}
export function reluGrad(o: usize, g: usize, y: usize, n: i32): void {
  zip<ReluGrad>(o, g, y, n);
}

@final
@unmanaged
class TanhGrad {
  @inline v(g: v128, y: v128): v128 {
    return f32x4.mul(g, f32x4.mul(f32x4.sub(Lanes.one(), y), f32x4.add(Lanes.one(), y)));
  }
}
export function tanhGrad(o: usize, g: usize, y: usize, n: i32): void {
  zip<TanhGrad>(o, g, y, n);
}

@final
@unmanaged
class SigmoidGrad {
  @inline v(g: v128, y: v128): v128 {
    return f32x4.mul(g, f32x4.mul(y, f32x4.sub(Lanes.one(), y)));
  }
}
export function sigmoidGrad(o: usize, g: usize, y: usize, n: i32): void {
  zip<SigmoidGrad>(o, g, y, n);
}

export function accumulate(y: usize, x: usize, n: i32): void {
  zip<Add>(y, y, x, n);
}

export function scale(x: usize, cell: usize, n: i32): void {
  zipWith<Mul>(x, x, cell, n);
}

export function fill(o: usize, value: f64, n: i32): void {
  const v = f32x4.splat(f32(value));
  const end = o + (usize(n) << 2);
  for (; o + 16 <= end; o += 16) v128.store(o, v);
  for (; o < end; o += 4) v128.store32_lane(o, v, 0);
}

class Select {
  @inline static v(c: v128, a: v128, b: v128): v128 {
    return v128.bitselect(a, b, f32x4.ne(c, f32x4.splat(0)));
  }
}
export function where(o: usize, c: usize, a: usize, b: usize, n: i32): void {
  const bytes = usize(n) << 2;
  let i: usize = 0;
  for (const end = bytes & ~15; i < end; i += 16)
    v128.store(o + i, Select.v(v128.load(c + i), v128.load(a + i), v128.load(b + i)));
  for (; i < bytes; i += 4) {
    const y = Select.v(v128.load32_splat(c + i), v128.load32_splat(a + i), v128.load32_splat(b + i));
    v128.store32_lane(o + i, y, 0);
  }
}

/** r + momentum (scale x - r). */
class Blended {
  @inline static v(r: v128, x: v128, momentum: v128, scale: v128): v128 {
    return f32x4.add(r, f32x4.mul(momentum, f32x4.sub(f32x4.mul(scale, x), r)));
  }
}
export function affine(x: usize, scale: f64, shift: f64, n: i32): void {
  for (const end = x + (usize(n) << 2); x < end; x += 4)
    store<f32>(x, f32(shift + scale * f64(load<f32>(x))));
}

export function blend(r: usize, x: usize, momentum: f64, scale: f64, n: i32): void {
  const a = f32x4.splat(f32(momentum));
  const s = f32x4.splat(f32(scale));
  const bytes = usize(n) << 2;
  let i: usize = 0;
  for (const end = bytes & ~15; i < end; i += 16)
    v128.store(r + i, Blended.v(v128.load(r + i), v128.load(x + i), a, s));
  for (; i < bytes; i += 4)
    v128.store32_lane(r + i, Blended.v(v128.load32_splat(r + i), v128.load32_splat(x + i), a, s), 0);
}
