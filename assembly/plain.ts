// The three convolutions without packing, one weight after the other over whole rows of pixels: for windows that the tables of
// the fast paths would not hold, and for gradients by the input in steps where a row of products does not fit (fold.ts).
import { Conv } from './geometry';
import { Lines } from './lines';
import { Part } from './part';
import { Lanes } from './simd';

export const FORWARD = 0;
export const INPUT = 1;
export const WEIGHT = 2;

/** Adds x * w to y, or its transposes to x or w, whichever is the output. Gradients by the input come in groups, the others in outputs. */
export function plain(kind: i32, x: usize, wt: usize, y: usize): void {
  const first = kind == INPUT ? Conv.from * Conv.kg : Part.from(Conv.k, 1);
  const last = kind == INPUT ? Conv.to * Conv.kg : Part.to(Conv.k, 1);
  for (let q = 0; q < Conv.n; q++)
    for (let f = first; f < last; f++)
      for (let e = 0; e < Conv.cg; e++) {
        const weights = wt + (usize((f * Conv.cg + e) * Conv.r * Conv.s) << 2);
        const px = x + usize(q * Conv.c + (f / Conv.kg) * Conv.cg + e) * Conv.inPlane();
        const py = y + usize(q * Conv.k + f) * Conv.outPlane();
        for (let u = 0; u < Conv.r; u++)
          for (let v = 0; v < Conv.s; v++) {
            const weight = weights + (usize(u * Conv.s + v) << 2);
            tap(kind, px, weight, py, u * Conv.dh - Conv.ph, v * Conv.dw - Conv.pw);
          }
      }
}

/** One weight over one pair of planes. */
function tap(kind: i32, x: usize, wt: usize, y: usize, dy: i32, dx: i32): void {
  const step = Conv.sw;
  // The outputs j whose pixel j step + dx lies in the image's width.
  const first = Lines.first(dx, step, Conv.ow);
  const count = Lines.end(dx, step, Conv.ow, Conv.w) - first;
  if (count <= 0) return;
  const weight = f32.load(wt);
  let total: f64 = 0;
  for (let i = 0; i < Conv.oh; i++) {
    const row = i * Conv.sh + dy;
    if (u32(row) >= u32(Conv.h)) continue;
    const px = x + (usize(row * Conv.w + first * step + dx) << 2);
    const py = y + (usize(i * Conv.ow + first) << 2);
    if (kind == WEIGHT) total += Line.dot(px, py, step, count);
    else if (kind == FORWARD) Line.add(py, px, 1, step, count, weight);
    else Line.add(px, py, step, 1, count, weight);
  }
  if (kind == WEIGHT) f32.store(wt, f32(f64(weight) + total));
}

/** Rows of pixels, those of the image `step` elements apart. */
class Line {
  static dot(x: usize, y: usize, step: i32, count: i32): f64 {
    let sum = f32x4.splat(0);
    if (step == 1)
      for (; count >= 4; count -= 4, x += 16, y += 16) sum = Lanes.madd(v128.load(x), v128.load(y), sum);
    let rest: f32 = 0;
    for (; count > 0; count--, x += usize(step) << 2, y += 4) rest += f32.load(x) * f32.load(y);
    return Lanes.sum64(sum) + f64(rest);
  }
  /** to += weight from. */
  static add(to: usize, from: usize, toStep: i32, fromStep: i32, count: i32, weight: f32): void {
    const by = f32x4.splat(weight);
    if (toStep == 1 && fromStep == 1)
      for (; count >= 4; count -= 4, to += 16, from += 16)
        v128.store(to, Lanes.madd(by, v128.load(from), v128.load(to)));
    for (; count > 0; count--, to += usize(toStep) << 2, from += usize(fromStep) << 2)
      f32.store(to, f32.load(to) + weight * f32.load(from));
  }
}
