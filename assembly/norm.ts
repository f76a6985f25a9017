// Batch normalisation over [n, c, l]: statistics in two passes, float32 within runs and double across them, so that a large
// mean costs no digits. Where l is 1 the lanes are channels, else they lie along a run.
import { Deviation, Product, Run } from './runs';
import { unary, zip } from './simd';

/** A channel's numbers, for the formulas below. */
class Channel {
  static mean: f32 = 0;
  static scale: f32 = 0;
  static shift: f32 = 0;
}

/** (x - mean) scale + shift. */
@final
@unmanaged
class Affine {
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
  for (let k: usize = 0; k < usize(c); k++, x += run, y += run) {
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

/** Two channels in double at a time, an odd last one twice in the same lanes. */
class Pair {
  @inline static load(p: usize, both: bool): v128 {
    return f64x2.promote_low_f32x4(both ? v128.load64_zero(p) : v128.load32_zero(p));
  }
  @inline static store(p: usize, x: v128, both: bool): void {
    const y = f32x4.demote_f64x2_zero(x);
    if (both) v128.store64_lane(p, y, 0);
    else v128.store32_lane(p, y, 0);
  }
}

function batchNormColumns(
  y: usize,
  mean: usize,
  variance: usize,
  x: usize,
  w: usize,
  b: usize,
  n: i32,
  c: i32,
  eps: f64,
): void {
  const row = usize(c) << 2;
  const count = f64x2.splat(n);
  for (let j: usize = 0; j < row; j += 8) {
    const both = j + 8 <= row;
    let sum = f64x2.splat(0);
    for (let i: usize = 0; i < usize(n); i++) sum = f64x2.add(sum, Pair.load(x + i * row + j, both));
    const mu = f64x2.div(sum, count);
    let square = f64x2.splat(0);
    for (let i: usize = 0; i < usize(n); i++) {
      const d = f64x2.sub(Pair.load(x + i * row + j, both), mu);
      square = f64x2.add(square, f64x2.mul(d, d));
    }
    const v = f64x2.div(square, count);
    const scale = f64x2.div(Pair.load(w + j, both), f64x2.sqrt(f64x2.add(v, f64x2.splat(eps))));
    const shift = Pair.load(b + j, both);
    Pair.store(mean + j, mu, both);
    Pair.store(variance + j, v, both);
    for (let i: usize = 0; i < usize(n); i++) {
      const d = f64x2.sub(Pair.load(x + i * row + j, both), mu);
      Pair.store(y + i * row + j, f64x2.add(f64x2.mul(d, scale), shift), both);
    }
  }
}

/** g scale - shift - (x - mean) slope. */
class Slope {
  static slope: f32 = 0;
}
@final
@unmanaged
class Pull {
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
  for (let k: usize = 0; k < usize(c); k++, x += run, g += run, gx += run) {
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

function batchNormGradColumns(
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
  eps: f64,
): void {
  const row = usize(c) << 2;
  const count = f64x2.splat(n);
  for (let j: usize = 0; j < row; j += 8) {
    const both = j + 8 <= row;
    const mu = Pair.load(mean + j, both);
    const deviation = f64x2.sqrt(f64x2.add(Pair.load(variance + j, both), f64x2.splat(eps)));
    let sum = f64x2.splat(0);
    let dot = f64x2.splat(0);
    for (let i: usize = 0; i < usize(n); i++) {
      const v = Pair.load(g + i * row + j, both);
      sum = f64x2.add(sum, v);
      dot = f64x2.add(dot, f64x2.mul(v, f64x2.sub(Pair.load(x + i * row + j, both), mu)));
    }
    dot = f64x2.div(dot, deviation);
    Pair.store(gb + j, sum, both);
    Pair.store(gw + j, dot, both);
    const scale = f64x2.div(Pair.load(w + j, both), deviation);
    const shift = f64x2.div(sum, count);
    const slope = f64x2.div(f64x2.div(dot, count), deviation);
    for (let i: usize = 0; i < usize(n); i++) {
      const h = f64x2.mul(f64x2.sub(Pair.load(x + i * row + j, both), mu), slope);
      const v = f64x2.sub(f64x2.sub(Pair.load(g + i * row + j, both), shift), h);
      Pair.store(gx + i * row + j, f64x2.mul(v, scale), both);
    }
  }
}
