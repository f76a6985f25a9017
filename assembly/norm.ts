// Batch normalisation over [n, c, l]: statistics in two passes, float32 within runs and double across them, so that a large
// mean costs no digits. Where l is 1 the lanes are channels, else they lie along a run.
import { batchNormColumns, batchNormGradColumns } from './normColumns';
import { Part } from './part';
import { Deviation, Product, Run } from './runs';
import { unary, zip } from './simd';

/** A channel's numbers, for the formulas below. */
export class Channel {
  static mean: f32 = 0;
  static scale: f32 = 0;
  static shift: f32 = 0;
}

/** (x - mean) scale + shift. */
@final
@unmanaged
export class Affine {
  @inline v(x: v128): v128 {
    const d = f32x4.sub(x, f32x4.splat(Channel.mean));
    return f32x4.add(f32x4.mul(d, f32x4.splat(Channel.scale)), f32x4.splat(Channel.shift));
  }
}

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
  if (l == 1) return batchNormColumns(y, mean, variance, x, w, b, n, c, eps);
  const count = f64(n) * f64(l);
  const run = usize(l) << 2;
  const step = usize(c) * run;
  const first = usize(Part.from(c, 1));
  const last = usize(Part.to(c, 1));
  x += first * run;
  y += first * run;
  for (let k = first; k < last; k++, x += run, y += run) {
    let sum: f64 = 0;
    for (let i: usize = 0; i < usize(n); i++) sum += Run.sum(x + i * step, l);
    const mu = f32(sum / count);
    let square: f64 = 0;
    for (let i: usize = 0; i < usize(n); i++) square += Run.total<Deviation>(x + i * step, 0, mu, l);
    // The mean was rounded: Σ(x - μ)² exceeds the smallest sum by count (μ - mean)².
    const off = sum / count - f64(mu);
    const v = max(square / count - off * off, 0);
    f32.store(mean + (k << 2), mu);
    f32.store(variance + (k << 2), f32(v));
    Channel.mean = mu;
    Channel.scale = f32(f64(f32.load(w + (k << 2))) / Math.sqrt(v + eps));
    Channel.shift = f32.load(b + (k << 2));
    for (let i: usize = 0; i < usize(n); i++) unary<Affine>(y + i * step, x + i * step, l);
  }
}

/** g scale - shift - (x - mean) slope. */
export class Slope {
  static slope: f32 = 0;
}
@final
@unmanaged
export class Pull {
  @inline v(g: v128, x: v128): v128 {
    const h = f32x4.mul(f32x4.sub(x, f32x4.splat(Channel.mean)), f32x4.splat(Slope.slope));
    return f32x4.sub(f32x4.sub(f32x4.mul(g, f32x4.splat(Channel.scale)), f32x4.splat(Channel.shift)), h);
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
  if (l == 1) return batchNormGradColumns(gx, gw, gb, g, x, mean, variance, w, n, c, eps);
  const count = f64(n) * f64(l);
  const run = usize(l) << 2;
  const step = usize(c) * run;
  const first = usize(Part.from(c, 1));
  const last = usize(Part.to(c, 1));
  x += first * run;
  g += first * run;
  gx += first * run;
  for (let k = first; k < last; k++, x += run, g += run, gx += run) {
    const inverse = 1.0 / Math.sqrt(f64(f32.load(variance + (k << 2))) + eps);
    const mu = f32.load(mean + (k << 2));
    let sum: f64 = 0;
    let dot: f64 = 0;
    for (let i: usize = 0; i < usize(n); i++) {
      sum += Run.sum(g + i * step, l);
      dot += Run.total<Product>(x + i * step, g + i * step, mu, l);
    }
    f32.store(gb + (k << 2), f32(sum));
    f32.store(gw + (k << 2), f32(dot * inverse));
    const scale = f64(f32.load(w + (k << 2))) * inverse;
    Channel.mean = mu;
    Channel.scale = f32(scale);
    Channel.shift = f32((scale * sum) / count);
    Slope.slope = f32((scale * inverse * inverse * dot) / count);
    for (let i: usize = 0; i < usize(n); i++) zip<Pull>(gx + i * step, g + i * step, x + i * step, l);
  }
}
