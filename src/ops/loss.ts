// Losses against class numbers: negative log-likelihood and cross-entropy.
import { launch } from '../kernels/launch.js';
import type { RealArray } from '../memory/heap.js';
import { Storage } from '../memory/storage.js';
import { checkChoice, checkNumber, checkOptions, describe, shapeError, typeError } from '../tensor/errors.js';
import { apply, define, type Op, type OpRow } from '../tensor/op.js';
import { sameShape } from '../tensor/shape.js';
import { asTensor, blank, realArray, Tensor, type Nested, type TensorLike } from '../tensor/tensor.js';
import { asIndices, gather, planeScatter, type IndexLike, type Indices } from './gather.js';
import { reduceLoss, REDUCTIONS, type LossOptions } from './pairloss.js';
import { permute, reshape } from './move.js';
import { add, div, mul, neg, sub } from './pointwise.js';
import { logSoftmax, mean, softmax, sum } from './reduce.js';

export interface ClassOptions extends LossOptions {
  /** One weight a class. */
  weight?: TensorLike;
  /** Targets with this value count for nothing. */
  ignoreIndex?: number;
}

/** [rows, classes] of [n, classes, …], and the shape of the targets. */
function byClass(name: string, t: Tensor): { flat: Tensor; targets: number[] } {
  if (t.ndim === 0) throw shapeError(name, 'needs [n, classes, …], got a scalar');
  if (t.ndim === 1) return { flat: reshape(t, [1, t.size]), targets: [] };
  const [n, c, ...rest] = t.shape as [number, number, ...number[]];
  const last = rest.length === 0 ? t : permute(t, [0, ...rest.map((_, k) => k + 2), 1]);
  return { flat: reshape(last, [t.size / Math.max(c, 1), c]), targets: [n, ...rest] };
}

/** Class numbers ready for gather: ignored ones replaced by 0, and 1 or 0 for "counts". */
function classTargets(
  name: string,
  target: IndexLike,
  classes: number,
  rows: number,
  ignore: number | undefined,
): { index: IndexLike; counts: Tensor | null } {
  if (target instanceof Tensor) return { index: reshape(target, [rows, 1]), counts: null };
  if (!(target instanceof Int32Array) && !Array.isArray(target))
    throw typeError(
      name,
      `targets must be an Int32Array, an array of integers or a Tensor, got ${describe(target)}`,
    );
  const given = target instanceof Int32Array ? target.length : (target as number[]).flat(Infinity).length;
  if (given !== rows) throw shapeError(name, `${given} targets for ${rows} rows of ${classes} classes`);
  const masked = (values: Int32Array): Int32Array =>
    ignore === undefined ? values : values.map((v) => (v === ignore ? 0 : v));
  const { storage } = asIndices(name, 'target', target, classes, masked);
  return {
    index: new Tensor(storage, [rows, 1]),
    counts: ignore === undefined ? null : countsOf(target, ignore),
  };
}

/** 0 for targets that count for nothing, 1 for all others. */
function countsOf(target: Int32Array | readonly Nested[], ignore: number): Tensor {
  const make = (from: typeof target): RealArray => {
    const flat = from instanceof Int32Array ? from : (from as number[]).flat(Infinity);
    const counts = realArray(flat.length);
    flat.forEach((v, k) => (counts[k] = v === ignore ? 0 : 1));
    return counts;
  };
  const counts = make(target);
  return new Tensor(Storage.of(counts, { from: target, make }), [counts.length]);
}

type ClassLoss<O> = Op<(input: TensorLike, target: IndexLike, options?: O) => Tensor>;

