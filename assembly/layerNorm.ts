// Layer normalisation: over each row of a matrix. Statistics take two passes over a row that is in cache by then, float32
// within runs and double across them; sums over rows run in float32 within a band of rows and in double beyond.
import { Part } from './part';
import { Scratch } from './scratch';
import { Lanes } from './simd';
import { Deviation, Run } from './runs';

/** What absent weights and shifts are: four of them, read again and again. */
const ONES: usize = memory.data<f32>([1, 1, 1, 1], 16);
const ZEROS: usize = memory.data(16, 16);

/** An operand of a row's length that may be absent: element i is at `at + (i & mask)`. */
class Weight {
  static at: usize = 0;
  static mask: usize = 0;
  static over(w: usize): void {
    Weight.at = w ? w : ONES;
    Weight.mask = w ? usize.MAX_VALUE : 0;
  }
}
class Shift {
  static at: usize = 0;
  static mask: usize = 0;
  static over(b: usize): void {
    Shift.at = b ? b : ZEROS;
    Shift.mask = b ? usize.MAX_VALUE : 0;
  }
}

export function layerNorm(
  y: usize,
  mean: usize,
  rstd: usize,
  x: usize,
  w: usize,
  b: usize,
  rows: i32,
  cols: i32,
  eps: f64,
): void {
  const size = usize(cols) << 2;
  Weight.over(w);
  Shift.over(b);
  for (let i = 0; i < rows; i++, x += size, y += size, mean += 4, rstd += 4) {
    const center = Run.sum(x, cols) / f64(cols);
    const mu = f32(center);
    // The mean was rounded: Σ(x - μ)² exceeds the smallest sum by cols (μ - mean)².
    const off = center - f64(mu);
    const variance = max(Run.total<Deviation>(x, 0, mu, cols) / f64(cols) - off * off, 0);
    const inverse = f32(1.0 / Math.sqrt(variance + eps));
    f32.store(mean, mu);
    f32.store(rstd, inverse);
    affine(y, x, size, mu, inverse);
  }
}

/** y = (x - mean) rstd w + b. */
function affine(y: usize, x: usize, size: usize, mean: f32, rstd: f32): void {
  const mu = f32x4.splat(mean);
  const r = f32x4.splat(rstd);
  const w = Weight.at;
  const wm = Weight.mask;
  const b = Shift.at;
  const bm = Shift.mask;
  let i: usize = 0;
  for (const end = size & ~31; i < end; i += 32) {
    const h0 = f32x4.mul(f32x4.sub(v128.load(x + i), mu), r);
    const h1 = f32x4.mul(f32x4.sub(v128.load(x + i, 16), mu), r);
    const w1 = v128.load(w + ((i + 16) & wm));
    const b1 = v128.load(b + ((i + 16) & bm));
    v128.store(y + i, f32x4.add(f32x4.mul(h0, v128.load(w + (i & wm))), v128.load(b + (i & bm))));
    v128.store(y + i, f32x4.add(f32x4.mul(h1, w1), b1), 16);
  }
  for (; i < size; i += 4) {
    const h = (f32.load(x + i) - mean) * rstd;
    f32.store(y + i, h * f32.load(w + (i & wm)) + f32.load(b + (i & bm)));
  }
}

/** Rows whose products are added in float32, and columns whose totals wait in double, 1 MiB for each of two sums. */
const BAND: i32 = 16;
const CHUNK: i32 = (1 << 17) - 512;

export function layerNormGrad(
  gx: usize,
  gw: usize,
  gb: usize,
  g: usize,
  x: usize,
  mean: usize,
  rstd: usize,
  w: usize,
  rows: i32,
  cols: i32,
): void {
  const row = usize(cols) << 2;
  const firstRow = Part.from(rows, BAND);
  const lastRow = Part.to(rows, BAND);
  const last = Part.to(cols, 16);
  let j = Part.from(cols, 16);
  let first = true;
  Weight.over(w);
  // A part takes columns for the sums and rows for gx. One chunk in all but extreme cases: g and x are then read once, band
  // by band.
  do {
    const some = max(0, min(CHUNK, last - j));
    const at = usize(j) << 2;
    if (gw || gb) memory.fill(Totals.dot(), 0, usize(some) << 4);
    Totals.size = usize(some) << 3;
    for (let i = 0; i < rows; i += BAND) {
      const band = min(BAND, rows - i);
      const from = usize(i) * row;
      const stat = usize(i) << 2;
      if (gw || gb) Totals.add(g + from + at, x + from + at, mean + stat, rstd + stat, row, band, some);
      if (first && i >= firstRow && i < lastRow)
        bandGrad(gx + from, g + from, x + from, mean + stat, rstd + stat, band, cols);
    }
    if (gw) Totals.store(gw + at, Totals.dot(), some);
    if (gb) Totals.store(gb + at, Totals.sum(), some);
    first = false;
    j += CHUNK;
  } while (j < last);
}

/** Sums over rows, for each column, in double: Σ g (x - mean) rstd, then Σ g. */
class Totals {
  /** Bytes of each. */
  static size: usize = 0;
  @inline static dot(): usize {
    return Scratch.spare();
  }
  @inline static sum(): usize {
    return Scratch.spare() + Totals.size;
  }

