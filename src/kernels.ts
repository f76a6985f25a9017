// `thalweg/kernels`: the kernels as synchronous functions on plain Float32Arrays, outputs first. Lengths, types and
// overlaps are checked before any memory is touched; an output may be the input itself only where that is said.
import { callDirect, type DirectArgument } from './kernels/direct.js';
import type { Numbers } from './kernels/row.js';
import type { KernelName } from './kernels/table.js';

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
    callDirect(kernel, kernel, ['out', 'x'], [out, x, x?.length ?? 0]);

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
    callDirect(kernel, kernel, ['out', 'x'], [out, x, rows, cols]);

/** Softmax of every row of x [rows, cols]; out may be x. */
export const softmax = rowwise('softmax');
/** Log-softmax of every row of x [rows, cols]; out may be x. */
export const logSoftmax = rowwise('logSoftmax');

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
  callSgemm(
    'sgemm',
    ['c', 'a', 'b'],
    [c, a, b, m, n, k, transA ? 1 : 0, transB ? 1 : 0, lda, ldb, ldc, alpha, beta],
  );
}

/** Row strides shorter than a row would make rows overlap. */
function callSgemm(where: string, names: string[], args: DirectArgument[]): void {
  const [m, n, k, ta, tb, lda, ldb, ldc] = args.slice(3, 11) as Numbers<8>;
  const strides: [string, number, number][] = [
    ['lda', lda, ta ? m : k],
    ['ldb', ldb, tb ? k : n],
    ['ldc', ldc, n],
  ];
  for (const [name, given, least] of strides)
    if (!(given >= least)) throw new RangeError(`${where}: ${name} is ${given}, needs at least ${least}`);
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
  const [rows, inner] = trans ? [n, m] : [m, n];
  callSgemm('sgemv', ['y', 'a', 'x'], [y, a, x, rows, 1, inner, trans ? 1 : 0, 0, lda, 1, 1, alpha, beta]);
}

const pair = new Float32Array(2);
const cell = new Float32Array(1);

/** y += alpha x, for the length of x, which is not read where alpha is 0. */
export function saxpy(alpha: number, x: Float32Array, y: Float32Array): void {
  callDirect('saxpy', 'axpy', ['y', 'x'], [y, x, alpha, x?.length ?? 0]);
}

/** The total that a kernel handed back as a high and a low part; infinite where float32 cannot hold it. */
const total = (): number => (Number.isFinite(pair[0]!) ? pair[0]! + pair[1]! : pair[0]!);

/** Σ x y, summed in double. */
export function sdot(x: Float32Array, y: Float32Array): number {
  callDirect('sdot', 'dot', ['sum', 'x', 'y'], [pair, x, y, x?.length ?? 0]);
  return total();
}

/** x *= alpha. */
export function sscal(alpha: number, x: Float32Array): void {
  cell[0] = alpha;
  callDirect('sscal', 'scale', ['x', 'alpha'], [x, cell, x?.length ?? 0]);
}

/** √Σ x², summed in double. */
export function snrm2(x: Float32Array): number {
  callDirect('snrm2', 'norm2', ['norm', 'x'], [pair, x, x?.length ?? 0]);
  return total();
}
