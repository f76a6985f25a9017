// Kernel rows of losses over the rows of a matrix.
import type { KernelCase, KernelRow, Split } from '../row.js';

/** [rows, cols]; where `index` exceeds cols, some targets are no class. */
const ROWS: KernelCase[] = [
  { args: [1, 1], index: 1 },
  { args: [0, 5], index: 5 },
  { args: [7, 10], index: 10 },
  { args: [5, 16], index: 16 },
  { args: [9, 3], index: 5 },
  { args: [4, 67], index: 67 },
  { args: [2, 1000], index: 1000 },
  { args: [33, 64], index: 70 },
];

/** Over rows, one exponential an element; the kernels cut themselves, because stats stand apart for all rows. */
const byRows = (rows: number): Split => ({ work: [rows, rows + 1], cost: 0.8, cut: () => 'inside' });

export const losses = {
  /**
   * Cross-entropy of softmax(x) against class numbers: loss = log - (x[target] - top), with top the row's largest element
   * and log = ln Σ e^(x - top); NaN where the target is no column.
   * (loss, stats, x, target, rows, cols); stats is [2, rows], first every top, then every log.
   */
  crossEntropy: {
    sig: 'ooijnn',
    extents: (rows, cols) => [rows!, 2 * rows!, rows! * cols!, rows!],
    ref: (m, loss, stats, x, target, rows, cols) => {
      for (let i = 0; i < rows!; i++) {
        const row = Array.from(m.f.subarray(x! + i * cols!, x! + (i + 1) * cols!));
        const top = row.reduce((a, b) => Math.max(a, b), -Infinity);
        const log = Math.log(row.reduce((sum, v) => sum + Math.exp(v - top), 0));
        const at = m.i[target! + i]!;
        m.f[stats! + i] = top;
        m.f[stats! + rows! + i] = log;
        m.f[loss! + i] = at >= 0 && at < cols! ? log - (row[at]! - top) : NaN;
      }
    },
    cases: ROWS,
    domain: [-4, 4],
    tolerance: 2e-6,
    split: byRows(4),
  },
  /**
   * Gradient of crossEntropy by x: g (softmax(x) - [column is target]), and 0 where the target is no column.
   * (gx, g, x, stats, target, rows, cols)
   */
  crossEntropyGrad: {
    sig: 'oiiijnn',
    extents: (rows, cols) => [rows! * cols!, rows!, rows! * cols!, 2 * rows!, rows!],
    ref: (m, gx, g, x, stats, target, rows, cols) => {
      for (let i = 0; i < rows!; i++) {
        const [top, log] = [m.f[stats! + i]!, m.f[stats! + rows! + i]!];
        const at = m.i[target! + i]!;
        const scale = at >= 0 && at < cols! ? m.f[g! + i]! : 0;
        for (let k = 0; k < cols!; k++) {
          const p = Math.exp(m.f[x! + i * cols! + k]! - top - log);
          m.f[gx! + i * cols! + k] = scale * (p - (k === at ? 1 : 0));
        }
      }
    },
    cases: ROWS,
    domain: [
      [-2, 2],
      [-4, 0],
      [0, 2],
    ],
    tolerance: 2e-6,
    split: byRows(5),
  },
} as const satisfies Record<string, KernelRow>;
