// Batch norm.
export function batchNorm(
  y: usize,
  mean: usize,
  variance: usize,
  x: usize,
  w: usize,
  b: usize,
  n: i32,
  c: i32,
  l: i32,
  eps: f64,
): void {
  const count = f64(n) * f64(l);
  for (let k = 0; k < c; k++) {
    let mu: f64 = 0;
    for (let i = 0; i < n; i++)
      for (let j = 0; j < l; j++) mu += f64(f32.load(x + (usize((i * c + k) * l + j) << 2)));
    mu /= count;
    let v: f64 = 0;
    for (let i = 0; i < n; i++)
      for (let j = 0; j < l; j++) {
        const d = f64(f32.load(x + (usize((i * c + k) * l + j) << 2))) - mu;
        v += d * d;
      }
    v /= count;
    const at = usize(k) << 2;
    f32.store(mean + at, f32(mu));
    f32.store(variance + at, f32(v));
    const scale = f64(f32.load(w + at)) / Math.sqrt(v + eps);
    for (let i = 0; i < n; i++)
      for (let j = 0; j < l; j++) {
        const e = usize((i * c + k) * l + j) << 2;
        f32.store(y + e, f32((f64(f32.load(x + e)) - mu) * scale + f64(f32.load(b + at))));
      }
  }
}
export function batchNormGrad(
  gx: usize,
  gw: usize,
  gb: usize,
  g: usize,
  x: usize,
  mean: usize,
  variance: usize,
  w: usize,
  n: i32,
  c: i32,
  l: i32,
  eps: f64,
): void {
  const count = f64(n) * f64(l);
  for (let k = 0; k < c; k++) {
    const at = usize(k) << 2;
    const inverse = 1.0 / Math.sqrt(f64(f32.load(variance + at)) + eps);
    const mu = f64(f32.load(mean + at));
    let total: f64 = 0;
    let dot: f64 = 0;
    for (let i = 0; i < n; i++)
      for (let j = 0; j < l; j++) {
        const e = usize((i * c + k) * l + j) << 2;
        const v = f64(f32.load(g + e));
        total += v;
        dot += v * (f64(f32.load(x + e)) - mu) * inverse;
      }
    f32.store(gb + at, f32(total));
    f32.store(gw + at, f32(dot));
    const s = f64(f32.load(w + at)) * inverse;
    for (let i = 0; i < n; i++)
      for (let j = 0; j < l; j++) {
        const e = usize((i * c + k) * l + j) << 2;
        f32.store(
          gx + e,
          f32(
            s *
              (f64(f32.load(g + e)) - total / count - ((f64(f32.load(x + e)) - mu) * inverse * dot) / count),
          ),
        );
      }
  }
}
