// What rows of elementwise functions are made by. Unary: (out, x, n). Binary: (out, a, b, n0, n1, n2, a0, a1, a2, b0, b1, b2):
// out is dense [n0, n1, n2]; a and b are read with those strides in elements, 0 where they are broadcast.
import type { Cells, Cut, KernelCase, KernelRow, Numbers, Range } from '../row.js';
import { along, elements, LINE } from '../split.js';
import { binaryLabel } from './label.js';

type Special = readonly (readonly [number, number])[];
interface UnaryFacts {
  domain?: Range;
  ulp?: number;
  special?: Special;
}

export const SIZES = [0, 1, 3, 4, 5, 15, 16, 17, 31, 33, 63, 64, 65, 1000];
/** Nanoseconds an element: what only adds, multiplies or compares, and what evaluates a polynomial or two. */
export const PLAIN = 0.1;
export const CURVED = 0.8;

export function unary(f: (x: number, round: Cells['round']) => number, facts: UnaryFacts = {}): KernelRow {
  return {
    sig: 'oin',
    extents: (n) => [n!, n!],
    ref: (m, o, x, n) => {
      for (let k = 0; k < n!; k++) m.f[o! + k] = f(m.f[x! + k]!, m.round);
    },
    cases: SIZES.map((n) => ({ args: [n] })),
    inPlace: true,
    domain: [-100, 100],
    ulp: 0,
    split: elements('oin', facts.ulp ? CURVED : PLAIN),
    ...facts,
  };
}

/** [n0, n1, n2, a0, a1, a2, b0, b1, b2] of the ways in which two operands meet. */
const BROADCASTS: KernelCase[] = [
  ...SIZES.map((n) => ({ args: [1, 1, n, 0, 0, 1, 0, 0, 1] })),
  { args: [1, 1, 37, 0, 0, 1, 0, 0, 0] }, // array, scalar
  { args: [1, 1, 37, 0, 0, 0, 0, 0, 1] }, // scalar, array
  { args: [1, 5, 19, 0, 19, 1, 0, 0, 1] }, // rows, row
  { args: [1, 5, 19, 0, 19, 1, 0, 1, 0] }, // rows, column
  { args: [1, 5, 19, 0, 1, 0, 0, 0, 1] }, // column, row
  { args: [3, 4, 21, 84, 21, 1, 0, 1, 0] }, // planes, one number a plane
  { args: [3, 4, 21, 0, 1, 0, 84, 21, 1] },
  { args: [3, 4, 21, 84, 21, 1, 21, 0, 1] },
];

/** Elements from the first to the last one that strides reach. */
const reach = (n0: number, n1: number, n2: number, s0: number, s1: number, s2: number): number =>
  n0 * n1 * n2 === 0 ? 0 : (n0 - 1) * s0 + (n1 - 1) * s1 + (n2 - 1) * s2 + 1;

/** Along the outermost dimension that is not 1; the output is dense, so inner ones would leave gaps. */
function outermost(numbers: readonly number[]): Cut {
  const [n0, n1, n2, a0, a1, a2, b0, b1, b2] = numbers as Numbers<9>;
  if (n0 > 1) return along(numbers, 0, [n1 * n2, a0, b0]);
  if (n1 > 1) return along(numbers, 1, [n2, a1, b1]);
  return along(numbers, 2, [1, a2, b2], LINE);
}

export function binary(
  f: (a: number, b: number) => number,
  facts: Pick<KernelRow, 'domain' | 'ulp'> = {},
): KernelRow {
  return {
    sig: 'oiinnnnnnnnn',
    extents: (...v) => {
      const [n0, n1, n2, a0, a1, a2, b0, b1, b2] = v as [number, number, number, ...number[]];
      return [n0 * n1 * n2, reach(n0, n1, n2, a0!, a1!, a2!), reach(n0, n1, n2, b0!, b1!, b2!)];
    },
    label: binaryLabel,
    ref: (m, o, a, b, ...v) => {
      const [n0, n1, n2, a0, a1, a2, b0, b1, b2] = v as number[];
      let k = o!;
      for (let i = 0; i < n0!; i++)
        for (let j = 0; j < n1!; j++)
          for (let l = 0; l < n2!; l++)
            m.f[k++] = f(m.f[a! + i * a0! + j * a1! + l * a2!]!, m.f[b! + i * b0! + j * b1! + l * b2!]!);
    },
    cases: BROADCASTS,
    inPlace: true,
    domain: [-100, 100],
    ulp: 0,
    split: { work: [3, 4, 5], cost: facts.ulp ? 4 * CURVED : PLAIN, cut: outermost },
    ...facts,
  };
}

/** With a case that is long enough for the loops that read ahead. */
export const withLong = (row: KernelRow): KernelRow => ({
  ...row,
  cases: [...row.cases, { args: [1, 1, 2 ** 18 + 77, 0, 0, 1, 0, 0, 1] }],
});
