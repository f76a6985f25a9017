// Batch normalisation.
import { launch } from '../kernels/launch.js';
import { Storage } from '../memory/storage.js';
import { checkOptions, shapeError, showShape } from '../tensor/errors.js';
import { apply, define, sideEffect, type Op, type OpRow } from '../tensor/op.js';
import { planesOf } from '../tensor/shape.js';
import { asTensor, blank, inSomeScope, type Tensor, type TensorLike } from '../tensor/tensor.js';
import { reshape } from './move.js';
import { add, mul, rsqrt, square, sub } from './pointwise.js';
import { mean, sum } from './reduce.js';

interface BatchAttrs {
  eps: number;
  mean?: Storage;
  variance?: Storage;
}

/** Normalises over batch and positions with the batch's own statistics; inputs x, weight, bias. */
const batchRow: OpRow<BatchAttrs> = {
  name: 'batchNorm',
  shape: ([x]) => x!,
  reads: 'inputs',
  cheap: true,
  forward: (y, [x, w, b], a) => {
    const [n, c, l] = planesOf(x!.shape);
    a.mean ??= Storage.inScope(c);
    a.variance ??= Storage.inScope(c);
    launch(
      'batchNorm',
      y.storage.address(),
      a.mean.address(),
      a.variance.address(),
      x!.storage.address(),
      w!.storage.address(),
      b!.storage.address(),
      n,
      c,
      l,
      a.eps,
    );
    return [a.mean, a.variance];
  },
  // h = (x - μ) / √(σ² + eps): db = Σ g, dw = Σ g h, dx = w/√(σ² + eps) (g - mean g - h mean(g h))
  vjp: (g, _y, [x, w], { eps }) => {
    const shape = planesOf(x!.shape);
    const [flat, grad] = [reshape(x!, shape), reshape(g, shape)];
    const over = { dims: [0, 2], keep: { keepdim: true } };
    const centred = sub(flat, mean(flat, over.dims, over.keep));
    const inverse = rsqrt(add(mean(square(centred), over.dims, over.keep), eps));
    const h = mul(centred, inverse);
    const scale = mul(reshape(w!, [1, shape[1], 1]), inverse);
    const rest = sub(
      sub(grad, mean(grad, over.dims, over.keep)),
      mul(h, mean(mul(grad, h), over.dims, over.keep)),
    );
    return [reshape(mul(scale, rest), x!.shape), sum(mul(grad, h), over.dims), sum(grad, over.dims)];
  },
  vjpFused: (g, _y, [x, w], a) => {
    const [n, c, l] = planesOf(x!.shape);
    const [gx, gw, gb] = [blank(x!.shape), blank([c]), blank([c])];
    launch(
      'batchNormGrad',
      gx.storage.address(),
      gw.storage.address(),
      gb.storage.address(),
      g.storage.address(),
      x!.storage.address(),
      a.mean!.address(),
      a.variance!.address(),
      w!.storage.address(),
      n,
      c,
      l,
      a.eps,
    );
    return [gx, gw, gb];
  },
};

export interface BatchNormOptions {
  /** Statistics that evaluation uses and training updates, [c] each. */
  runningMean?: Tensor | null;
  runningVar?: Tensor | null;
  weight?: TensorLike | null;
  bias?: TensorLike | null;
  /** Use the batch's statistics, and move the running ones towards them. */
  training?: boolean;
  /** Share of the new statistics in the running ones. */
  momentum?: number;
  eps?: number;
}

const perChannel = (
  where: string,
  value: TensorLike | null | undefined,
  otherwise: number,
  c: number,
): Tensor => {
  const t = asTensor(where, value ?? Array<number>(c).fill(otherwise));
  if (t.ndim !== 1 || t.size !== c)
    throw shapeError(where, `expected ${c} channels, got shape ${showShape(t.shape)}`);
  return t;
};

/** Batch normalisation of x [n, c, …] (Ioffe and Szegedy, 2015): (x - mean) / √(var + eps) · weight + bias by channel. */
export const batchNorm: Op<(x: TensorLike, options?: BatchNormOptions) => Tensor> = define(
  (x: TensorLike, options: BatchNormOptions = {}): Tensor => {
    checkOptions('batchNorm', options, [
      'runningMean',
      'runningVar',
      'weight',
      'bias',
      'training',
      'momentum',
      'eps',
    ]);
    const { runningMean, runningVar, training = false, momentum = 0.1, eps = 1e-5 } = options;
    const t = asTensor('batchNorm', x);
    if (t.ndim < 2) throw shapeError('batchNorm', `needs [n, c, …], got shape ${showShape(t.shape)}`);
    const [n, c, l] = planesOf(t.shape);
    const weight = perChannel('batchNorm', options.weight, 1, c);
    const bias = perChannel('batchNorm', options.bias, 0, c);
    if (!training) {
      if (!runningMean || !runningVar)
        throw shapeError(
          'batchNorm',
          'evaluation needs runningMean and runningVar',
          'or pass training: true',
        );
      return affine(
        t,
        perChannel('batchNorm', runningMean, 0, c),
        perChannel('batchNorm', runningVar, 1, c),
        weight,
        bias,
        eps,
      );
    }
    if (n * l <= 1)
      throw shapeError(
        'batchNorm',
        `training needs more than one value per channel, got shape ${showShape(t.shape)}`,
      );
    const attrs: BatchAttrs = { eps };
    const y = apply(batchRow, [t, weight, bias], attrs);
    if (runningMean) sideEffect(() => follow(runningMean, attrs.mean!, momentum, 1));
    if (runningVar) sideEffect(() => follow(runningVar, attrs.variance!, momentum, (n * l) / (n * l - 1)));
    return y;
  },
  {
    samples: () => [
      {
        shapes: [[4, 3], [3], [3]],
        call: (x, w, b) => batchNorm(x!, { weight: w!, bias: b!, training: true }),
      },
      {
        shapes: [[2, 2, 3, 2], [2], [2]],
        call: (x, w, b) => batchNorm(x!, { weight: w!, bias: b!, training: true, eps: 0.1 }),
      },
    ],
    errors: () => [
      [
        () => batchNorm([[1, 2]], { training: true }),
        /batchNorm: training needs more than one value per channel/,
      ],
      [() => batchNorm([[1, 2]]), /batchNorm: evaluation needs runningMean and runningVar/],
      [
        () => batchNorm([[1, 2]], { weight: [1, 2, 3], training: true }),
        /batchNorm: expected 2 channels, got shape \[3\]/,
      ],
    ],
  },
  batchRow,
);

/** (x - mean) / √(var + eps) · w + b as one scale and one shift a channel. */
function affine(x: Tensor, mu: Tensor, variance: Tensor, w: Tensor, b: Tensor, eps: number): Tensor {
  const scale = mul(w, rsqrt(add(variance, eps)));
  const shift = sub(b, mul(mu, scale));
  const column = [mu.size, ...x.shape.slice(2).map(() => 1)];
  return add(mul(x, reshape(scale, column)), reshape(shift, column));
}

/** running += momentum (scale · batch - running), in place. */
function follow(running: Tensor, batch: Storage, momentum: number, scale: number): void {
  inSomeScope(
    () => {
      if (running.storage.offset < 0) running.storage.settle();
      launch('blend', running.storage.address(), batch.address(), momentum, scale, running.size);
      running.storage.touch();
    },
    () => [],
  );
}
