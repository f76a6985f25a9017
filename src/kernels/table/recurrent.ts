// Kernel rows of one time step of the recurrent layers, all elementwise but for the layout: blocks of `hidden` numbers
// stand side by side in rows. The products with the weights are taken outside.
import type { KernelCase, KernelRow } from '../row.js';
import { along } from '../split.js';

const CASES: KernelCase[] = (
  [
    [0, 4],
    [1, 1],
    [2, 3],
    [3, 16],
    [5, 37],
    [32, 128],
  ] as const
).map(([batch, hidden]) => ({ args: [batch, hidden] }));

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** A kernel (pointers…, batch, hidden) with `blocks` of `hidden` numbers a row behind each pointer. */
function cell(
  sig: string,
  blocks: readonly number[],
  step: (
    at: (pointer: number, block: number) => number,
    put: (pointer: number, block: number, value: number) => void,
  ) => void,
  facts: Pick<KernelRow, 'cases' | 'domain'>,
): KernelRow {
  return {
    sig,
    extents: (batch, hidden) => blocks.map((n) => n * batch! * hidden!),
    ref: (m, ...args) => {
      const [batch, hidden] = args.slice(-2) as [number, number];
      for (let row = 0; row < batch; row++)
        for (let j = 0; j < hidden; j++) {
          const place = (p: number, block: number): number =>
            args[p]! + (row * blocks[p]! + block) * hidden + j;
          step(
            (p, block) => (args[p] ? m.f[place(p, block)]! : 0),
            (p, block, value) => {
              m.f[place(p, block)] = value;
            },
          );
        }
    },
    tolerance: 3e-6,
    split: {
      work: [sig.length - 2, sig.length - 1],
      cost: 8,
      cut: (v) =>
        along(
          v,
          0,
          blocks.map((n) => n * v[1]!),
        ),
    },
    ...facts,
  };
}

export const recurrent = {
  /**
   * A step of long short-term memory. With i, f, o = σ and g = tanh of the blocks of x + p, in the order i, f, g, o:
   * c' = f c + i g, h' = o tanh c'. (h', c', gates, x, p, c, batch, hidden)
   */
  lstmCell: cell(
    'oooiiinn',
    [1, 1, 4, 4, 4, 1],
    (at, put) => {
      const pre = (block: number): number => at(3, block) + at(4, block);
      const [i, f, g, o] = [sigmoid(pre(0)), sigmoid(pre(1)), Math.tanh(pre(2)), sigmoid(pre(3))];
      const next = f * at(5, 0) + i * g;
      [i, f, g, o].forEach((v, block) => put(2, block, v));
      put(1, 0, next);
      put(0, 0, o * Math.tanh(next));
    },
    { cases: CASES, domain: [-3, 3] },
  ),
  /**
   * Its gradients, by x + p and by c, from those by h' (`gy` and `gh`, which are added) and by c' (`gc`); `gh` and `gc` may
   * be absent. (gx, gc of c, gy, gh, gc, gates, c, c', batch, hidden)
   */
  lstmCellGrad: cell(
    'ooiiiiiinn',
    [4, 1, 1, 1, 1, 4, 1, 1],
    (at, put) => {
      const [i, f, g, o] = [at(5, 0), at(5, 1), at(5, 2), at(5, 3)];
      const [gh, t] = [at(2, 0) + at(3, 0), Math.tanh(at(7, 0))];
      const gc = at(4, 0) + gh * o * (1 - t) * (1 + t);
      put(0, 0, gc * g * i * (1 - i));
      put(0, 1, gc * at(6, 0) * f * (1 - f));
      put(0, 2, gc * i * (1 - g) * (1 + g));
      put(0, 3, gh * t * o * (1 - o));
      put(1, 0, gc * f);
    },
    {
      cases: CASES.flatMap((c) => [c, { ...c, absent: [3, 4] }, { ...c, absent: [3] }]),
      domain: [
        [-1, 1],
        [-1, 1],
        [-1, 1],
        [0, 1],
        [-2, 2],
        [-2, 2],
      ],
    },
  ),
  /**
   * A step of a gated recurrent unit. With r, z = σ(x + p) of their blocks, and n = tanh(x_n + r p_n): h' = n + z (h - n).
   * `gates` gets r, z, n and p_n. (h', gates, x, p, h, batch, hidden)
   */
  gruCell: cell(
    'ooiiinn',
    [1, 4, 3, 3, 1],
    (at, put) => {
      const [r, z] = [sigmoid(at(2, 0) + at(3, 0)), sigmoid(at(2, 1) + at(3, 1))];
      const n = Math.tanh(at(2, 2) + r * at(3, 2));
      [r, z, n, at(3, 2)].forEach((v, block) => put(1, block, v));
      put(0, 0, n + z * (at(4, 0) - n));
    },
    { cases: CASES, domain: [-3, 3] },
  ),
  /**
   * Its gradients, by x, by p, and by h but for what goes through p; from those by h' (`gy`, `gh` and `gd`, which are
   * added; the latter two may be absent). (gx, gp, gd of h, gy, gh, gd, gates, h, batch, hidden)
   */
  gruCellGrad: cell(
    'oooiiiiinn',
    [3, 3, 1, 1, 1, 1, 4, 1],
    (at, put) => {
      const [r, z, n, p] = [at(6, 0), at(6, 1), at(6, 2), at(6, 3)];
      const g = at(3, 0) + at(4, 0) + at(5, 0);
      const gn = g * (1 - z) * (1 - n) * (1 + n);
      const [gr, gz] = [gn * p * r * (1 - r), g * (at(7, 0) - n) * z * (1 - z)];
      [gr, gz, gn].forEach((v, block) => put(0, block, v));
      [gr, gz, gn * r].forEach((v, block) => put(1, block, v));
      put(2, 0, g * z);
    },
    {
      cases: CASES.flatMap((c) => [c, { ...c, absent: [4, 5] }]),
      domain: [
        [-1, 1],
        [-1, 1],
        [-1, 1],
        [0, 1],
        [-1, 1],
      ],
    },
  ),
} as const satisfies Record<string, KernelRow>;
