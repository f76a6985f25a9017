// Kernel rows that reduce: over the middle of [outer, n, inner], over the rows of a matrix, or over a whole run.
// Sums follow a fixed tree (see each engine), so that they do not depend on the number of threads.
import type { Cells, Cut, KernelCase, KernelRow, Numbers } from '../row.js';
import { along, leaves } from '../split.js';

const AXES: KernelCase[] = [
  { args: [1, 1, 1] },
  { args: [0, 3, 4] },
  { args: [1, 5, 1] },
  { args: [1, 1000, 1] },
  { args: [7, 33, 1] },
  { args: [3, 16, 5] },
  { args: [2, 17, 64] },
  { args: [1, 100, 31] },
  { args: [1, 10007, 1] },
];

type Fold = (m: Cells, at: number, n: number, stride: number) => number;

/** Columns that make a cut of few rows worth while. */
const WIDE = 64;

/** Whether a whole run is reduced, which is cut at its leaves. */
const whole = ([outer, , inner]: readonly number[]): boolean => outer === 1 && inner === 1;

/** Along the outer dimension, or where that is short, by leaves or by columns inside the kernel. */
function rowsOrColumns(numbers: readonly number[]): Cut | 'inside' | null {
  const [outer, n, inner] = numbers as Numbers<3>;
  if (whole(numbers) || (outer < 16 && inner >= WIDE)) return 'inside';
  return outer > 1 ? along(numbers, 0, [inner, n * inner]) : null;
}

function reduction(fold: Fold, facts: Partial<KernelRow> = {}): KernelRow {
  return {
    sig: 'oinnn',
    extents: (outer, n, inner) => [outer! * inner!, outer! * n! * inner!],
    ref: (m, o, x, outer, n, inner) => {
      for (let i = 0; i < outer!; i++)
        for (let j = 0; j < inner!; j++)
          m.f[o! + i * inner! + j] = fold(m, x! + i * n! * inner! + j, n!, inner!);
    },
    cases: AXES,
    domain: [-1, 1],
    ulp: 0,
    split: {
      work: [2, 3, 4],
      cost: 0.1,
      ends: whole,
      cut: rowsOrColumns,
    },
    ...facts,
  };
}

/** Index of the first best element; NaN counts as best, as in torch. */
function best(better: (a: number, b: number) => boolean): Fold {
  return (m, at, n, stride) => {
    let k = 0;
    for (let i = 1; i < n; i++) {
      const [old, now] = [m.f[at + k * stride]!, m.f[at + i * stride]!];
      if (old === old && (now !== now || better(now, old))) k = i;
    }
    return k;
  };
}

const pick =
  (index: Fold): Fold =>
  (m, at, n, stride) =>
    m.f[at + index(m, at, n, stride) * stride]!;

const first = { max: best((a, b) => a > b), min: best((a, b) => a < b) };

const MATRICES: KernelCase[] = [
  { args: [1, 1] },
  { args: [0, 5] },
  { args: [3, 10] },
  { args: [5, 16] },
  { args: [4, 17] },
  { args: [2, 1000] },
  { args: [33, 64] },
];

const SIGNED = [-4, 4] as const;

/** Nanoseconds an element where exponentials are taken. */
const EXPONENTIAL = 0.8;

/** (out, …inputs, rows, cols) over rows of a matrix; `cost` in nanoseconds an element. */
function rowwise(
  inputs: number,
  cost: number,
  row: (m: Cells, o: number, xs: number[], cols: number) => void,
  domain: KernelRow['domain'] = SIGNED,
): KernelRow {
  return {
    sig: `o${'i'.repeat(inputs)}nn`,
    extents: (rows, cols) => Array<number>(inputs + 1).fill(rows! * cols!),
    ref: (m, o, ...rest) => {
      const cols = rest[inputs + 1]!;
      for (let i = 0; i < rest[inputs]!; i++)
        row(
          m,
          o! + i * cols,
          rest.slice(0, inputs).map((x) => x + i * cols),
          cols,
        );
    },
    cases: MATRICES,
    domain,
    tolerance: 2e-6,
    inPlace: true,
    split: {
      work: [inputs + 1, inputs + 2],
      cost,
      cut: (v) => along(v, 0, Array<number>(inputs + 1).fill(v[1]!)),
    },
  };
}

/** `[max, Σ exp(x - max)]` of a row. */
function shifted(m: Cells, x: number, cols: number): [number, number] {
  let top = -Infinity;
  for (let k = 0; k < cols; k++) top = Math.max(top, m.f[x + k]!);
  let sum = 0;
  for (let k = 0; k < cols; k++) sum += Math.exp(m.f[x + k]! - top);
  return [top, sum];
}

