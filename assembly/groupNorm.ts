// Normalisation over groups of channels of [n, c, l]; a group's elements lie side by side. Sums are those of runs.ts:
// float32 within runs, double across them.
import { Affine, Channel, Pull, Slope } from './norm';
import { Part } from './part';
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
  const from = Part.from(n * groups, 1);
  const to = Part.to(n * groups, 1);
  x += usize(from * size) << 2;
  y += usize(from * size) << 2;
  mean += usize(from) << 2;
  rstd += usize(from) << 2;
  for (let row = from; row < to; row++, mean += 4, rstd += 4) {
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

/** What all groups of a gradient have in common. */
class Slopes {
  static w: usize = 0;
  static per: i32 = 0;
  static l: i32 = 0;
  static mean: f32 = 0;
  static inverse: f64 = 0;
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
  Slopes.w = w;
  Slopes.per = c / groups;
  Slopes.l = l;
  // A part takes groups where there are enough of them, and sums no channel twice; else samples for gx and channels for
  // what is summed over samples.
  const enough = groups >= Part.count;
  const units = enough ? groups : n * groups;
  const from = Part.from(units, 1);
  const to = Part.to(units, 1);
  const size = (usize(Slopes.per) * usize(l)) << 2;
  if (enough) clear(gw, gb, from * Slopes.per, to * Slopes.per);
  const samples = enough ? n : 1;
  for (let sample = 0; sample < samples; sample++)
    for (let unit = from; unit < to; unit++) {
      const row = usize(enough ? sample * groups + unit : unit);
      const first = i32(row % groups) * Slopes.per;
      const at = row * size;
      Slopes.mean = f32.load(mean + (row << 2));
      Slopes.inverse = f64(f32.load(rstd + (row << 2)));
      groupGrad(gx + at, g + at, x + at, first, enough ? gw : 0, enough ? gb : 0);
    }
  if (!enough) sumChannels(gw, gb, g, x, mean, rstd, n, c, groups);
}

/** The sums of some channels to 0. */
function clear(gw: usize, gb: usize, from: i32, to: i32): void {
  const at = usize(from) << 2;
  const size = usize(to - from) << 2;
  if (gw) memory.fill(gw + at, 0, size);
  if (gb) memory.fill(gb + at, 0, size);
}

/** gx of a group whose first channel is `first`; its channels' sums are added to gw and gb, unless these are absent. */
function groupGrad(gx: usize, g: usize, x: usize, first: i32, gw: usize, gb: usize): void {
  const l = Slopes.l;
  const run = usize(l) << 2;
  const w = Slopes.w;
  const last = first + Slopes.per;
  const inverse = Slopes.inverse;
  const count = f64(Slopes.per) * f64(l);
  // Σ e and Σ e h over the group, with e = g w and h = (x - mean) rstd.
  let sum: f64 = 0;
  let dot: f64 = 0;
  let at: usize = 0;
  for (let k = first; k < last; k++, at += run) {
    const s = Run.sum(g + at, l);
    const d = Run.total<Product>(x + at, g + at, Slopes.mean, l) * inverse;
    const weight = w ? f64(f32.load(w + (usize(k) << 2))) : 1;
    sum += weight * s;
    dot += weight * d;
    addAt(gw, k, d);
    addAt(gb, k, s);
  }
  Channel.mean = Slopes.mean;
  Channel.shift = f32((inverse * sum) / count);
  Slope.slope = f32((inverse * inverse * dot) / count);
  for (let k = first; k < last; k++, g += run, x += run, gx += run) {
    Channel.scale = w ? f32(inverse * f64(f32.load(w + (usize(k) << 2)))) : f32(inverse);
    zip<Pull>(gx, g, x, l);
  }
}

/** gw and gb of the part's channels, sample after sample. */
function sumChannels(
  gw: usize,
  gb: usize,
  g: usize,
  x: usize,
  mean: usize,
  rstd: usize,
  n: i32,
  c: i32,
  groups: i32,
): void {
  if (!gw && !gb) return;
  const l = Slopes.l;
  const from = Part.from(c, 1);
  const to = Part.to(c, 1);
  clear(gw, gb, from, to);
  for (let sample = 0; sample < n; sample++)
    for (let k = from; k < to; k++) {
      const at = (usize(sample * c + k) * usize(l)) << 2;
      const row = usize(sample * groups + k / Slopes.per) << 2;
      if (gb) addAt(gb, k, Run.sum(g + at, l));
      if (gw)
        addAt(gw, k, Run.total<Product>(x + at, g + at, f32.load(mean + row), l) * f64(f32.load(rstd + row)));
    }
}
