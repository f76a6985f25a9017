// Scaled dot-product attention. Its kernels keep one number a query instead of the score matrix.
import { launch } from '../kernels/launch.js';
import type { Numbers } from '../kernels/row.js';
import { Storage } from '../memory/storage.js';
import { checkNumber, checkOptions, shapeError, showShape } from '../tensor/errors.js';
import { apply, define, isRecording, type Op, type OpRow } from '../tensor/op.js';
import { broadcastShapes, sameShape, sizeOf, type Shape } from '../tensor/shape.js';
import { asTensor, blank, Tensor, type Nested, type TensorLike } from '../tensor/tensor.js';
import { triu } from './join.js';
import { matmul } from './matmul.js';
import { broadcastTo, reshape, transpose } from './move.js';
import { add, mul, sub, where } from './pointwise.js';
import { dropout } from './random.js';
import { softmax, sum } from './reduce.js';
import { ones } from './create.js';

type Flags = boolean | readonly Flags[];

export interface AttentionOptions {
  /** Added to the scores; or booleans, true where a query attends to a key. Broadcasts to [..., queries, keys]. */
  attnMask?: TensorLike | Flags | null;
  /** Keep query i from keys after i. */
  isCausal?: boolean;
  /** Factor of the scores; 1/√d by default. */
  scale?: number;
  /** Probability with which a weight is dropped. */
  dropoutP?: number;
}

interface Attrs {
  scale: number;
  causal: boolean;
  /** Elements from one mask to the next: 0 when all share one. */
  maskStride: number;
  lse?: Storage;
}

/** Sizes of q [n, queries, d], k [n, keys, d], v [n, keys, dv], as the kernels take them. */
const numbers = (q: Shape, v: Shape, a: Attrs): Numbers<8> => [
  q[0]!,
  q[1]!,
  v[1]!,
  q[2]!,
  v[2]!,
  a.scale,
  a.causal ? 1 : 0,
  a.maskStride,
];

/** Scores with what may not be seen at -Infinity. */
function scoresOf(
  q: Tensor,
  k: Tensor,
  mask: Tensor | undefined,
  { scale, causal }: Pick<Attrs, 'scale' | 'causal'>,
): Tensor {
  let scores = mul(matmul(q, transpose(k)), scale);
  if (mask) scores = add(scores, mask);
  if (!causal) return scores;
  const [queries, keys] = [q.shape.at(-2)!, k.shape.at(-2)!];
  return where(triu(ones([queries, keys]), 1), -Infinity, scores);
}

const row: OpRow<Attrs> = {
  name: 'attention',
  shape: ([q, , v]) => [q![0]!, q![1]!, v![2]!],
  forward: (y, [q, k, v, mask], a) => {
    a.lse = Storage.inScope(q!.shape[0]! * q!.shape[1]!);
    launch(
      'attention',
      y.storage.address(),
      a.lse.address(),
      q!.storage.address(),
      k!.storage.address(),
      v!.storage.address(),
      mask ? mask.storage.address() : 0,
      ...numbers(q!.shape, v!.shape, a),
    );
    return [a.lse];
  },
  // p = softmax(s q kᵀ + m): dv = pᵀ g, r = p (g vᵀ - Σ p g vᵀ), dq = s r k, dk = s rᵀ q. The mask is a constant here.
  vjp: (g, _y, [q, k, v, mask], a) => {
    const p = softmax(scoresOf(q!, k!, mask, a));
    const gp = matmul(g, transpose(v!));
    const r = mul(mul(p, sub(gp, sum(mul(gp, p), -1, { keepdim: true }))), a.scale);
    return [() => matmul(r, k!), () => matmul(transpose(r), q!), () => matmul(transpose(p), g), null];
  },
  vjpFused: (g, y, [q, k, v, mask], a) => {
    const [gq, gk, gv] = [blank(q!.shape), blank(k!.shape), blank(v!.shape)];
    launch(
      'attentionGrad',
      gq.storage.address(),
      gk.storage.address(),
      gv.storage.address(),
      g.storage.address(),
      q!.storage.address(),
      k!.storage.address(),
      v!.storage.address(),
      y.storage.address(),
      a.lse!.address(),
      mask ? mask.storage.address() : 0,
      ...numbers(q!.shape, v!.shape, a),
    );
    return [gq, gk, gv, null];
  },
};

const allFlags = (v: unknown): boolean => (Array.isArray(v) ? v.every(allFlags) : typeof v === 'boolean');
const toScores = (v: Flags): Nested => (Array.isArray(v) ? v.map(toScores) : v ? 0 : -Infinity);

