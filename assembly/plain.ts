// The three convolutions as loops over every product: for windows with so many taps or channels that the tables and
// buffers of the fast path would not hold them. Results are the same but for the order of sums.

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
  let total = kind == WEIGHT ? f32.load(wt) : 0;
  const weight = f32.load(wt);
  for (let i = 0; i < oh; i++) {
    const row = i * sh + dy;
    if (u32(row) >= u32(h)) continue;
    for (let j = 0; j < ow; j++) {
      const col = j * sw + dx;
      if (u32(col) >= u32(w)) continue;
      const px = x + (usize(row * w + col) << 2);
      const py = y + (usize(i * ow + j) << 2);
      if (kind == FORWARD) f32.store(py, f32.load(py) + weight * f32.load(px));
      else if (kind == INPUT) f32.store(px, f32.load(px) + weight * f32.load(py));
      else total += f32.load(px) * f32.load(py);
    }
  }
  if (kind == WEIGHT) f32.store(wt, total);
}
