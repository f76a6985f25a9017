// `thalweg/kernels`: the kernels as synchronous functions on plain Float32Arrays, outputs first. Lengths, types and
// overlaps are checked before any memory is touched; an output may be the input itself only where that is said.
import { callDirect, type DirectArgument } from './kernels/direct.js';
import type { Numbers } from './kernels/row.js';
import type { KernelName } from './kernels/table.js';
import { checkNumber, checkOptions, describe, rangeError, typeError } from './tensor/errors.js';

export { alloc, free } from './kernels/direct.js';
export {
  adaboundStep,
  adagradStep,
  adamStep,
  amsgradStep,
  lionStep,
  momentumStep,
  rmspropStep,
  sgdStep,
} from './optim/direct.js';

type UnaryKernel = (out: Float32Array, x: Float32Array) => void;

/** out[k] = f(x[k]) for the length of x; out may be x. */
const unary =
  (kernel: KernelName): UnaryKernel =>
  (out, x) =>
    callDirect(kernel, kernel, ['out', 'x', 'length'], [out, x, x?.length ?? 0]);

export const neg = unary('neg');
export const abs = unary('abs');
export const sign = unary('sign');
export const square = unary('square');
export const reciprocal = unary('reciprocal');
export const sqrt = unary('sqrt');
export const rsqrt = unary('rsqrt');
export const floor = unary('floor');
export const ceil = unary('ceil');
export const round = unary('round');
export const trunc = unary('trunc');
export const relu = unary('relu');
export const exp = unary('exp');
export const expm1 = unary('expm1');
export const log = unary('log');
export const log1p = unary('log1p');
export const sin = unary('sin');
export const cos = unary('cos');
export const tanh = unary('tanh');
export const sigmoid = unary('sigmoid');
export const softplus = unary('softplus');
export const silu = unary('silu');
export const gelu = unary('gelu');
export const geluTanh = unary('geluTanh');
export const erf = unary('erf');

type RowKernel = (out: Float32Array, x: Float32Array, rows: number, cols: number) => void;

const rowwise =
  (kernel: KernelName): RowKernel =>
  (out, x, rows, cols) =>
    callDirect(kernel, kernel, ['out', 'x', 'rows', 'cols'], [out, x, rows, cols]);

/** Softmax of every row of x [rows, cols]; out may be x. */
export const softmax = rowwise('softmax');
/** Log-softmax of every row of x [rows, cols]; out may be x. */
export const logSoftmax = rowwise('logSoftmax');

export interface LayerNormOptions {
  /** Factor of each column (1). */
  weight?: Float32Array | null;
  /** Added to each column (0). */
  bias?: Float32Array | null;
  /** Added to the variance (1e-5). */
  eps?: number;
}

const LAYER_NORM = ['out', 'mean', 'rstd', 'x', 'weight', 'bias', 'rows', 'cols', 'eps'];
/** Where the kernel leaves what a backward pass would need. */
let moments = [new Float32Array(0), new Float32Array(0)] as const;

/**
 * (x - mean) / √(var + eps) · weight + bias for every row of x [rows, cols], with the biased variance; out lies apart.
 * @example layerNorm(out, x, rows, cols, { weight, bias })
 */
export function layerNorm(
  out: Float32Array,
  x: Float32Array,
  rows: number,
  cols: number,
  options: LayerNormOptions = {},
): void {
  checkOptions('layerNorm', options, ['weight', 'bias', 'eps']);
  const { weight = null, bias = null, eps = 1e-5 } = options;
  checkNumber('layerNorm', 'eps', eps, { min: 0 });
  // More rows than out has room for are refused before these are looked at.
  const count = Math.min(rows, out?.length ?? 0);
  if (count > moments[0].length) moments = [new Float32Array(count), new Float32Array(count)];
  const [mean, rstd] = moments;
  const used = cols === 0 && rows > 0 ? 0 : rows;
  callDirect('layerNorm', 'layerNorm', LAYER_NORM, [out, mean, rstd, x, weight, bias, used, cols, eps]);
}

/**
 * C = alpha op(A) op(B) + beta C, row-major; op transposes where transA, transB say so. op(A) is m × k, op(B) k × n.
 * lda, ldb, ldc are the distances between rows as stored. With beta 0, C is not read.
 * @example sgemm(false, false, 2, 2, 3, 1, a, 3, b, 2, 0, c, 2)
 */
