// The elementwise kernels: a class holds a formula for one vector, a loop of simd.ts runs it. Rows with ulp 0 do exactly
// the operations of their reference, each rounded to float32.
import { Curve } from './curves';
import { Lanes, unary } from './simd';

@final
@unmanaged
class Neg {
  @inline v(x: v128): v128 {
    return f32x4.neg(x);
  }
}
export function neg(o: usize, x: usize, n: i32): void {
  unary<Neg>(o, x, n);
}

@final
@unmanaged
class Abs {
  @inline v(x: v128): v128 {
    return Lanes.abs(x);
  }
}
export function abs(o: usize, x: usize, n: i32): void {
  unary<Abs>(o, x, n);
}

@final
@unmanaged
class Sign {
  @inline v(x: v128): v128 {
    const unit = Lanes.withSign(Lanes.one(), x);
    const zero = f32x4.splat(0);
    return v128.bitselect(unit, x, v128.or(f32x4.lt(x, zero), f32x4.gt(x, zero)));
  }
}
export function sign(o: usize, x: usize, n: i32): void {
  unary<Sign>(o, x, n);
}

@final
@unmanaged
class Square {
  @inline v(x: v128): v128 {
    return f32x4.mul(x, x);
  }
}
export function square(o: usize, x: usize, n: i32): void {
  unary<Square>(o, x, n);
}

@final
@unmanaged
class Reciprocal {
  @inline v(x: v128): v128 {
    return f32x4.div(Lanes.one(), x);
  }
}
export function reciprocal(o: usize, x: usize, n: i32): void {
  unary<Reciprocal>(o, x, n);
}

@final
@unmanaged
class Sqrt {
  @inline v(x: v128): v128 {
    return f32x4.sqrt(x);
  }
}
export function sqrt(o: usize, x: usize, n: i32): void {
  unary<Sqrt>(o, x, n);
}

@final
@unmanaged
class Rsqrt {
  @inline v(x: v128): v128 {
    return f32x4.div(Lanes.one(), f32x4.sqrt(x));
  }
}
export function rsqrt(o: usize, x: usize, n: i32): void {
  unary<Rsqrt>(o, x, n);
}

@final
@unmanaged
class Floor {
  @inline v(x: v128): v128 {
    return f32x4.floor(x);
  }
}
export function floor(o: usize, x: usize, n: i32): void {
  unary<Floor>(o, x, n);
}

@final
@unmanaged
class Ceil {
  @inline v(x: v128): v128 {
    return f32x4.ceil(x);
  }
}
export function ceil(o: usize, x: usize, n: i32): void {
  unary<Ceil>(o, x, n);
}

@final
@unmanaged
class Round {
  @inline v(x: v128): v128 {
    return f32x4.nearest(x);
  }
}
export function round(o: usize, x: usize, n: i32): void {
  unary<Round>(o, x, n);
}

@final
@unmanaged
class Trunc {
  @inline v(x: v128): v128 {
    return f32x4.trunc(x);
  }
}
export function trunc(o: usize, x: usize, n: i32): void {
  unary<Trunc>(o, x, n);
}

/** pmax(x, 0) is x < 0 ? 0 : x, so NaN stays. */
@final
@unmanaged
class Relu {
  @inline v(x: v128): v128 {
    return f32x4.pmax(x, f32x4.splat(0));
  }
}
export function relu(o: usize, x: usize, n: i32): void {
  unary<Relu>(o, x, n);
}

@final
@unmanaged
class Exp {
  @inline v(x: v128): v128 {
    return Curve.exp(x);
  }
}
export function exp(o: usize, x: usize, n: i32): void {
  unary<Exp>(o, x, n);
}

@final
@unmanaged
class Expm1 {
  @inline v(x: v128): v128 {
    return Curve.expm1(x);
  }
}
export function expm1(o: usize, x: usize, n: i32): void {
  unary<Expm1>(o, x, n);
}

@final
@unmanaged
class Log {
  @inline v(x: v128): v128 {
    return Curve.log(x);
  }
}
export function log(o: usize, x: usize, n: i32): void {
  unary<Log>(o, x, n);
}

@final
@unmanaged
class Log1p {
  @inline v(x: v128): v128 {
    return Curve.log1p(x);
  }
}
export function log1p(o: usize, x: usize, n: i32): void {
  unary<Log1p>(o, x, n);
}

@final
@unmanaged
class Sin {
  @inline v(x: v128): v128 {
    return Curve.sine(x, 0);
  }
}
export function sin(o: usize, x: usize, n: i32): void {
  unary<Sin>(o, x, n);
}

@final
@unmanaged
class Cos {
  @inline v(x: v128): v128 {
    return Curve.sine(x, 1);
  }
}
export function cos(o: usize, x: usize, n: i32): void {
  unary<Cos>(o, x, n);
}

@final
@unmanaged
class Tanh {
  @inline v(x: v128): v128 {
    return Curve.tanh(x);
  }
}
export function tanh(o: usize, x: usize, n: i32): void {
  unary<Tanh>(o, x, n);
}

@final
@unmanaged
class Sigmoid {
  @inline v(x: v128): v128 {
    return Curve.sigmoid(x);
  }
}
export function sigmoid(o: usize, x: usize, n: i32): void {
  unary<Sigmoid>(o, x, n);
}

@final
@unmanaged
class Softplus {
  @inline v(x: v128): v128 {
    return Curve.softplus(x);
  }
}
export function softplus(o: usize, x: usize, n: i32): void {
  unary<Softplus>(o, x, n);
}

@final
@unmanaged
class Silu {
  @inline v(x: v128): v128 {
    return f32x4.mul(x, Curve.sigmoid(x));
  }
}
export function silu(o: usize, x: usize, n: i32): void {
  unary<Silu>(o, x, n);
}

@final
@unmanaged
class Erf {
  @inline v(x: v128): v128 {
    return Curve.erf(x);
  }
}
export function erf(o: usize, x: usize, n: i32): void {
  unary<Erf>(o, x, n);
}

@final
@unmanaged
class Gelu {
  @inline v(x: v128): v128 {
    return Curve.gelu(x);
  }
}
export function gelu(o: usize, x: usize, n: i32): void {
  unary<Gelu>(o, x, n);
}

@final
@unmanaged
class GeluTanh {
  @inline v(x: v128): v128 {
    return Curve.geluTanh(x);
  }
}
export function geluTanh(o: usize, x: usize, n: i32): void {
  unary<GeluTanh>(o, x, n);
}
