// Losses. Each returns a scalar by default; `reduction` 'sum' or 'none' as in torch.
import {
  checkChoice,
  checkNumber,
  checkOptions,
  describe,
  shapeError,
  showShape,
  typeError,
} from '../tensor/errors.js';
import { define, type Op } from '../tensor/op.js';
import { sameShape } from '../tensor/shape.js';
import { asTensor, realArray, Tensor, wrap, type TensorLike } from '../tensor/tensor.js';
import { asIndices, gather, type IndexLike } from './gather.js';
import { permute, reshape } from './move.js';
import { abs, add, clamp, div, exp, log, lt, mul, neg, softplus, square, sub, where } from './pointwise.js';
import { logSoftmax, mean, sum } from './reduce.js';

export interface LossOptions {
  reduction?: 'mean' | 'sum' | 'none';
}
const REDUCTIONS = ['mean', 'sum', 'none'] as const;

function reduceLoss(name: string, loss: Tensor, { reduction = 'mean' }: LossOptions): Tensor {
  const how = checkChoice(name, 'reduction', reduction, REDUCTIONS);
  return how === 'none' ? loss : how === 'sum' ? sum(loss) : mean(loss);
}

type PairLoss<O extends LossOptions = LossOptions> = Op<
  (input: TensorLike, target: TensorLike, options?: O) => Tensor
>;

/** A loss that compares two tensors of one shape, element by element. */
function pairLoss<O extends LossOptions = LossOptions>(
  name: string,
  known: readonly string[],
  formula: (x: Tensor, y: Tensor, options: O) => Tensor,
  domain?: readonly [number, number],
): PairLoss<O> {
  const op = (input: TensorLike, target: TensorLike, options = {} as O): Tensor => {
    checkOptions(name, options, ['reduction', ...known]);
    const [x, y] = [asTensor(name, input), asTensor(name, target)];
    if (!sameShape(x.shape, y.shape))
      throw shapeError(name, `shapes differ, input ${showShape(x.shape)}, target ${showShape(y.shape)}`);
    return reduceLoss(name, formula(x, y, options), options);
  };
  return define(op, {
    samples: () => [
      {
        shapes: [
          [2, 3],
          [2, 3],
        ],
        ...(domain ? { domain } : {}),
      },
      {
        shapes: [[4], [4]],
        ...(domain ? { domain } : {}),
        call: (x, y) => op(x!, y!, { reduction: 'sum' } as O),
      },
    ],
    errors: () => [
      [() => op([1, 2], [1]), new RegExp(`${name}: shapes differ, input \\[2\\], target \\[1\\]`)],
      [
        () => op([1], [1], { reduction: 'avg' } as never),
        new RegExp(`${name}: reduction must be one of "mean", "sum", "none"`),
      ],
    ],
  });
}

/** (x - y)². */
export const mseLoss = pairLoss('mseLoss', [], (x, y) => square(sub(x, y)));
/** |x - y|. */
export const l1Loss = pairLoss('l1Loss', [], (x, y) => abs(sub(x, y)));

/** d²/(2 beta) where d = |x - y| < beta, else d - beta/2. */
export const smoothL1Loss = pairLoss<LossOptions & { beta?: number }>(
  'smoothL1Loss',
  ['beta'],
  (x, y, { beta = 1 }) => {
    const d = abs(sub(x, y));
    if (checkNumber('smoothL1Loss', 'beta', beta, { min: 0 }) === 0) return d;
    return where(lt(d, beta), mul(square(d), 0.5 / beta), sub(d, beta / 2));
  },
);

/** d²/2 where d = |x - y| < delta, else delta (d - delta/2). */
export const huberLoss = pairLoss<LossOptions & { delta?: number }>(
  'huberLoss',
  ['delta'],
  (x, y, { delta = 1 }) => {
    checkNumber('huberLoss', 'delta', delta, { above: 0 });
    const d = abs(sub(x, y));
    return where(lt(d, delta), mul(square(d), 0.5), mul(sub(d, delta / 2), delta));
  },
);

/** -(y ln x + (1 - y) ln(1 - x)) for probabilities x; logarithms are held above -100, as in torch. */
export const bceLoss = pairLoss<LossOptions & { weight?: TensorLike }>(
  'bceLoss',
  ['weight'],
  (x, y, { weight }) => {
    const held = (p: Tensor): Tensor => clamp(log(p), -100);
    const loss = neg(add(mul(y, held(x)), mul(sub(1, y), held(sub(1, x)))));
    return weight === undefined ? loss : mul(loss, weight);
  },
  [0.1, 0.9],
);

