// The three convolutions without packing, one weight after the other over whole rows of pixels: for depthwise ones, where a
// packed number would be used once, and for windows that the tables of the fast path would not hold.
import { Lanes } from './simd';

export const FORWARD = 0;
export const INPUT = 1;
export const WEIGHT = 2;

/** Adds x * w to y, or its transposes to x or w, whichever is the output. */
export function plain(
  kind: i32,
  x: usize,
  wt: usize,
  y: usize,
  n: i32,
  c: i32,
  h: i32,
  w: i32,
  k: i32,
  r: i32,
  s: i32,
  sh: i32,
  sw: i32,
  ph: i32,
  pw: i32,
  dh: i32,
  dw: i32,
  groups: i32,
): void {
  const oh = (h + 2 * ph - dh * (r - 1) - 1) / sh + 1;
  const ow = (w + 2 * pw - dw * (s - 1) - 1) / sw + 1;
  const cg = c / groups;
  const kg = k / groups;
  for (let q = 0; q < n; q++)
    for (let f = 0; f < k; f++)
      for (let e = 0; e < cg; e++) {
        const px = x + (usize((q * c + (f / kg) * cg + e) * h * w) << 2);
        const py = y + (usize((q * k + f) * oh * ow) << 2);
        for (let u = 0; u < r; u++)
          for (let v = 0; v < s; v++)
            tap(
              kind,
              px,
              wt + (usize(((f * cg + e) * r + u) * s + v) << 2),
              py,
              h,
              w,
              oh,
              ow,
              sh,
              sw,
              u * dh - ph,
              v * dw - pw,
            );
      }
}

/** One weight over one pair of planes. */
function tap(
  kind: i32,
  x: usize,
  wt: usize,
  y: usize,
  h: i32,
  w: i32,
  oh: i32,
  ow: i32,
  sh: i32,
  sw: i32,
  dy: i32,
  dx: i32,
): void {
  // The outputs j whose pixel j sw + dx lies in the image's width.
  const first = dx < 0 ? (sw - 1 - dx) / sw : 0;
  const count = w > dx ? min(ow, (w - 1 - dx) / sw + 1) - first : 0;
  if (count <= 0) return;
  const weight = f32.load(wt);
  let total: f64 = 0;
  for (let i = 0; i < oh; i++) {
    const row = i * sh + dy;
    if (u32(row) >= u32(h)) continue;
    const px = x + (usize(row * w + first * sw + dx) << 2);
    const py = y + (usize(i * ow + first) << 2);
    if (kind == WEIGHT) total += Line.dot(px, py, sw, count);
    else if (kind == FORWARD) Line.add(py, px, 1, sw, count, weight);
    else Line.add(px, py, sw, 1, count, weight);
  }
  if (kind == WEIGHT) f32.store(wt, f32(f64(weight) + total));
}

/** Rows of pixels, those of the image `step` elements apart. */
class Line {
  static dot(x: usize, y: usize, step: i32, count: i32): f64 {
    let sum = f32x4.splat(0);
    if (step == 1)
      for (; count >= 4; count -= 4, x += 16, y += 16)
        sum = f32x4.add(sum, f32x4.mul(v128.load(x), v128.load(y)));
    let rest: f32 = 0;
    for (; count > 0; count--, x += usize(step) << 2, y += 4) rest += f32.load(x) * f32.load(y);
    return Lanes.sum64(sum) + f64(rest);
  }
  /** to += weight from. */
  static add(to: usize, from: usize, toStep: i32, fromStep: i32, count: i32, weight: f32): void {
    const by = f32x4.splat(weight);
    if (toStep == 1 && fromStep == 1)
      for (; count >= 4; count -= 4, to += 16, from += 16)
        v128.store(to, f32x4.add(v128.load(to), f32x4.mul(by, v128.load(from))));
    for (; count > 0; count--, to += usize(toStep) << 2, from += usize(fromStep) << 2)
      f32.store(to, f32.load(to) + weight * f32.load(from));
  }
}
