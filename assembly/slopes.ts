// Gradients of the activations that have no short form in their output: out = g f'(x), the slope from curves.ts.
import { Curve } from './curves';
import { zip } from './simd';

@final
@unmanaged
class GeluGrad {
  @inline v(g: v128, x: v128): v128 {
    return f32x4.mul(g, Curve.geluSlope(x));
  }
}
export function geluGrad(o: usize, g: usize, x: usize, n: i32): void {
  zip<GeluGrad>(o, g, x, n);
}

@final
@unmanaged
class GeluTanhGrad {
  @inline v(g: v128, x: v128): v128 {
    return f32x4.mul(g, Curve.geluTanhSlope(x));
  }
}
export function geluTanhGrad(o: usize, g: usize, x: usize, n: i32): void {
  zip<GeluTanhGrad>(o, g, x, n);
}

@final
@unmanaged
class SiluGrad {
  @inline v(g: v128, x: v128): v128 {
    return f32x4.mul(g, Curve.siluSlope(x));
  }
}
export function siluGrad(o: usize, g: usize, x: usize, n: i32): void {
  zip<SiluGrad>(o, g, x, n);
}
