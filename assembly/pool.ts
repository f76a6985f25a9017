// Pooling.
export function maxPool2d(
  y: usize,
  index: usize,
  x: usize,
  planes: i32,
  h: i32,
  w: i32,
  kh: i32,
  kw: i32,
  sh: i32,
  sw: i32,
  ph: i32,
  pw: i32,
): void {
  const oh = (h + 2 * ph - kh) / sh + 1;
  const ow = (w + 2 * pw - kw) / sw + 1;
  for (let p = 0; p < planes; p++, x += usize(h * w) << 2)
    for (let i = 0; i < oh; i++)
      for (let j = 0; j < ow; j++, y += 4, index += 4) {
        let at = -1;
        let old: f32 = 0;
        for (let u = max(0, i * sh - ph); u < min(h, i * sh - ph + kh); u++)
          for (let v = max(0, j * sw - pw); v < min(w, j * sw - pw + kw); v++) {
            const now = f32.load(x + (usize(u * w + v) << 2));
            if (at < 0 || (old == old && (now != now || now > old))) {
              at = u * w + v;
              old = now;
            }
          }
        f32.store(y, old);
        store<i32>(index, at);
      }
}
function avg(
  grad: bool,
  y: usize,
  x: usize,
  planes: i32,
  h: i32,
  w: i32,
  kh: i32,
  kw: i32,
  sh: i32,
  sw: i32,
  ph: i32,
  pw: i32,
  countPad: i32,
): void {
  const oh = (h + 2 * ph - kh) / sh + 1;
  const ow = (w + 2 * pw - kw) / sw + 1;
  for (let p = 0; p < planes; p++, x += usize(h * w) << 2)
    for (let i = 0; i < oh; i++)
      for (let j = 0; j < ow; j++, y += 4) {
        const u0 = max(0, i * sh - ph);
        const u1 = min(h, i * sh - ph + kh);
        const v0 = max(0, j * sw - pw);
        const v1 = min(w, j * sw - pw + kw);
        const count = f32(countPad ? kh * kw : (u1 - u0) * (v1 - v0));
        let total: f32 = 0;
        const share = f32.load(y) / count;
        for (let u = u0; u < u1; u++)
          for (let v = v0; v < v1; v++) {
            const at = x + (usize(u * w + v) << 2);
            if (grad) f32.store(at, f32.load(at) + share);
            else total += f32.load(at);
          }
        if (!grad) f32.store(y, total / count);
      }
}
export function avgPool2d(
  y: usize,
  x: usize,
  planes: i32,
  h: i32,
  w: i32,
  kh: i32,
  kw: i32,
  sh: i32,
  sw: i32,
  ph: i32,
  pw: i32,
  countPad: i32,
): void {
  avg(false, y, x, planes, h, w, kh, kw, sh, sw, ph, pw, countPad);
}
export function avgPool2dGrad(
  gx: usize,
  g: usize,
  planes: i32,
  h: i32,
  w: i32,
  kh: i32,
  kw: i32,
  sh: i32,
  sw: i32,
  ph: i32,
  pw: i32,
  countPad: i32,
): void {
  memory.fill(gx, 0, usize(planes * h * w) << 2);
  avg(true, g, gx, planes, h, w, kh, kw, sh, sw, ph, pw, countPad);
}
