// Golden cases as tensors: reading the files, and calling our op for a PyTorch op name and its attributes.
import { readFileSync } from 'node:fs';
import * as t from '../../src/index.js';
import type { Tensor } from '../../src/index.js';
import { realArray, wrap } from '../../src/tensor/tensor.js';
import { sizeOf } from '../../src/tensor/shape.js';

export interface Encoded {
  shape: number[];
  data: (number | string)[];
  dtype?: 'int64' | 'bool';
}
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- PyTorch's attributes, different for every op
export type Attrs = Record<string, any>;

export function readGolden<T>(file: string): T[] {
  return JSON.parse(readFileSync(new URL(`../golden/${file}`, import.meta.url), 'utf8')) as T[];
}

export const numberOf = (v: number | string): number => (typeof v === 'number' ? v : Number(v));

/** Booleans, as a user would pass them, of tensors that stand for them. */
const masks = new WeakMap<Tensor, never>();
const flags = (v: unknown): unknown => (Array.isArray(v) ? v.map(flags) : v === 1);

/** A tensor of the width that the engine computes in; integers become Int32Arrays. */
export function decode(x: Encoded): Tensor {
  if (x.dtype === 'int64') return wrap(Int32Array.from(x.data, numberOf), x.shape);
  const values = realArray(sizeOf(x.shape));
  x.data.forEach((v, k) => (values[k] = Number(v)));
  const result = wrap(values, x.shape);
  if (x.dtype === 'bool') masks.set(result, flags(result.toArray()) as never);
  return result;
}

/** Integers as nested arrays, as a user would pass them. */
const ids = (x: Tensor): never => x.toArray() as never;

type Call = (xs: (Tensor | null)[], a: Attrs) => Tensor;
type Named = Record<string, (...args: unknown[]) => Tensor>;
const ops = t as unknown as Named;

const plain =
  (name: string): Call =>
  (xs) =>
    ops[name]!(...xs);
const reduction =
  (name: string): Call =>
  ([x], { dim, keepdim }) =>
    ops[name]!(x, dim, { keepdim });
const loss =
  (name: string): Call =>
  ([x, y], a) =>
    ops[name]!(x, y, a);
const byClass =
  (name: string): Call =>
  ([x, y, weight], a) =>
    ops[name]!(x, y!.storage.kind === 'int' ? ids(y!) : y, weight ? { ...(a as object), weight } : a);

const conv =
  (name: string): Call =>
  ([x, w, b], a) => {
    const one = (v: unknown): unknown => (Array.isArray(v) && v.length === 1 ? v[0] : v);
    return ops[name]!(x, w, b, Object.fromEntries(Object.entries(a).map(([k, v]) => [k, one(v)])));
  };

// prettier-ignore
const PLAIN = ['neg', 'abs', 'sign', 'exp', 'exp2', 'expm1', 'log', 'log1p', 'log2', 'log10', 'sqrt', 'rsqrt', 'square',
  'reciprocal', 'sin', 'cos', 'tan', 'tanh', 'sigmoid', 'logSigmoid', 'relu', 'relu6', 'silu', 'mish', 'softsign',
  'hardsigmoid', 'hardswish', 'erf', 'floor', 'ceil', 'round', 'trunc', 'add', 'sub', 'mul', 'div', 'maximum', 'minimum',
  'where', 'matmul'];

