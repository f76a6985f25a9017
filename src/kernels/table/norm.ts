// Kernel rows of normalisation, forward and backward.
import type { Cells, KernelCase, KernelRow } from '../row.js';
import { along } from '../split.js';

/** [n, c, l]: batch, channels, positions. */
const BATCHES: KernelCase[] = [
  { args: [1, 1, 2, 1e-5] },
  { args: [4, 3, 1, 1e-5] },
  { args: [8, 17, 1, 1e-3] },
  { args: [2, 5, 49, 1e-5] },
  { args: [3, 4, 196, 1e-5] },
  { args: [16, 2, 33, 1e-5] },
];

/** Calls `visit` with the element indices of channel `c` of [n, channels, l]. */
function channel(n: number, channels: number, l: number, c: number, visit: (at: number) => void): void {
  for (let i = 0; i < n; i++) for (let j = 0; j < l; j++) visit((i * channels + c) * l + j);
}

/** Mean and biased variance of channel `c`. */
function moments(m: Cells, x: number, n: number, channels: number, l: number, c: number): [number, number] {
  let [mean, variance] = [0, 0];
  channel(n, channels, l, c, (at) => (mean += m.f[x + at]!));
  mean /= n * l;
  channel(n, channels, l, c, (at) => (variance += (m.f[x + at]! - mean) ** 2));
  return [mean, variance / (n * l)];
}

export const norm = {
  /**
   * Batch norm with the batch's statistics over [n, c, l]: y = (x - mean) / √(var + eps) · w + b.
   * (y, mean, var, x, w, b, n, c, l, eps); var is the biased one.
   */
  batchNorm: {
    sig: 'oooiiinnns',
    extents: (n, c, l) => [n! * c! * l!, c!, c!, n! * c! * l!, c!, c!],
    ref: (m, y, mean, variance, x, w, b, n, c, l, eps) => {
      for (let k = 0; k < c!; k++) {
        const [mu, v] = moments(m, x!, n!, c!, l!, k);
        m.f[mean! + k] = mu;
        m.f[variance! + k] = v;
        const scale = m.f[w! + k]! / Math.sqrt(v + eps!);
        channel(n!, c!, l!, k, (at) => (m.f[y! + at] = (m.f[x! + at]! - mu) * scale + m.f[b! + k]!));
      }
    },
    cases: BATCHES,
    domain: [-2, 2],
    tolerance: 1e-5,
    split: { work: [6, 7, 8], cost: 0.4, cut: () => 'inside' },
  },
  /**
   * Gradients of batchNorm: with h = (x - mean) / √(var + eps), gb = Σ g, gw = Σ g h,
   * gx = w / √(var + eps) · (g - gb/N - h gw/N), N = n l.
   * (gx, gw, gb, g, x, mean, var, w, n, c, l, eps)
   */
  batchNormGrad: {
    sig: 'oooiiiiinnns',
    extents: (n, c, l) => [n! * c! * l!, c!, c!, n! * c! * l!, n! * c! * l!, c!, c!, c!],
    ref: (m, gx, gw, gb, g, x, mean, variance, w, n, c, l, eps) => {
      for (let k = 0; k < c!; k++) {
        const inverse = 1 / Math.sqrt(m.f[variance! + k]! + eps!);
        const mu = m.f[mean! + k]!;
        let [sum, dot] = [0, 0];
        channel(n!, c!, l!, k, (at) => {
          sum += m.f[g! + at]!;
          dot += m.f[g! + at]! * (m.f[x! + at]! - mu) * inverse;
        });
        m.f[gb! + k] = sum;
        m.f[gw! + k] = dot;
        const [a, b] = [sum / (n! * l!), dot / (n! * l!)];
        channel(n!, c!, l!, k, (at) => {
          const h = (m.f[x! + at]! - mu) * inverse;
          m.f[gx! + at] = m.f[w! + k]! * inverse * (m.f[g! + at]! - a - h * b);
        });
      }
    },
    cases: BATCHES,
    domain: [
      [-1, 1],
      [-2, 2],
      [-0.1, 0.1],
      [0.5, 2],
      [0.5, 2],
    ],
    tolerance: 2e-5,
    split: { work: [8, 9, 10], cost: 0.6, cut: () => 'inside' },
  },
} as const satisfies Record<string, KernelRow>;

