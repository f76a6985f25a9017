// Losses that compare tensors element by element. Each returns a scalar by default; `reduction` 'sum' or 'none' as in torch.
import { checkChoice, checkNumber, checkOptions, shapeError, showShape } from '../tensor/errors.js';
import { define, type Op } from '../tensor/op.js';
import { sameShape } from '../tensor/shape.js';
import { asTensor, type Tensor, type TensorLike } from '../tensor/tensor.js';
import { abs, add, clamp, div, exp, log, lt, mul, neg, softplus, square, sub, where } from './pointwise.js';
import { mean, sum } from './reduce.js';

export interface LossOptions {
  reduction?: 'mean' | 'sum' | 'none';
}
export const REDUCTIONS = ['mean', 'sum', 'none'] as const;

export function reduceLoss(name: string, loss: Tensor, { reduction = 'mean' }: LossOptions): Tensor {
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
