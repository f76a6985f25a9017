// Kernel rows of matrix products, row-major.
import type { Cells, Cut, KernelCase, KernelRow, Numbers } from '../row.js';
import { along, LINE } from '../split.js';
import { activate, showEpilogue } from './epilogue.js';

/** Σ op(A)[i, p] op(B)[p, j]. */
function inner(
  m: Cells,
  a: number,
  b: number,
  i: number,
  j: number,
  k: number,
  ta: number,
  tb: number,
  lda: number,
  ldb: number,
): number {
  let total = 0;
  for (let p = 0; p < k; p++)
    total += m.f[a + (ta ? p * lda + i : i * lda + p)]! * m.f[b + (tb ? j * ldb + p : p * ldb + j)]!;
  return total;
}

const area = (rows: number, cols: number, ld: number): number =>
  rows * cols === 0 ? 0 : (rows - 1) * ld + cols;
const operand = (trans: number, rows: number, cols: number, ld: number): number =>
  trans ? area(cols, rows, ld) : area(rows, cols, ld);
const spread = (one: number, batch: number, stride: number): number =>
  batch * one === 0 ? 0 : (batch - 1) * stride + one;

function plain(batch: number, m: number, n: number, k: number, ta: number, tb: number, act = 0): number[] {
  return [batch, m, n, k, ta, tb, ta ? m : k, tb ? k : n, n, m * k, k * n, m * n, act];
}

type Triple = readonly [m: number, n: number, k: number];
const multiplications = ([m, n, k]: Triple): number => m * n * k;

/** m, n, k, and whether each operand is stored as it is (N) or transposed (T). */
const productLabel = (sizes: Triple, ta: number, tb: number): string =>
  `${sizes.join('x')} ${ta ? 'T' : 'N'}${tb ? 'T' : 'N'}`;

const SHAPES = [
  [1, 1, 1],
  [1, 1, 35],
  [1, 17, 3],
  [5, 1, 9],
  [4, 8, 16],
  [6, 16, 33],
  [13, 37, 65],
  [64, 64, 64],
  [33, 10, 128],
  [100, 70, 300],
] as const;

/** Nanoseconds a multiply-add: most products run at 40 to 60 GFLOP/s. */
const MADD = 0.04;
/** Rows that fill a register tile; a part has at least so many, so none becomes a product with a vector. */
const TILE = 12;
/** Longest vector that is not treated as a matrix: LONGEST of assembly/vector.ts. */
const LONGEST = 1 << 18;

/** By columns, which share no packing of B, or by rows of what is tall; `at` is the place of m among the numbers. */
function rowsOrColumns(v: readonly number[], at: number): Cut | null {
  const [m, n, , ta, tb, lda, ldb, ldc] = v.slice(at) as Numbers<8>;
  if ((m === 1 && n > LONGEST) || (n === 1 && m > LONGEST)) return null;
  if (n >= m && n >= 2 * LINE) return along(v, at + 1, [1, 0, tb ? ldb : 1, 1, 1], LINE);
  return along(v, at, [ldc, ta ? 1 : lda, 0, 0, ldc], TILE);
}

/** Along the batch; one that shares its right operand is one tall product, as it is for the kernel. */
function batchOrProduct(v: readonly number[]): Cut | null {
  const [batch, m, , , ta, , lda, , ldc, sa, sb, sc] = v as Numbers<12>;
  if (batch === 1) return rowsOrColumns(v, 1);
  if (!ta && sb === 0 && sa === m * lda && sc === m * ldc)
    return rowsOrColumns([1, m * batch, ...v.slice(2)], 1);
  return along(v, 0, [sc, sa, sb, 0, sc]);
}