/** [rows, cols, eps] */
const ROWS: KernelCase[] = [
  { args: [1, 1, 1e-5] },
  { args: [0, 8, 1e-5] },
  { args: [3, 10, 1e-5] },
  { args: [5, 16, 1e-3] },
  { args: [4, 67, 1e-5] },
  { args: [33, 128, 1e-5] },
  { args: [2, 1000, 1e-5] },
];

/** Normalisation over the rows of a matrix. */
export const layers = {
  /**
   * y = (x - mean) rstd · w + b over each row, rstd = 1/√(var + eps) with the biased variance.
   * (y, mean, rstd, x, w, b, rows, cols, eps); w and b have cols entries and may each be absent.
   */
  layerNorm: {
    sig: 'oooiiinns',
    extents: (rows, cols) => [rows! * cols!, rows!, rows!, rows! * cols!, cols!, cols!],
    ref: (m, y, mean, rstd, x, w, b, rows, cols, eps) => {
      for (let i = 0; i < rows!; i++) {
        const at = i * cols!;
        let [mu, variance] = [0, 0];
        for (let j = 0; j < cols!; j++) mu += m.f[x! + at + j]! / cols!;
        for (let j = 0; j < cols!; j++) variance += (m.f[x! + at + j]! - mu) ** 2 / cols!;
        const inverse = 1 / Math.sqrt(variance + eps!);
        m.f[mean! + i] = mu;
        m.f[rstd! + i] = inverse;
        for (let j = 0; j < cols!; j++)
          m.f[y! + at + j] =
            (m.f[x! + at + j]! - mu) * inverse * (w ? m.f[w + j]! : 1) + (b ? m.f[b + j]! : 0);
      }
    },
    cases: ROWS.flatMap((c) => [c, { ...c, absent: [4, 5] }, { ...c, absent: [5] }]),
    domain: [-2, 2],
    tolerance: 1e-5,
    split: {
      work: [6, 7],
      cost: 0.5,
      cut: (v) => along(v, 0, [v[1]!, 1, 1, v[1]!, 0, 0]),
    },
  },
  /**
   * Gradients of layerNorm: with h = (x - mean) rstd and e = g w: gb = Σ_rows g, gw = Σ_rows g h,
   * gx = rstd (e - mean_cols e - h mean_cols(e h)).
   * (gx, gw, gb, g, x, mean, rstd, w, rows, cols); gw and gb, and w, may be absent.
   */
  layerNormGrad: {
    sig: 'oooiiiiinn',
    extents: (rows, cols) => [rows! * cols!, cols!, cols!, rows! * cols!, rows! * cols!, rows!, rows!, cols!],
    ref: (m, gx, gw, gb, g, x, mean, rstd, w, rows, cols) => {
      const [dw, db] = [new Float64Array(cols!), new Float64Array(cols!)];
      for (let i = 0; i < rows!; i++) {
        const at = i * cols!;
        const [mu, inverse] = [m.f[mean! + i]!, m.f[rstd! + i]!];
        const h = (j: number): number => (m.f[x! + at + j]! - mu) * inverse;
        const e = (j: number): number => m.f[g! + at + j]! * (w ? m.f[w + j]! : 1);
        let [sum, dot] = [0, 0];
        for (let j = 0; j < cols!; j++) {
          sum += e(j) / cols!;
          dot += (e(j) * h(j)) / cols!;
          dw[j]! += m.f[g! + at + j]! * h(j);
          db[j]! += m.f[g! + at + j]!;
        }
        for (let j = 0; j < cols!; j++) m.f[gx! + at + j] = inverse * (e(j) - sum - h(j) * dot);
      }
      if (gw) m.f.set(dw, gw);
      if (gb) m.f.set(db, gb);
    },
    cases: ROWS.map(({ args }) => args.slice(0, 2)).flatMap((args): KernelCase[] => [
      { args },
      { args, absent: [1, 2, 7] },
    ]),
    domain: [
      [-2, 2],
      [-2, 2],
      [-0.5, 0.5],
      [0.5, 2],
      [0.5, 2],
    ],
    tolerance: 3e-5,
    split: { work: [8, 9], cost: 0.65, cut: () => 'inside' },
  },
} as const satisfies Record<string, KernelRow>;