const CALLS: Record<string, Call> = {
  ...Object.fromEntries(PLAIN.map((name): [string, Call] => [name, plain(name)])),
  ...Object.fromEntries(
    ['sum', 'mean', 'max', 'min', 'prod', 'logsumexp', 'argmax', 'argmin'].map((n) => [n, reduction(n)]),
  ),
  var: ([x], { dim, ...o }) => t.variance(x!, dim, o),
  std: ([x], { dim, ...o }) => t.std(x!, dim, o),
  norm: ([x], a) => t.norm(x!, { ...(a as object), p: numberOf(a['p'] as never) }),
  pow: ([a, b], { exponent }) => t.pow(a!, b ?? exponent),
  gelu: ([x], a) => t.gelu(x!, a),
  leakyRelu: ([x], a) => t.leakyRelu(x!, a),
  elu: ([x], a) => t.elu(x!, a),
  clamp: ([x], { min, max }) => t.clamp(x!, min ?? undefined, max ?? undefined),
  softplus: ([x], a) => {
    if ((a['beta'] as number | undefined) !== undefined && a['beta'] !== 1)
      throw new Skip('softplus has no beta');
    return t.softplus(x!);
  },
  softmax: ([x], { dim }) => t.softmax(x!, dim),
  logSoftmax: ([x], { dim }) => t.logSoftmax(x!, dim),
  cumsum: ([x], { dim }) => t.cumsum(x!, dim),
  reshape: ([x], { shape }) => t.reshape(x!, shape),
  transpose: ([x], { dim0, dim1 }) => t.transpose(x!, dim0, dim1),
  permute: ([x], { dims }) => t.permute(x!, dims),
  slice: ([x], { starts, ends, steps }) => t.slice(x!, starts, ends, steps),
  pad: ([x], { padding, mode, value }) => {
    if (mode !== 'constant') throw new Skip('pad has only constant padding');
    return t.pad(x!, padding, value);
  },
  concat: (xs, { dim }) => t.concat(xs as Tensor[], dim),
  stack: (xs, { dim }) => t.stack(xs as Tensor[], dim),
  gather: ([x, i], { dim }) => t.gather(x!, dim, ids(i!)),
  indexSelect: ([x, i], { dim }) => t.indexSelect(x!, dim, ids(i!)),
  scatterAdd: ([x, i, s], { dim }) => t.scatterAdd(x!, dim, ids(i!), s!),
  embedding: ([w, i], { paddingIdx }) => {
    if (paddingIdx !== undefined && paddingIdx !== null) throw new Skip('embedding has no paddingIdx');
    return t.embedding(w!, ids(i!));
  },
  flip: ([x], { dims }) => t.flip(x!, dims),
  tril: ([x], { diagonal }) => t.tril(x!, diagonal),
  triu: ([x], { diagonal }) => t.triu(x!, diagonal),
  repeat: ([x], { repeats }) => t.repeat(x!, repeats),
  broadcastTo: ([x], { shape }) => t.broadcastTo(x!, shape),
  conv1d: conv('conv1d'),
  conv2d: conv('conv2d'),
  convTranspose1d: conv('convTranspose1d'),
  convTranspose2d: conv('convTranspose2d'),
  maxPool2d: ([x], { kernelSize, stride, padding, dilation, ceilMode }) => {
    if (ceilMode || (dilation as number[]).some((d) => d !== 1))
      throw new Skip('pooling has no ceilMode and no dilation');
    return t.maxPool2d(x!, kernelSize, { stride, padding });
  },
  avgPool2d: ([x], { kernelSize, stride, padding, ceilMode, countIncludePad }) => {
    if (ceilMode) throw new Skip('pooling has no ceilMode');
    return t.avgPool2d(x!, kernelSize, { stride, padding, countIncludePad: countIncludePad ?? true });
  },
  adaptiveAvgPool2d: ([x], { outputSize }) => t.adaptiveAvgPool2d(x!, outputSize),
  batchNorm: ([x, weight, bias, runningMean, runningVar], a) =>
    t.batchNorm(x!, { ...(a as object), weight, bias, runningMean, runningVar } as never),
  layerNorm: ([x, weight, bias], { normalizedShape, eps }) =>
    t.layerNorm(x!, normalizedShape, { weight, bias, eps } as never),
  scaledDotProductAttention: ([q, k, v, mask], a) =>
    t.scaledDotProductAttention(q!, k!, v!, { ...a, ...(mask ? { attnMask: masks.get(mask) ?? mask } : {}) }),
  rmsNorm: ([x, weight], { normalizedShape, eps }) =>
    t.rmsNorm(x!, normalizedShape, { weight, eps } as never),
  groupNorm: ([x, weight, bias], { numGroups, eps }) =>
    t.groupNorm(x!, numGroups, { weight, bias, eps } as never),
  instanceNorm: ([x, weight, bias], { eps }) => t.instanceNorm(x!, { weight, bias, eps } as never),
  crossEntropy: byClass('crossEntropy'),
  nll: byClass('nllLoss'),
  mse: loss('mseLoss'),
  l1: loss('l1Loss'),
  smoothL1: loss('smoothL1Loss'),
  huber: loss('huberLoss'),
  bce: loss('bceLoss'),
  klDiv: loss('klDiv'),
  bceWithLogits: ([x, y, weight, posWeight], a) =>
    t.bceWithLogits(x!, y!, {
      ...(a as object),
      ...(weight ? { weight } : {}),
      ...(posWeight ? { posWeight } : {}),
    }),
};

/** Thrown for a case that asks for what the op does not have (yet); the message says what. */
export class Skip extends Error {}

/** Golden ops that have no op here yet; each belongs to a later part of the public list. */
// prettier-ignore
export const LATER = ['asin', 'acos', 'atan', 'sinh', 'cosh', 'selu', 'celu', 'hardtanh', 'erfc', 'einsum', 'interpolate',
  'roiAlign', 'nms'];

/** Calls our op for a golden op's name. @throws Skip */
export function callGolden(op: string, xs: (Tensor | null)[], attrs: Attrs): Tensor {
  const call = CALLS[op];
  if (!call)
    throw LATER.includes(op) ? new Skip(`${op} is not there yet`) : new Error(`no call for golden op ${op}`);
  return call(xs, attrs);
}

/** Largest |got - want| / max(1, |want|); NaN and infinities must agree exactly. */
export function distance(got: ArrayLike<number>, want: ArrayLike<number | string>): number {
  if (got.length !== want.length) return Infinity;
  let worst = 0;
  for (let k = 0; k < got.length; k++) {
    const [a, b] = [got[k]!, numberOf(want[k]!)];
    if (a === b || (a !== a && b !== b)) continue;
    const error = Math.abs(a - b) / Math.max(1, Math.abs(b));
    worst = Math.max(worst, Number.isFinite(error) ? error : Infinity);
  }
  return worst;
}
