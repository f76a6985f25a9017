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