  static add(g: usize, x: usize, mean: usize, rstd: usize, row: usize, rows: i32, cols: i32): void {
    const dot = Totals.dot();
    const sum = Totals.sum();
    const size = usize(cols) << 2;
    let j: usize = 0;
    for (const end = size & ~15; j < end; j += 16) {
      let d = f32x4.splat(0);
      let s = d;
      let p = g + j;
      let q = x + j;
      for (let i: usize = 0; i < usize(rows) << 2; i += 4, p += row, q += row) {
        const v = v128.load(p);
        const h = f32x4.mul(
          f32x4.sub(v128.load(q), v128.load32_splat(mean + i)),
          v128.load32_splat(rstd + i),
        );
        s = f32x4.add(s, v);
        d = f32x4.add(d, f32x4.mul(v, h));
      }
      Totals.join(dot + 2 * j, d);
      Totals.join(sum + 2 * j, s);
    }
    for (; j < size; j += 4) {
      let d: f32 = 0;
      let s: f32 = 0;
      for (let i: usize = 0; i < usize(rows); i++) {
        const v = f32.load(g + j + i * row);
        s += v;
        d += v * ((f32.load(x + j + i * row) - f32.load(mean + (i << 2))) * f32.load(rstd + (i << 2)));
      }
      f64.store(dot + 2 * j, f64.load(dot + 2 * j) + f64(d));
      f64.store(sum + 2 * j, f64.load(sum + 2 * j) + f64(s));
    }
  }
  @inline private static join(to: usize, x: v128): void {
    v128.store(to, f64x2.add(v128.load(to), f64x2.promote_low_f32x4(x)));
    v128.store(to, f64x2.add(v128.load(to, 16), Lanes.promoteHigh(x)), 16);
  }
  static store(to: usize, from: usize, n: i32): void {
    for (const end = to + (usize(n) << 2); to < end; to += 4, from += 8) f32.store(to, f32(f64.load(from)));
  }
}

/** What a row's gradient takes away: means over the columns of e = g w and of e h. */
class Means {
  static e: f64 = 0;
  static eh: f64 = 0;

  static over(g: usize, x: usize, size: usize, mean: f32, rstd: f32): void {
    Means.e = 0;
    Means.eh = 0;
    for (let at: usize = 0; at < size; at += 16384) Means.block(g, x, at, min(size, at + 16384), mean);
    const n = f64(size >> 2);
    Means.e /= n;
    Means.eh *= f64(rstd) / n;
  }
  private static block(g: usize, x: usize, i: usize, end: usize, mean: f32): void {
    const mu = f32x4.splat(mean);
    const w = Weight.at;
    const m = Weight.mask;
    let s0 = f32x4.splat(0);
    let s1 = s0;
    let d0 = s0;
    let d1 = s0;
    for (; i + 32 <= end; i += 32) {
      const e0 = f32x4.mul(v128.load(g + i), v128.load(w + (i & m)));
      const e1 = f32x4.mul(v128.load(g + i, 16), v128.load(w + ((i + 16) & m)));
      s0 = f32x4.add(s0, e0);
      s1 = f32x4.add(s1, e1);
      d0 = f32x4.add(d0, f32x4.mul(e0, f32x4.sub(v128.load(x + i), mu)));
      d1 = f32x4.add(d1, f32x4.mul(e1, f32x4.sub(v128.load(x + i, 16), mu)));
    }
    let sum: f32 = 0;
    let dot: f32 = 0;
    for (; i < end; i += 4) {
      const e = f32.load(g + i) * f32.load(w + (i & m));
      sum += e;
      dot += e * (f32.load(x + i) - mean);
    }
    Means.e += Lanes.sum64(f32x4.add(s0, s1)) + f64(sum);
    Means.eh += Lanes.sum64(f32x4.add(d0, d1)) + f64(dot);
  }
}

/** gx = rstd (e - mean e - h mean(e h)) for some rows. */
function bandGrad(gx: usize, g: usize, x: usize, mean: usize, rstd: usize, rows: i32, cols: i32): void {
  const size = usize(cols) << 2;
  for (; rows > 0; rows--, gx += size, g += size, x += size, mean += 4, rstd += 4) {
    Means.over(g, x, size, f32.load(mean), f32.load(rstd));
    rowGrad(gx, g, x, size, f32.load(mean), f32.load(rstd));
  }
}

function rowGrad(gx: usize, g: usize, x: usize, size: usize, mean: f32, rstd: f32): void {
  const away = f32(Means.e);
  const slope = f32(Means.eh) * rstd;
  const mu = f32x4.splat(mean);
  const r = f32x4.splat(rstd);
  const a = f32x4.splat(away);
  const s = f32x4.splat(slope);
  const w = Weight.at;
  const m = Weight.mask;
  let i: usize = 0;
  for (const end = size & ~15; i < end; i += 16) {
    const e = f32x4.mul(v128.load(g + i), v128.load(w + (i & m)));
    const h = f32x4.mul(f32x4.sub(v128.load(x + i), mu), s);
    v128.store(gx + i, f32x4.mul(f32x4.sub(f32x4.sub(e, a), h), r));
  }
  for (; i < size; i += 4) {
    const e = f32.load(g + i) * f32.load(w + (i & m));
    f32.store(gx + i, (e - away - (f32.load(x + i) - mean) * slope) * rstd);
  }
}
