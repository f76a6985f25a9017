// Kernel rows that move numbers and compute nothing: strided copies, gathers and scatters.
// Indices out of range never touch other memory: a gather gives NaN there, a scatter leaves it out.
import type { Cut, KernelCase, KernelRow, Split } from '../row.js';
import { along, elements, LINE } from '../split.js';

type Quad = [number, number, number, number];

const span = (d: number[], s: number[]): number =>
  d.some((n) => n === 0) ? 0 : d.reduce((total, n, k) => total + (n - 1) * s[k]!, 1);

/** [outer, n, inner, m] */
const PICKS: KernelCase[] = [
  { args: [1, 7, 1, 5], index: 7 },
  { args: [1, 10, 16, 33], index: 10 },
  { args: [3, 6, 5, 4], index: 6 },
  { args: [2, 3, 17, 0], index: 3 },
  { args: [4, 9, 1, 9], index: 9 },
];

const inside = (k: number, n: number): boolean => k >= 0 && k < n;

/** Index arrays are shared by all of outer and inner (`pick`), or have one entry an element (`each`). */
const indexAt = (shared: boolean, inner: number, m: number, o: number, k: number, i: number): number =>
  shared ? k : (o * m + k) * inner + i;

/** Whole rows are copied, single elements fetched. */
const pickWork = (shared: boolean): Pick<Split, 'work' | 'cost'> => ({
  work: [3, 5, 6],
  cost: shared ? 0.12 : 2,
});

/** Along the outer dimension, or along the picks when that is 1. */
function picks(shared: boolean, numbers: readonly number[]): Cut {
  const [outer, n, inner, m] = numbers as unknown as Quad;
  if (outer > 1) return along(numbers, 0, [m * inner, n * inner, shared ? 0 : m * inner]);
  return along(numbers, 3, [inner, 0, shared ? 1 : inner]);
}

/** Picks may meet in one place, so their order counts: along the outer dimension, or by rows of the output inside the kernel. */
function drops(shared: boolean, numbers: readonly number[]): Cut | 'inside' | null {
  const [outer, n, inner, m] = numbers as unknown as Quad;
  if (outer > 1) return along(numbers, 0, [n * inner, m * inner, shared ? 0 : m * inner]);
  return shared && inner > LINE ? 'inside' : null;
}

function gather(shared: boolean): KernelRow {
  return {
    sig: 'oijnnnn',
    extents: (outer, n, inner, m) => [
      outer! * m! * inner!,
      outer! * n! * inner!,
      shared ? m! : outer! * m! * inner!,
    ],
    ref: (c, out, x, index, outer, n, inner, m) => {
      for (let o = 0; o < outer!; o++)
        for (let k = 0; k < m!; k++)
          for (let i = 0; i < inner!; i++) {
            const at = c.i[index! + indexAt(shared, inner!, m!, o, k, i)]!;
            c.f[out! + (o * m! + k) * inner! + i] = inside(at, n!)
              ? c.f[x! + (o * n! + at) * inner! + i]!
              : NaN;
          }
    },
    cases: PICKS,
    ulp: 0,
    split: { ...pickWork(shared), cut: (numbers) => picks(shared, numbers) },
  };
}

function scatter(shared: boolean): KernelRow {
  return {
    sig: 'uijnnnn',
    extents: (outer, n, inner, m) => [
      outer! * n! * inner!,
      outer! * m! * inner!,
      shared ? m! : outer! * m! * inner!,
    ],
    ref: (c, out, x, index, outer, n, inner, m) => {
      for (let o = 0; o < outer!; o++)
        for (let k = 0; k < m!; k++)
          for (let i = 0; i < inner!; i++) {
            const at = c.i[index! + indexAt(shared, inner!, m!, o, k, i)]!;
            if (!inside(at, n!)) continue;
            const to = out! + (o * n! + at) * inner! + i;
            c.f[to] = c.f[to]! + c.f[x! + (o * m! + k) * inner! + i]!;
          }
    },
    cases: PICKS,
    ulp: 0,
    split: { ...pickWork(shared), cut: (numbers) => drops(shared, numbers) },
  };
}