export function sgemm(
  transA: boolean,
  transB: boolean,
  m: number,
  n: number,
  k: number,
  alpha: number,
  a: Float32Array,
  lda: number,
  b: Float32Array,
  ldb: number,
  beta: number,
  c: Float32Array,
  ldc: number,
): void {
  checkFlag('sgemm', 'transA', transA);
  checkFlag('sgemm', 'transB', transB);
  const [ta, tb] = [transA ? 1 : 0, transB ? 1 : 0];
  callSgemm('sgemm', SGEMM, [c, a, b, m, n, k, ta, tb, lda, ldb, ldc, alpha, beta]);
}

const SGEMM = ['c', 'a', 'b', 'm', 'n', 'k', 'transA', 'transB', 'lda', 'ldb', 'ldc', 'alpha', 'beta'];
const SGEMV = ['y', 'a', 'x', 'm', '', 'n', 'trans', '', 'lda', '', '', 'alpha', 'beta'];
const SGEMV_TRANSPOSED = SGEMV.with(3, 'n').with(5, 'm');

/** The letters of BLAS would all be true. */
function checkFlag(where: string, name: string, value: unknown): void {
  if (typeof value !== 'boolean')
    throw typeError(where, `${name} must be true or false, got ${describe(value)}`);
}

/** Row strides shorter than a row would make rows overlap. */
function callSgemm(where: string, names: readonly string[], args: DirectArgument[]): void {
  const [m, n, k, ta, tb, lda, ldb, ldc] = args.slice(3, 11) as Numbers<8>;
  const strides: [string, number, number][] = [
    ['lda', lda, ta ? m : k],
    ['ldb', ldb, tb ? k : n],
    ['ldc', ldc, n],
  ];
  for (const [name, given, least] of strides)
    if (given < least) throw rangeError(where, `${name} is ${given}, needs at least ${least}`);
  callDirect(where, 'sgemm', names, args);
}

/** y = alpha op(A) x + beta y for A stored m × n, row-major; op transposes if trans. */
export function sgemv(
  trans: boolean,
  m: number,
  n: number,
  alpha: number,
  a: Float32Array,
  lda: number,
  x: Float32Array,
  beta: number,
  y: Float32Array,
): void {
  checkFlag('sgemv', 'trans', trans);
  const [rows, inner] = trans ? [n, m] : [m, n];
  callSgemm('sgemv', trans ? SGEMV_TRANSPOSED : SGEMV, [
    y,
    a,
    x,
    rows,
    1,
    inner,
    trans ? 1 : 0,
    0,
    lda,
    1,
    1,
    alpha,
    beta,
  ]);
}

const pair = new Float32Array(2);
const cell = new Float32Array(1);

/** y += alpha x, for the length of x, which is not read where alpha is 0. */
export function saxpy(alpha: number, x: Float32Array, y: Float32Array): void {
  callDirect('saxpy', 'axpy', ['y', 'x', 'alpha', 'length'], [y, x, alpha, x?.length ?? 0]);
}

/** The total that a kernel handed back as a high and a low part; infinite where float32 cannot hold it. */
const total = (): number => (Number.isFinite(pair[0]!) ? pair[0]! + pair[1]! : pair[0]!);

/** Σ x y, summed in double. */
export function sdot(x: Float32Array, y: Float32Array): number {
  callDirect('sdot', 'dot', ['sum', 'x', 'y', 'length'], [pair, x, y, x?.length ?? 0]);
  return total();
}

/** x *= alpha. */
export function sscal(alpha: number, x: Float32Array): void {
  if (typeof alpha !== 'number') throw rangeError('sscal', `alpha must be a number, got ${describe(alpha)}`);
  cell[0] = alpha;
  callDirect('sscal', 'scale', ['x', 'alpha', 'length'], [x, cell, x?.length ?? 0]);
}

/** √Σ x², summed in double. */
export function snrm2(x: Float32Array): number {
  callDirect('snrm2', 'norm2', ['norm', 'x', 'length'], [pair, x, x?.length ?? 0]);
  return total();
}