/** -x[target] for log-probabilities x [n, classes, …] and class numbers [n, …]; the mean divides by the weights' sum. */
export const nllLoss: ClassLoss<ClassOptions> = define(
  (input: TensorLike, target: IndexLike, options: ClassOptions = {}): Tensor => {
    checkOptions('nllLoss', options, ['reduction', 'weight', 'ignoreIndex']);
    const { flat, targets } = byClass('nllLoss', asTensor('nllLoss', input));
    return reduceRows('nllLoss', ofLogs, flat, targets, target, options);
  },
  {
    samples: () => [
      { shapes: [[2, 3]], call: (x) => nllLoss(x, [2, 0]) },
      {
        shapes: [[2, 3, 2]],
        call: (x) =>
          nllLoss(
            x,
            [
              [2, 0],
              [1, 1],
            ],
            { weight: [1, 2, 3] },
          ),
      },
    ],
    errors: () => [
      [() => nllLoss([[1, 2]], [2]), /nllLoss: target 2 at position 0 is not a whole number in \[0, 2\)/],
      [() => nllLoss([[1, 2]], 'a' as never), /nllLoss: targets must be an Int32Array.*got "a"/],
      [() => nllLoss([[1, 2]], [0, 1]), /nllLoss: 2 targets for 1 rows of 2 classes/],
    ],
  },
);

/** A loss for each row of a matrix, from class numbers [rows, 1]. */
type RowLoss = (name: string, flat: Tensor, index: IndexLike) => Tensor;

const ofLogs: RowLoss = (_name, flat, index) => neg(reshape(gather(flat, 1, index), [flat.shape[0]!]));

interface CrossAttrs {
  /** Class numbers, [rows, 1]. */
  target: Indices;
  /** Each row's largest logit, then the logarithms of the rows' sums. */
  stats?: Storage;
}

/** Cross-entropy of softmax(x), row by row. A target that is no class (only the kernel sees a tensor's) gives NaN. */
const crossRow: OpRow<CrossAttrs> = {
  name: 'crossEntropy',
  shape: ([x]) => [x![0]!],
  forward: (y, [x], a) => {
    a.stats = Storage.inScope(2 * y.size);
    launch(
      'crossEntropy',
      y.storage.address(),
      a.stats.address(),
      x!.storage.address(),
      a.target.storage.address(),
      y.size,
      x!.shape[1]!,
    );
    return [a.stats];
  },
  // With e = g at the target: dx = softmax(x) Σ e - e. A row whose target is no class has no e.
  vjp: (g, _y, [x], { target }) => {
    const column = reshape(g, target.shape);
    const e = apply(planeScatter, [column], { index: target, dim: 1, n: x!.shape[1]! });
    return [sub(mul(softmax(x!), sum(e, 1, { keepdim: true })), e)];
  },
  vjpFused: (g, y, xs, a) => {
    if (g.size === 0) return crossRow.vjp(g, y, xs, a);
    const gx = blank(xs[0]!.shape);
    launch(
      'crossEntropyGrad',
      gx.storage.address(),
      g.storage.address(),
      xs[0]!.storage.address(),
      a.stats!.address(),
      a.target.storage.address(),
      g.size,
      xs[0]!.shape[1]!,
    );
    return [gx];
  },
};

const ofLogits: RowLoss = (name, flat, index) => {
  const { storage } = asIndices(name, 'target', index, flat.shape[1]!);
  return apply(crossRow, [flat], { target: { storage, shape: [flat.shape[0]!, 1] } });
};

function reduceRows(
  name: string,
  rowLoss: RowLoss,
  flat: Tensor,
  shape: number[],
  target: IndexLike,
  options: ClassOptions,
): Tensor {
  const [rows, classes] = flat.shape as [number, number];
  const how = checkChoice(name, 'reduction', options.reduction ?? 'mean', REDUCTIONS);
  const { index, counts } = classTargets(name, target, classes, rows, options.ignoreIndex);
  const each = rowLoss(name, flat, index);
  let weight = counts;
  if (options.weight !== undefined) {
    const own = reshape(gather(asTensor(name, options.weight).expand([rows, classes]), 1, index), [rows]);
    weight = counts ? mul(own, counts) : own;
  }
  const loss = weight ? mul(each, weight) : each;
  if (how === 'none') return reshape(loss, shape);
  if (how === 'sum') return sum(loss);
  return weight ? div(sum(loss), sum(weight)) : mean(loss);
}

export interface CrossEntropyOptions extends ClassOptions {
  /** Share of the target that is spread evenly over all classes. */
  labelSmoothing?: number;
}

/**
 * Cross-entropy of softmax(x), x [n, classes, …] logits. Targets are class numbers [n, …], or a tensor of
 * probabilities of x's shape.
 */
