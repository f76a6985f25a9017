// Normalisation over groups of channels of [n, c, l]; a group's elements lie side by side. Sums are those of runs.ts:
// float32 within runs, double across them.
import { Affine, Channel, Pull, Slope } from './norm';
import { Deviation, Product, Run } from './runs';
import { unary, zip } from './simd';

export function groupNorm(
  y: usize,
  mean: usize,
  rstd: usize,
  x: usize,
  w: usize,
  b: usize,
  n: i32,
  c: i32,
  l: i32,
  groups: i32,
  eps: f64,
): void {
  const run = usize(l) << 2;
  const per = c / groups;
  const size = per * l;
  for (let row = 0; row < n * groups; row++, mean += 4, rstd += 4) {
    const center = Run.sum(x, size) / f64(size);
    const mu = f32(center);
    // The mean was rounded: Σ(x - μ)² exceeds the smallest sum by size (μ - mean)².
    const off = center - f64(mu);
    const variance = max(Run.total<Deviation>(x, 0, mu, size) / f64(size) - off * off, 0);
    const inverse = f32(1.0 / Math.sqrt(variance + eps));
    f32.store(mean, mu);
    f32.store(rstd, inverse);
    Channel.mean = mu;
    const first = (row % groups) * per;
    for (let k = first; k < first + per; k++, x += run, y += run) {
      Channel.scale = w ? inverse * f32.load(w + (usize(k) << 2)) : inverse;
      Channel.shift = b ? f32.load(b + (usize(k) << 2)) : 0;
      unary<Affine>(y, x, l);
    }
  }
}

/** Adds to the number at `p`, unless that is absent. */
function addAt(p: usize, k: i32, x: f64): void {
  if (!p) return;
  const at = p + (usize(k) << 2);
  f32.store(at, f32(f64(f32.load(at)) + x));
}

export function groupNormGrad(
  gx: usize,
  gw: usize,
  gb: usize,
  g: usize,
  x: usize,
  mean: usize,
  rstd: usize,
  w: usize,
  n: i32,
  c: i32,
  l: i32,
  groups: i32,
): void {
  if (gw) memory.fill(gw, 0, usize(c) << 2);
  if (gb) memory.fill(gb, 0, usize(c) << 2);
  const run = usize(l) << 2;
  const per = c / groups;
  const count = f64(per) * f64(l);
  for (let row = 0; row < n * groups; row++, mean += 4, rstd += 4) {
    const mu = f32.load(mean);
    const inverse = f64(f32.load(rstd));
    const first = (row % groups) * per;
    // Σ e and Σ e h over the group, with e = g w and h = (x - mean) rstd.
    let sum: f64 = 0;
    let dot: f64 = 0;
    for (let k = 0; k < per; k++) {
      const at = usize(k) * run;
      const s = Run.sum(g + at, l);
      const d = Run.total<Product>(x + at, g + at, mu, l) * inverse;
      const weight = w ? f64(f32.load(w + (usize(first + k) << 2))) : 1;
      sum += weight * s;
      dot += weight * d;
      addAt(gw, first + k, d);
      addAt(gb, first + k, s);
    }
    Channel.mean = mu;
    Channel.shift = f32((inverse * sum) / count);
    Slope.slope = f32((inverse * inverse * dot) / count);
    for (let k = first; k < first + per; k++, g += run, x += run, gx += run) {
      Channel.scale = w ? f32(inverse * f64(f32.load(w + (usize(k) << 2)))) : f32(inverse);
      zip<Pull>(gx, g, x, l);
    }
  }
}
