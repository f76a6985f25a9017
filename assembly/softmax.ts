// Softmax and its logarithm over the rows of a matrix, and their gradients. The largest element is taken away first, so no
// exponential overflows.
import { Curve } from './curves';
import { Row } from './exponentials';
import { Plain, Run, Together } from './runs';
import { unary, zip } from './simd';

/** What a row's formula takes besides its elements, in every lane. */
class Shared {
  static a: f32 = 0;
  static b: f32 = 0;
}
@final
@unmanaged
class Times {
  @inline v(x: v128): v128 {
    return f32x4.mul(x, f32x4.splat(Shared.a));
  }
}
@final
@unmanaged
class Minus {
  @inline v(x: v128): v128 {
    return f32x4.sub(f32x4.sub(x, f32x4.splat(Shared.a)), f32x4.splat(Shared.b));
  }
}
@final
@unmanaged
class Pull {
  @inline v(g: v128, y: v128): v128 {
    return f32x4.mul(y, f32x4.sub(g, f32x4.splat(Shared.a)));
  }
}
@final
@unmanaged
class LogPull {
  @inline v(g: v128, y: v128): v128 {
    return f32x4.sub(g, f32x4.mul(Curve.exp(y), f32x4.splat(Shared.a)));
  }
}

export function softmax(o: usize, x: usize, rows: i32, cols: i32): void {
  const size = usize(cols) << 2;
  for (let i = 0; i < rows; i++, o += size, x += size) {
    const sum = Row.exponentials(o, x, size, f32x4.splat(Run.top(x, cols)));
    Shared.a = f32(1.0 / sum);
    unary<Times>(o, o, cols);
  }
}

export function logSoftmax(o: usize, x: usize, rows: i32, cols: i32): void {
  const size = usize(cols) << 2;
  for (let i = 0; i < rows; i++, o += size, x += size) {
    const top = Run.top(x, cols);
    Shared.b = Row.log(Row.exponentials(0, x, size, f32x4.splat(top)));
    Shared.a = top;
    unary<Minus>(o, x, cols);
  }
}

export function softmaxGrad(o: usize, g: usize, y: usize, rows: i32, cols: i32): void {
  const size = usize(cols) << 2;
  for (let i = 0; i < rows; i++, o += size, g += size, y += size) {
    Shared.a = f32(Run.total<Together>(g, y, 0, cols));
    zip<Pull>(o, g, y, cols);
  }
}

export function logSoftmaxGrad(o: usize, g: usize, y: usize, rows: i32, cols: i32): void {
  const size = usize(cols) << 2;
  for (let i = 0; i < rows; i++, o += size, g += size, y += size) {
    Shared.a = f32(Run.total<Plain>(g, 0, 0, cols));
    zip<LogPull>(o, g, y, cols);
  }
}
