// Kernel rows of normalisation over groups of channels, forward and backward: x is [n, c, l], and each sample's channels
// are cut into groups of c / groups neighbours, whose elements lie side by side.
import type { Cells, KernelCase, KernelRow } from '../row.js';

/** [n, c, l, groups, eps] */
const GROUPS: KernelCase[] = [
  { args: [1, 1, 1, 1, 1e-5] },
  { args: [0, 4, 5, 2, 1e-5] },
  { args: [3, 6, 1, 2, 1e-3] },
  { args: [2, 40, 1, 2, 1e-3] },
  { args: [2, 6, 49, 3, 1e-5] },
  { args: [5, 4, 16, 4, 1e-5] },
  { args: [2, 8, 33, 1, 1e-3] },
  { args: [3, 2, 1000, 1, 1e-5] },
  { args: [16, 8, 64, 2, 1e-5] },
];

interface Group {
  /** Its place among [n, groups], its first element, and its elements. */
  row: number;
  from: number;
  size: number;
}

function eachGroup(n: number, c: number, l: number, groups: number, visit: (group: Group) => void): void {
  const size = (c / groups) * l;
  for (let row = 0; row < n * groups; row++) visit({ row, from: row * size, size });
}

/** Mean and biased variance of `size` elements. */
function moments(m: Cells, x: number, size: number): [number, number] {
  let [mean, variance] = [0, 0];
  for (let k = 0; k < size; k++) mean += m.f[x + k]! / size;
  for (let k = 0; k < size; k++) variance += (m.f[x + k]! - mean) ** 2 / size;
  return [mean, variance];
}

export const groupNorms = {
  /**
   * y = (x - mean) rstd · w + b over each group, rstd = 1/√(var + eps) with the biased variance; w and b by channel.
   * (y, mean, rstd, x, w, b, n, c, l, groups, eps); mean and rstd are [n, groups], w and b may each be absent.
   */
  groupNorm: {
    sig: 'oooiiinnnns',
    extents: (n, c, l, groups) => [n! * c! * l!, n! * groups!, n! * groups!, n! * c! * l!, c!, c!],
    ref: (m, y, mean, rstd, x, w, b, n, c, l, groups, eps) =>
      eachGroup(n!, c!, l!, groups!, ({ row, from, size }) => {
        const [mu, variance] = moments(m, x! + from, size);
        const inverse = 1 / Math.sqrt(variance + eps!);
        m.f[mean! + row] = mu;
        m.f[rstd! + row] = inverse;
        for (let at = from; at < from + size; at++) {
          const channel = Math.floor(at / l!) % c!;
          m.f[y! + at] =
            (m.f[x! + at]! - mu) * inverse * (w ? m.f[w + channel]! : 1) + (b ? m.f[b + channel]! : 0);
        }
      }),
    cases: GROUPS.flatMap((test) => [test, { ...test, absent: [4, 5] }, { ...test, absent: [5] }]),
    domain: [-2, 2],
    tolerance: 1e-5,
    split: { work: [6, 7, 8], cost: 0.5, cut: () => 'inside' },
  },
  /**
   * Gradients of groupNorm: with h = (x - mean) rstd and e = g w: gb = Σ g and gw = Σ g h by channel,
   * gx = rstd (e - mean e - h mean(e h)), the means over a group.
   * (gx, gw, gb, g, x, mean, rstd, w, n, c, l, groups); gw and gb, and w, may be absent.
   */
  groupNormGrad: {
    sig: 'oooiiiiinnnn',
    extents: (n, c, l, groups) => [
      n! * c! * l!,
      c!,
      c!,
      n! * c! * l!,
      n! * c! * l!,
      n! * groups!,
      n! * groups!,
      c!,
    ],
    ref: (m, gx, gw, gb, g, x, mean, rstd, w, n, c, l, groups) => {
      const [dw, db] = [new Float64Array(c!), new Float64Array(c!)];
      eachGroup(n!, c!, l!, groups!, ({ row, from, size }) => {
        const [mu, inverse] = [m.f[mean! + row]!, m.f[rstd! + row]!];
        const channel = (at: number): number => Math.floor(at / l!) % c!;
        const h = (at: number): number => (m.f[x! + at]! - mu) * inverse;
        const e = (at: number): number => m.f[g! + at]! * (w ? m.f[w + channel(at)]! : 1);
        let [sum, dot] = [0, 0];
        for (let at = from; at < from + size; at++) {
          sum += e(at) / size;
          dot += (e(at) * h(at)) / size;
          dw[channel(at)]! += m.f[g! + at]! * h(at);
          db[channel(at)]! += m.f[g! + at]!;
        }
        for (let at = from; at < from + size; at++) m.f[gx! + at] = inverse * (e(at) - sum - h(at) * dot);
      });
      if (gw) m.f.set(dw, gw);
      if (gb) m.f.set(db, gb);
    },
    cases: GROUPS.map(({ args }) => args.slice(0, 4)).flatMap((args): KernelCase[] => [
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
    split: { work: [8, 9, 10], cost: 0.6, cut: () => 'inside' },
  },
} as const satisfies Record<string, KernelRow>;