export const crossEntropy: Op<
  (input: TensorLike, target: IndexLike, options?: CrossEntropyOptions) => Tensor
> = define(
  (input: TensorLike, target: IndexLike, options: CrossEntropyOptions = {}): Tensor => {
    const name = 'crossEntropy';
    checkOptions(name, options, ['reduction', 'weight', 'ignoreIndex', 'labelSmoothing']);
    const smoothing = checkNumber(name, 'labelSmoothing', options.labelSmoothing ?? 0, { min: 0, max: 1 });
    const t = asTensor(name, input);
    const { flat, targets } = byClass(name, t);
    if (target instanceof Tensor && target.storage.kind === 'real' && sameShape(target.shape, t.shape))
      return withProbabilities(logSoftmax(flat), byClass(name, target).flat, targets, smoothing, options);
    if (smoothing === 0) return reduceRows(name, ofLogits, flat, targets, target, options);
    const logs = logSoftmax(flat);
    const hard = reduceRows(name, ofLogs, logs, targets, target, options);
    // The even share: -Σ_c w_c log p_c / classes, over the same rows and with the same divisor.
    const spread = smoothRows(logs, targets, target, options);
    return add(mul(hard, 1 - smoothing), mul(spread, smoothing));
  },
  {
    samples: () => [
      { shapes: [[3, 4]], call: (x) => crossEntropy(x, [3, 0, 1]) },
      {
        shapes: [[2, 3, 2]],
        call: (x) =>
          crossEntropy(
            x,
            [
              [0, 2],
              [1, 1],
            ],
            { reduction: 'sum' },
          ),
      },
      {
        shapes: [[3, 4]],
        call: (x) => crossEntropy(x, [3, 0, 1], { labelSmoothing: 0.1, weight: [1, 2, 0.5, 1] }),
      },
      { shapes: [[3, 4]], call: (x) => crossEntropy(x, new Int32Array([3, -100, 1]), { ignoreIndex: -100 }) },
      {
        shapes: [
          [2, 3],
          [2, 3],
        ],
        call: (x, y) => crossEntropy(x!, y!),
      },
    ],
    errors: () => [
      [
        () => crossEntropy([[1, 2]], [5]),
        /crossEntropy: target 5 at position 0 is not a whole number in \[0, 2\)/,
      ],
      [
        () => crossEntropy([[1, 2]], [0], { labelSmoothing: 2 }),
        /crossEntropy: labelSmoothing must be a finite number >= 0 and <= 1, got 2/,
      ],
    ],
  },
  crossRow,
);

function withProbabilities(
  logs: Tensor,
  target: Tensor,
  shape: number[],
  smoothing: number,
  options: CrossEntropyOptions,
): Tensor {
  const classes = logs.shape[1]!;
  const soft = smoothing > 0 ? add(mul(target, 1 - smoothing), smoothing / classes) : target;
  const weighted = options.weight === undefined ? logs : mul(logs, options.weight);
  const rows = neg(sum(mul(weighted, soft), 1));
  return options.reduction === 'none' ? reshape(rows, shape) : reduceLoss('crossEntropy', rows, options);
}

/** The label-smoothing part: each row's weighted mean of -log p, reduced as the hard part is. */
function smoothRows(logs: Tensor, shape: number[], target: IndexLike, options: CrossEntropyOptions): Tensor {
  const [rows, classes] = logs.shape as [number, number];
  const { index, counts } = classTargets('crossEntropy', target, classes, rows, options.ignoreIndex);
  const weighted = options.weight === undefined ? logs : mul(logs, options.weight);
  const each = mul(sum(weighted, 1), -1 / classes);
  const loss = counts ? mul(each, counts) : each;
  if (options.reduction === 'none') return reshape(loss, shape);
  if (options.reduction === 'sum') return sum(loss);
  if (options.weight === undefined) return counts ? div(sum(loss), sum(counts)) : mean(loss);
  const picked = reshape(gather(asTensor('crossEntropy', options.weight).expand([rows, classes]), 1, index), [
    rows,
  ]);
  return div(sum(loss), sum(counts ? mul(picked, counts) : picked));
}