/** {@link bceLoss} of sigmoid(x), without overflow: softplus(x) - x y; with posWeight p: (1 - y) x + (1 + (p - 1) y) softplus(-x). */
export const bceWithLogits = pairLoss<LossOptions & { weight?: TensorLike; posWeight?: TensorLike }>(
  'bceWithLogits',
  ['weight', 'posWeight'],
  (x, y, { weight, posWeight }) => {
    const loss =
      posWeight === undefined
        ? sub(softplus(x), mul(x, y))
        : add(mul(sub(1, y), x), mul(add(mul(y, sub(posWeight, 1)), 1), softplus(neg(x))));
    return weight === undefined ? loss : mul(loss, weight);
  },
);

export interface KlDivOptions {
  reduction?: 'mean' | 'sum' | 'none' | 'batchmean';
  logTarget?: boolean;
}

/** y (ln y - x) for log-probabilities x; 0 where y is 0. 'batchmean' divides the sum by the first size. */
export const klDiv: Op<(input: TensorLike, target: TensorLike, options?: KlDivOptions) => Tensor> = define(
  (input: TensorLike, target: TensorLike, options: KlDivOptions = {}): Tensor => {
    checkOptions('klDiv', options, ['reduction', 'logTarget']);
    const [x, y] = [asTensor('klDiv', input), asTensor('klDiv', target)];
    if (!sameShape(x.shape, y.shape))
      throw shapeError('klDiv', `shapes differ, input ${showShape(x.shape)}, target ${showShape(y.shape)}`);
    const safe = where(y, y, 1);
    const loss = options.logTarget ? mul(exp(y), sub(y, x)) : sub(mul(y, log(safe)), mul(y, x));
    if (options.reduction === 'batchmean') return div(sum(loss), x.shape[0] ?? 1);
    return reduceLoss('klDiv', loss, options as LossOptions);
  },
  {
    samples: () => [
      {
        shapes: [
          [2, 3],
          [2, 3],
        ],
        domain: [0.2, 0.8],
      },
    ],
    errors: () => [[() => klDiv([1], [1, 2]), /klDiv: shapes differ/]],
  },
);

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
  const flat: number[] | Int32Array =
    target instanceof Int32Array ? target : ((target as number[]).flat(Infinity) as number[]);
  if (flat.length !== rows)
    throw shapeError(name, `${flat.length} targets for ${rows} rows of ${classes} classes`);
  const counts = ignore === undefined || !flat.includes(ignore) ? null : realArray(rows);
  const values = counts ? flat.map((v) => (v === ignore ? 0 : v)) : flat;
  if (counts) flat.forEach((v, k) => (counts[k] = v === ignore ? 0 : 1));
  const { storage } = asIndices(name, 'target', values as IndexLike, classes);
  return { index: new Tensor(storage, [rows, 1]), counts: counts ? wrap(counts, [rows]) : null };
}

type ClassLoss<O> = Op<(input: TensorLike, target: IndexLike, options?: O) => Tensor>;

/** -x[target] for log-probabilities x [n, classes, …] and class numbers [n, …]; the mean divides by the weights' sum. */
export const nllLoss: ClassLoss<ClassOptions> = define(
  (input: TensorLike, target: IndexLike, options: ClassOptions = {}): Tensor => {
    checkOptions('nllLoss', options, ['reduction', 'weight', 'ignoreIndex']);
    const { flat, targets } = byClass('nllLoss', asTensor('nllLoss', input));
    return pickTargets('nllLoss', flat, targets, target, options);
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

function pickTargets(
  name: string,
  flat: Tensor,
  shape: number[],
  target: IndexLike,
  options: ClassOptions,
): Tensor {
  const [rows, classes] = flat.shape as [number, number];
  const how = checkChoice(name, 'reduction', options.reduction ?? 'mean', REDUCTIONS);
  const { index, counts } = classTargets(name, target, classes, rows, options.ignoreIndex);
  const picked = neg(reshape(gather(flat, 1, index), [rows]));
  let weight = counts;
  if (options.weight !== undefined) {
    const each = reshape(gather(asTensor(name, options.weight).expand([rows, classes]), 1, index), [rows]);
    weight = counts ? mul(each, counts) : each;
  }
  const loss = weight ? mul(picked, weight) : picked;
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
    const logs = logSoftmax(flat);
    if (target instanceof Tensor && target.storage.kind === 'real' && sameShape(target.shape, t.shape))
      return withProbabilities(logs, byClass(name, target).flat, targets, smoothing, options);
    const hard = pickTargets(name, logs, targets, target, options);
    if (smoothing === 0) return hard;
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