/** The total as two reals, high and low part, so that float32 engines hand back what they summed in double. */
function putSplit(m: Cells, o: number, total: number): void {
  m.f[o] = total;
  m.f[o + 1] = total - m.f[o]!;
}

const RUNS: KernelCase[] = [0, 1, 5, 64, 1000, 10007].map((n) => ({ args: [n] }));

export const reduce = {
  /** Off by at most 2^-16 Σ|x|, and by 2^-22 Σ|x| on the native engine. */
  sum: reduction(
    (m, at, n, stride) => {
      let total = 0;
      for (let i = 0; i < n; i++) total += m.f[at + i * stride]!;
      return total;
    },
    { ulp: undefined, tolerance: 1e-5 },
  ),
  /** NaN if any is NaN. n must be at least 1. */
  max: reduction(pick(first.max)),
  min: reduction(pick(first.min)),
  /** Index of the first largest, as a real number. */
  argmax: reduction(first.max),
  argmin: reduction(first.min),
  /** Running sum along the middle axis; from the end when reverse is 1: (out, x, outer, n, inner, reverse). */
  cumsum: {
    sig: 'oinnnn',
    extents: (outer, n, inner) => [outer! * n! * inner!, outer! * n! * inner!],
    ref: (m, o, x, outer, n, inner, reverse) => {
      for (let i = 0; i < outer!; i++)
        for (let j = 0; j < inner!; j++) {
          let total = 0;
          for (let k = 0; k < n!; k++) {
            const at = (i * n! + (reverse ? n! - 1 - k : k)) * inner! + j;
            total += m.f[x! + at]!;
            m.f[o! + at] = total;
          }
        }
    },
    cases: AXES.flatMap(({ args }) => [{ args: [...args, 0] }, { args: [...args, 1] }]),
    domain: [-1, 1],
    tolerance: 1e-5,
    split: {
      work: [2, 3, 4],
      cost: 0.6,
      cut: (v) => along(v, 0, [v[1]! * v[2]!, v[1]! * v[2]!]),
    },
  },

  softmax: rowwise(1, EXPONENTIAL, (m, o, [x], cols) => {
    const [top, sum] = shifted(m, x!, cols);
    for (let k = 0; k < cols; k++) m.f[o + k] = Math.exp(m.f[x! + k]! - top) / sum;
  }),
  logSoftmax: rowwise(1, EXPONENTIAL, (m, o, [x], cols) => {
    const [top, sum] = shifted(m, x!, cols);
    for (let k = 0; k < cols; k++) m.f[o + k] = m.f[x! + k]! - top - Math.log(sum);
  }),
  /** y (g - Σ g y), y a probability: (out, g, y, rows, cols). */
  softmaxGrad: rowwise(
    2,
    0.2,
    (m, o, [g, y], cols) => {
      let total = 0;
      for (let k = 0; k < cols; k++) total += m.f[g! + k]! * m.f[y! + k]!;
      for (let k = 0; k < cols; k++) m.f[o + k] = m.f[y! + k]! * (m.f[g! + k]! - total);
    },
    [SIGNED, [0, 0.02]],
  ),
  /** g - e^y Σ g, y a log-probability: (out, g, y, rows, cols). */
  logSoftmaxGrad: rowwise(
    2,
    EXPONENTIAL,
    (m, o, [g, y], cols) => {
      let total = 0;
      for (let k = 0; k < cols; k++) total += m.f[g! + k]!;
      for (let k = 0; k < cols; k++) m.f[o + k] = m.f[g! + k]! - Math.exp(m.f[y! + k]!) * total;
    },
    [SIGNED, [-8, 0]],
  ),

  /**
   * √Σx², summed in double: (out[2], x, n); the norm is out[0] + out[1]. out[0] is not finite if some x is not, or if the
   * norm is beyond float32.
   */
  norm2: {
    sig: 'oin',
    extents: (n) => [2, n!],
    ref: (m, o, x, n) => {
      let total = 0;
      for (let k = 0; k < n!; k++) total += m.f[x! + k]! ** 2;
      putSplit(m, o!, Math.sqrt(total));
    },
    cases: RUNS,
    domain: [-3, 3],
    pairs: 0,
    tolerance: 1e-12,
    split: leaves('oin', 0.22),
  },
  /** Σ a b, summed in double: (out[2], a, b, n); the product is out[0] + out[1]. */
  dot: {
    sig: 'oiin',
    extents: (n) => [2, n!, n!],
    ref: (m, o, a, b, n) => {
      let total = 0;
      for (let k = 0; k < n!; k++) total += m.f[a! + k]! * m.f[b! + k]!;
      putSplit(m, o!, total);
    },
    cases: RUNS,
    domain: [-1, 1],
    pairs: 0,
    tolerance: 1e-12,
    split: leaves('oiin', 0.22),
  },
} as const satisfies Record<string, KernelRow>;
