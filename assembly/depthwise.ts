// Depthwise convolutions of 3 × 3, in steps of 1 and 2, read where they lie. A strip of four columns is walked from the top to
// the bottom: what a row of pixels gives to its three rows of outputs is added while it is in registers. Columns outside the
// plane come from shuffles with zero and rows outside are left out, so nothing beside the plane is read.
import { Epilogue, RELU } from './epilogue';
import { doubles, halves } from './depthwiseSteps';
import { Conv } from './geometry';
import { Lanes } from './simd';
import { Border, Inside } from './strip';

/** What stands for a bias where there is none. */
const ZERO: usize = memory.data(4, 4);

/** The taps of a window in their order, and turned round. */
@final
@unmanaged
class Straight {
  @inline tap(w: usize, k: usize): v128 {
    return v128.load32_splat(w + (k << 2));
  }
}
@final
@unmanaged
class Turned {
  @inline tap(w: usize, k: usize): v128 {
    return v128.load32_splat(w + ((8 - k) << 2));
  }
}

/** Whether all three convolutions are done in this way: padding of 1, and in steps of 2 no row or column left over. */
export function isDepthwise(): bool {
  if (Conv.cg != 1 || Conv.kg != 1 || Conv.r != 3 || Conv.s != 3) return false;
  if (Conv.ph != 1 || Conv.pw != 1 || Conv.dh != 1 || Conv.dw != 1 || Conv.ow < 4 || Conv.h < 1) return false;
  if (Conv.sh == 1 && Conv.sw == 1) return true;
  return Conv.sh == 2 && Conv.sw == 2 && ((Conv.h | Conv.w) & 1) == 0;
}

/** y = act(x * w + bias + residual) for the part's planes of each image. */
export function depthwise(y: usize, x: usize, wt: usize, bias: usize, away: usize, act: i32): void {
  const lowest: f32 = act == RELU && !away ? 0 : -Infinity;
  const plane = Conv.outPlane();
  for (let q = 0; q < Conv.n; q++)
    for (let f = Conv.from; f < Conv.to; f++) {
      const at = usize(q * Conv.k + f);
      const to = y + at * plane;
      const from = bias ? bias + (usize(f) << 2) : ZERO;
      const seen = x + at * Conv.inPlane();
      const window = wt + usize(f) * 36;
      if (Conv.sw == 1) strips<Straight>(to, seen, window, from, lowest);
      else halves(to, seen, window, from, lowest);
      if (away || act > RELU) Epilogue.finish(to, 0, 1, Conv.oh * Conv.ow, 0, away, act);
    }
}

/** The gradient by the input of all images. */
export function depthwiseInput(gx: usize, g: usize, wt: usize): void {
  for (let q = 0; q < Conv.n; q++)
    for (let f = Conv.from; f < Conv.to; f++) {
      const at = usize(q * Conv.k + f);
      const to = gx + at * Conv.inPlane();
      const from = g + at * Conv.outPlane();
      const window = wt + usize(f) * 36;
      if (Conv.sw == 1) strips<Turned>(to, from, window, ZERO, -Infinity);
      else doubles(to, from, window);
    }
}

/** A plane of outputs. The last strip overlaps the one before it. */
function strips<W>(y: usize, x: usize, w: usize, bias: usize, lowest: f32): void {
  const end = usize(Conv.ow - 4) << 2;
  if (end == 0) return walk<W, Border, Border>(y, x, w, bias, lowest, 0, 4);
  walk<W, Border, Inside>(y, x, w, bias, lowest, 0, 4);
  if (end > 16) walk<W, Inside, Inside>(y, x, w, bias, lowest, 16, end);
  walk<W, Inside, Border>(y, x, w, bias, lowest, end, end + 4);
}

/** The strips that begin `j` bytes from the left edge, 16 more, and so on before `end`. */
function walk<W, L, R>(y: usize, x: usize, w: usize, bias: usize, lowest: f32, j: usize, end: usize): void {
  const f = changetype<W>(0);
  const left = changetype<L>(0);
  const right = changetype<R>(0);
  const line = usize(Conv.w) << 2;
  const w0 = f.tap(w, 0);
  const w1 = f.tap(w, 1);
  const w2 = f.tap(w, 2);
  const w3 = f.tap(w, 3);
  const w4 = f.tap(w, 4);
  const w5 = f.tap(w, 5);
  const w6 = f.tap(w, 6);
  const w7 = f.tap(w, 7);
  const w8 = f.tap(w, 8);
  for (; j < end; j += 16) {
    let to = y + j;
    let from = x + j;
    const last = from + Conv.inPlane() - line;
    let a = left.before(from);
    let b = v128.load(from);
    let c = right.behind(from);
    // The row of outputs at hand has what the rows down to this one give; the one below has what this one gives.
    let sum = Lanes.madd(w5, c, Lanes.madd(w4, b, f32x4.mul(w3, a)));
    let next = Lanes.madd(w2, c, Lanes.madd(w1, b, f32x4.mul(w0, a)));
    const low = f32x4.splat(lowest);
    for (; from < last; to += line) {
      from += line;
      a = left.before(from);
      b = v128.load(from);
      c = right.behind(from);
      sum = Lanes.madd(w8, c, Lanes.madd(w7, b, Lanes.madd(w6, a, sum)));
      v128.store(to, f32x4.pmax(f32x4.add(v128.load32_splat(bias), sum), low));
      sum = Lanes.madd(w5, c, Lanes.madd(w4, b, Lanes.madd(w3, a, next)));
      next = Lanes.madd(w2, c, Lanes.madd(w1, b, f32x4.mul(w0, a)));
    }
    v128.store(to, f32x4.pmax(f32x4.add(v128.load32_splat(bias), sum), low));
  }
}