function maskOf(mask: AttentionOptions['attnMask']): Tensor | undefined {
  if (mask === null || mask === undefined) return undefined;
  if (!(mask instanceof Tensor) && allFlags(mask))
    return asTensor('attnMask', toScores(mask as Flags) as TensorLike);
  return asTensor('attnMask', mask as TensorLike);
}

/**
 * softmax(scale q kᵀ + mask) v for q [..., queries, d], k [..., keys, d], v [..., keys, dv]; leading dimensions broadcast
 * (Vaswani et al., 2017, section 3.2.1).
 */
export const scaledDotProductAttention: Op<
  (q: TensorLike, k: TensorLike, v: TensorLike, options?: AttentionOptions) => Tensor
> = define(
  (query: TensorLike, key: TensorLike, value: TensorLike, options: AttentionOptions = {}): Tensor => {
    const where = 'scaledDotProductAttention';
    checkOptions(where, options, ['attnMask', 'isCausal', 'scale', 'dropoutP']);
    const [q, k, v] = [asTensor(where, query), asTensor(where, key), asTensor(where, value)];
    const [d, keys] = [q.shape.at(-1), k.shape.at(-2)];
    if (q.ndim < 2 || k.ndim < 2 || v.ndim < 2 || d !== k.shape.at(-1) || keys !== v.shape.at(-2))
      throw shapeError(
        where,
        `needs q [..., queries, d], k [..., keys, d] and v [..., keys, dv], got ${showShape(q.shape)}, ${showShape(k.shape)} and ${showShape(v.shape)}`,
      );
    const dropoutP = checkNumber(where, 'dropoutP', options.dropoutP ?? 0, { min: 0, max: 1 });
    const attrs = { scale: options.scale ?? 1 / Math.sqrt(d!), causal: options.isCausal ?? false };
    const mask = maskOf(options.attnMask);
    // Dropped weights and trained masks need the weights themselves.
    if (dropoutP > 0 || (mask?.requiresGrad && isRecording()))
      return matmul(dropout(softmax(scoresOf(q, k, mask, attrs)), { p: dropoutP }), v);
    return fused(where, q, k, v, mask, attrs);
  },
  {
    // prettier-ignore
    samples: () => [
      { shapes: [[2, 3, 4], [2, 5, 4], [2, 5, 2]] },
      { shapes: [[2, 2, 4, 3], [2, 1, 4, 3], [2, 1, 4, 3]], call: (q, k, v) => scaledDotProductAttention(q!, k!, v!, { isCausal: true }) },
      { shapes: [[3, 2], [2, 2], [2, 2]], call: (q, k, v) => scaledDotProductAttention(q!, k!, v!, { scale: 0.3, attnMask: [[true, true], [true, false], [false, true]] }) },
      { shapes: [[2, 3, 2], [2, 2, 2], [2, 2, 2]], call: (q, k, v) => scaledDotProductAttention(q!, k!, v!, { attnMask: [[[0, 1], [0.5, 0], [-1, 1]], [[0, -Infinity], [1, 2], [0, 0]]] }) },
    ],
    // prettier-ignore
    errors: () => [
      [() => scaledDotProductAttention([[1, 2]], [[1]], [[1]]), /scaledDotProductAttention: needs q .*got \[1, 2\], \[1, 1\] and \[1, 1\]/],
      [() => scaledDotProductAttention([[1]], [[1]], [[1]], { causal: true } as never), /unknown option "causal"; did you mean "isCausal"/],
    ],
  },
  row,
);

/** Brings everything to [n, length, width] and runs the kernel. */
function fused(
  where: string,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  mask: Tensor | undefined,
  attrs: Omit<Attrs, 'maskStride'>,
): Tensor {
  const lead = (t: Tensor): Shape => t.shape.slice(0, -2);
  let batch = broadcastShapes(where, broadcastShapes(where, lead(q), lead(k)), lead(v));
  if (mask && mask.ndim > 2) batch = broadcastShapes(where, batch, lead(mask));
  const n = sizeOf(batch);
  const flat = (t: Tensor): Tensor =>
    reshape(broadcastTo(t, [...batch, ...t.shape.slice(-2)]), [n, ...t.shape.slice(-2)]);
  const xs = [flat(q), flat(k), flat(v)];
  let maskStride = 0;
  if (mask) {
    const plane = [q.shape.at(-2)!, k.shape.at(-2)!];
    const shared = sizeOf(lead(mask)) === 1;
    const whole = broadcastTo(
      mask,
      shared ? (sameShape(lead(mask), []) ? plane : [...lead(mask), ...plane]) : [...batch, ...plane],
    );
    maskStride = shared ? 0 : sizeOf(plane);
    xs.push(reshape(whole, [shared ? 1 : n, ...plane]).detach());
  }
  return reshape(apply(row, xs, { ...attrs, maskStride }), [...batch, q.shape.at(-2)!, v.shape.at(-1)!]);
}
