// Softmax with cross-entropy against class numbers. A row keeps its largest element and the logarithm of its sum, from
// which the gradient makes the probabilities again. Targets come from users and are checked here.
import { Curve } from './curves';
import { Row } from './exponentials';
import { Part } from './part';
import { Run } from './runs';
import { unary } from './simd';

/** Parts are rows, whose numbers fill lines of the cache. */
const LINE: i32 = 16;

export function crossEntropy(loss: usize, stats: usize, x: usize, target: usize, rows: i32, cols: i32): void {
  const size = usize(cols) << 2;
  const logs = stats + (usize(rows) << 2);
  const last = usize(Part.to(rows, LINE)) << 2;
  let i = usize(Part.from(rows, LINE)) << 2;
  for (x += usize(cols) * i; i < last; i += 4, x += size) {
    const top = Run.top(x, cols);
    const log = Row.log(Row.exponentials(0, x, size, f32x4.splat(top)));
    f32.store(stats + i, top);
    f32.store(logs + i, log);
    const at = load<u32>(target + i);
    f32.store(loss + i, at < u32(cols) ? log - (f32.load(x + (usize(at) << 2)) - top) : NaN);
  }
}

/** What a row's probabilities take: e^(x - top - log), times the gradient. */
class Shared {
  static top: f32 = 0;
  static log: f32 = 0;
  static factor: f32 = 0;
}
@final
@unmanaged
class Share {
  @inline v(x: v128): v128 {
    const p = Curve.expDown(f32x4.sub(f32x4.sub(x, f32x4.splat(Shared.top)), f32x4.splat(Shared.log)));
    return f32x4.mul(p, f32x4.splat(Shared.factor));
  }
}

export function crossEntropyGrad(
  gx: usize,
  g: usize,
  x: usize,
  stats: usize,
  target: usize,
  rows: i32,
  cols: i32,
): void {
  const size = usize(cols) << 2;
  const logs = stats + (usize(rows) << 2);
  const last = usize(Part.to(rows, LINE)) << 2;
  let i = usize(Part.from(rows, LINE)) << 2;
  gx += usize(cols) * i;
  for (x += usize(cols) * i; i < last; i += 4, x += size, gx += size) {
    const at = load<u32>(target + i);
    const known = at < u32(cols);
    Shared.top = f32.load(stats + i);
    Shared.log = f32.load(logs + i);
    Shared.factor = 1;
    // 1 - p keeps its digits only before it is scaled.
    const place = usize(at) << 2;
    const p = known ? f32x4.extract_lane(changetype<Share>(0).v(v128.load32_splat(x + place)), 0) : 0;
    Shared.factor = known ? f32.load(g + i) : 0;
    unary<Share>(gx, x, cols);
    if (known) f32.store(gx + place, (p - 1) * Shared.factor);
  }
}