/** Along the longest dimension that the output has places for. */
function longest(numbers: readonly number[]): Cut | null {
  let at = -1;
  for (let k = 0; k < 4; k++) if (numbers[4 + k]! > 0 && (at < 0 || numbers[k]! > numbers[at]!)) at = k;
  if (at < 0) return null;
  return along(numbers, at, [numbers[4 + at]!, numbers[8 + at]!], numbers[at]! < 4 * LINE ? 1 : LINE);
}

export const move = {
  /**
   * out[Σ i·outStride] = x[Σ i·inStride] over a box of four sizes: transposes, slices, broadcasts, concatenation.
   * (out, x, d0, d1, d2, d3, o0, o1, o2, o3, i0, i1, i2, i3). Strides are in elements and not negative.
   */
  copy: {
    sig: 'uinnnnnnnnnnnn',
    extents: (...v) => {
      const d = v.slice(0, 4) as Quad;
      return [span(d, v.slice(4, 8)), span(d, v.slice(8, 12))];
    },
    label: (v) => {
      // Sizes of 1 and their strides say nothing.
      const kept = [0, 1, 2, 3].filter((k) => v[k] !== 1 || k === 3);
      const of = (from: number, by: string): string => kept.map((k) => v[from + k]).join(by);
      const isDense = (from: number): boolean => {
        let size = 1;
        return [...kept].reverse().every((k) => v[from + k] === size && (size *= v[k]!) >= 0);
      };
      const by = (word: string, from: number): string => (isDense(from) ? '' : ` ${word} ${of(from, ' ')}`);
      return of(0, 'x') + by('to', 4) + by('from', 8);
    },
    ref: (m, out, x, ...v) => {
      const [d, o, s] = [v.slice(0, 4), v.slice(4, 8), v.slice(8, 12)] as [Quad, Quad, Quad];
      for (let i = 0; i < d[0]; i++)
        for (let j = 0; j < d[1]; j++)
          for (let k = 0; k < d[2]; k++)
            for (let l = 0; l < d[3]; l++)
              m.f[out! + i * o[0] + j * o[1] + k * o[2] + l * o[3]] =
                m.f[x! + i * s[0] + j * s[1] + k * s[2] + l * s[3]]!;
    },
    cases: [
      { args: [1, 1, 1, 100, 0, 0, 0, 1, 0, 0, 0, 1] },
      { args: [1, 1, 0, 5, 0, 0, 5, 1, 0, 0, 5, 1] },
      { args: [1, 1, 9, 37, 0, 0, 37, 1, 0, 0, 1, 9] }, // transpose
      { args: [1, 3, 33, 20, 0, 660, 20, 1, 0, 660, 1, 33] }, // batch of transposes
      { args: [2, 3, 4, 5, 60, 20, 5, 1, 0, 1, 0, 3] }, // broadcast and stride
      { args: [1, 4, 5, 6, 0, 100, 12, 2, 0, 30, 6, 1] }, // into a strided box
      { args: [2, 3, 5, 7, 105, 35, 7, 1, 105, 7, 21, 1] }, // permute (0, 2, 1, 3)
    ],
    ulp: 0,
    split: { work: [2, 3, 4, 5], cost: 0.2, cut: longest },
  },
  /** out[o, k, i] = x[o, index[k], i]: (out, x, index, outer, n, inner, m), index has m entries. */
  take: gather(true),
  /** out[o, index[k], i] += x[o, k, i], in the order of k: (out, x, index, outer, n, inner, m). */
  takeGrad: scatter(true),
  /** out[o, k, i] = x[o, index[o, k, i], i]: (out, x, index, outer, n, inner, m). */
  gather: gather(false),
  /** out[o, index[o, k, i], i] += x[o, k, i], in the order of k: (out, x, index, outer, n, inner, m). */
  scatterAdd: scatter(false),
  /** Reals to integers, towards zero; -1 for what is no index below 2^24: (out, x, n). */
  toIndex: {
    sig: 'pin',
    extents: (n) => [n!, n!],
    ref: (m, o, x, n) => {
      for (let k = 0; k < n!; k++) {
        const v = m.f[x! + k]!;
        m.i[o! + k] = v >= 0 && v < 16777216 ? Math.trunc(v) : -1;
      }
    },
    cases: [0, 1, 5, 33].map((n) => ({ args: [n] })),
    domain: [-5, 100],
    ulp: 0,
    split: elements('pin', 0.3),
  },
} as const satisfies Record<string, KernelRow>;
