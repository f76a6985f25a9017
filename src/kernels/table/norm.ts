// Kernel rows of normalisation, forward and backward.
import type { Cells, KernelCase, KernelRow } from '../row.js';

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
  },
} as const satisfies Record<string, KernelRow>;
