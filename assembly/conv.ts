// Convolutions.
function visit(
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
      for (let i = 0; i < oh; i++)
        for (let j = 0; j < ow; j++) {
          const py = y + (usize(((q * k + f) * oh + i) * ow + j) << 2);
          let total: f32 = 0;
          for (let e = 0; e < cg; e++)
            for (let u = 0; u < r; u++)
              for (let v = 0; v < s; v++) {
                const iy = i * sh - ph + u * dh;
                const ix = j * sw - pw + v * dw;
                if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
                const px = x + (usize(((q * c + (f / kg) * cg + e) * h + iy) * w + ix) << 2);
                const pz = wt + (usize(((f * cg + e) * r + u) * s + v) << 2);
                if (kind == 0) total += f32.load(px) * f32.load(pz);
                else if (kind == 1) f32.store(px, f32.load(px) + f32.load(pz) * f32.load(py));
                else f32.store(pz, f32.load(pz) + f32.load(px) * f32.load(py));
              }
          if (kind == 0) f32.store(py, f32.load(py) + total);
        }
}
export function conv2d(
  y: usize,
  x: usize,
  wt: usize,
  bias: usize,
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
  for (let q = 0; q < n * k; q++)
    for (let i = 0; i < oh * ow; i++)
      f32.store(y + (usize(q * oh * ow + i) << 2), bias ? f32.load(bias + (usize(q % k) << 2)) : 0);
  visit(0, x, wt, y, n, c, h, w, k, r, s, sh, sw, ph, pw, dh, dw, groups);
}
export function conv2dGradInput(
  gx: usize,
  g: usize,
  wt: usize,
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
  memory.fill(gx, 0, usize(n * c * h * w) << 2);
  visit(1, gx, wt, g, n, c, h, w, k, r, s, sh, sw, ph, pw, dh, dw, groups);
}
export function conv2dGradWeight(
  gw: usize,
  x: usize,
  g: usize,
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
  memory.fill(gw, 0, usize(k * (c / groups) * r * s) << 2);
  visit(2, x, gw, g, n, c, h, w, k, r, s, sh, sw, ph, pw, dh, dw, groups);
}
export { maxPool2d, avgPool2d, avgPool2dGrad } from './pool';