export const matmul = {
  /**
   * C = act(op(A) op(B) + bias + residual):
   * (c, a, b, bias, residual, batch, m, n, k, ta, tb, lda, ldb, ldc, sa, sb, sc, act).
   * op(A) is [m, k], op(B) [k, n]; ta, tb say that the operand is stored transposed; ld* are row strides, s* batch
   * strides in elements (0 repeats an operand). bias has n entries or is absent; so may be the residual, which lies as C
   * does. act: a number of ACTIVATIONS in epilogue.ts.
   */
  matmul: {
    sig: 'oiiiinnnnnnnnnnnnn',
    extents: (batch, m, n, k, ta, tb, lda, ldb, ldc, sa, sb, sc) => {
      const c = spread(area(m!, n!, ldc!), batch!, sc!);
      const a = spread(operand(ta!, m!, k!, lda!), batch!, sa!);
      return [c, a, spread(operand(tb!, k!, n!, ldb!), batch!, sb!), n!, c];
    },
    flops: (batch, m, n, k) => 2 * batch! * multiplications([m!, n!, k!]),
    label: ([batch, m, n, k, ta, tb, , , , , , , act], given) =>
      (batch === 1 ? '' : `${batch} of `) + productLabel([m!, n!, k!], ta!, tb!) + showEpilogue(act!, given),
    ref: (c, out, a, b, bias, residual, ...v) => {
      const [batch, m, n, k, ta, tb, lda, ldb, ldc, sa, sb, sc, act] = v as [
        number,
        number,
        number,
        number,
        ...number[],
      ];
      for (let q = 0; q < batch; q++)
        for (let i = 0; i < m; i++)
          for (let j = 0; j < n; j++) {
            const total = inner(c, a! + q * sa!, b! + q * sb!, i, j, k, ta!, tb!, lda!, ldb!);
            const at = q * sc! + i * ldc! + j;
            const sum = c.round(c.round(total) + (bias ? c.f[bias + j]! : 0));
            c.f[out! + at] = sum + (residual ? c.f[residual + at]! : 0);
            activate(c, act!, out! + at, 1);
          }
    },
    cases: [
      ...SHAPES.flatMap(([m, n, k]): KernelCase[] => [
        { args: plain(1, m, n, k, 0, 0), absent: [3, 4] },
        { args: plain(1, m, n, k, 0, 1), absent: [4] },
        { args: plain(1, m, n, k, 1, 0, 1), absent: [3] },
        { args: plain(2, m, n, k, 1, 1) },
      ]),
      { args: plain(1, 0, 4, 3, 0, 0) },
      { args: plain(1, 4, 3, 0, 0, 0) },
      { args: plain(0, 2, 3, 4, 0, 0) },
      ...[1, 2, 3, 4].flatMap((act): KernelCase[] => [
        { args: plain(1, 9, 20, 12, 0, 1, act) },
        // Several blocks of terms, after the last of which alone comes the rest.
        { args: plain(1, 17, 40, 800, 0, 0, act), absent: act % 2 ? [4] : [] },
      ]),
      { args: [3, 5, 6, 7, 0, 0, 9, 8, 10, 50, 0, 60, 0] },
      { args: [3, 5, 6, 7, 1, 0, 9, 8, 10, 64, 56, 60, 2] },
    ],
    domain: [-1, 1],
    tolerance: 2e-5,
    split: { work: [5, 6, 7, 8], cost: MADD, cut: batchOrProduct },
  },
  /** C = alpha op(A) op(B) + beta C, BLAS's sgemm: (c, a, b, m, n, k, ta, tb, lda, ldb, ldc, alpha, beta). beta 0 never reads C. */
  sgemm: {
    sig: 'uiinnnnnnnnss',
    extents: (m, n, k, ta, tb, lda, ldb, ldc) => [
      area(m!, n!, ldc!),
      operand(ta!, m!, k!, lda!),
      operand(tb!, k!, n!, ldb!),
    ],
    flops: (m, n, k) => 2 * multiplications([m!, n!, k!]),
    label: ([m, n, k, ta, tb]) => productLabel([m!, n!, k!], ta!, tb!),
    ref: (c, out, a, b, ...v) => {
      const [m, n, k, ta, tb, lda, ldb, ldc, alpha, beta] = v as [number, number, number, ...number[]];
      for (let i = 0; i < m; i++)
        for (let j = 0; j < n; j++) {
          const at = out! + i * ldc! + j;
          const total = alpha === 0 ? 0 : alpha! * inner(c, a!, b!, i, j, k, ta!, tb!, lda!, ldb!);
          c.f[at] = total + (beta === 0 ? 0 : beta! * c.f[at]!);
        }
    },
    cases: SHAPES.flatMap(([m, n, k]): KernelCase[] => [
      { args: [m, n, k, 0, 0, k, n, n, 1, 0] },
      { args: [m, n, k, 0, 1, k, k, n, 1, 1] },
      { args: [m, n, k, 1, 0, m + 3, n + 2, n + 5, -0.5, 2] },
      { args: [m, n, k, 1, 1, m, k, n, 0, 0.5] },
    ]),
    domain: [-1, 1],
    tolerance: 2e-5,
    split: { work: [3, 4, 5], cost: MADD, cut: (v) => rowsOrColumns(v, 0) },
  },
} as const satisfies Record<string, KernelRow>;
