// Normalisation of each sample over groups of channels.
import { launch } from '../kernels/launch.js';
import { Storage } from '../memory/storage.js';
import { checkOptions, shapeError, showShape } from '../tensor/errors.js';
import { apply, define, type InputGrad, type Op, type OpRow } from '../tensor/op.js';
import { planesOf } from '../tensor/shape.js';
import { asTensor, blank, type TensorLike, type Tensor } from '../tensor/tensor.js';
import type { NormOptions } from './layernorm.js';
import { reshape } from './move.js';
import { add, mul, rsqrt, square, sub } from './pointwise.js';
import { mean, sum } from './reduce.js';

interface GroupAttrs {
  groups: number;
  eps: number;
  /** Places of weight and bias among the inputs; 0 for none. */
  weight: number;
  bias: number;
  mean?: Storage;
  rstd?: Storage;
}

/** Normalises groups of channels; inputs x, then weight and bias where there are any. */
const groupRow: OpRow<GroupAttrs> = {
  name: 'groupNorm',
  shape: ([x]) => x!,
  forward: (y, xs, a) => {
    const [n, c, l] = planesOf(y.shape);
    a.mean = Storage.inScope(n * a.groups);
    a.rstd = Storage.inScope(n * a.groups);
    launch(
      'groupNorm',
      y.storage.address(),
      a.mean.address(),
      a.rstd.address(),
      xs[0]!.storage.address(),
      a.weight ? xs[a.weight]!.storage.address() : 0,
      a.bias ? xs[a.bias]!.storage.address() : 0,
      n,
      c,
      l,
      a.groups,
      a.eps,
    );
    return [a.mean, a.rstd];
  },
  // h = (x - μ) / √(σ² + eps), e = g w: db = Σ g, dw = Σ g h, dx = (e - mean e - h mean(e h)) / √(σ² + eps)
  vjp: (g, _y, xs, a) => {
    const [n, c, l] = planesOf(g.shape);
    const [channels, flat] = [
      [n, c, l],
      [n, a.groups, (c / a.groups) * l],
    ];
    const keep = { keepdim: true };
    const [x, grad] = [reshape(xs[0]!, flat), reshape(g, channels)];
    const centred = sub(x, mean(x, 2, keep));
    const inverse = rsqrt(add(mean(square(centred), 2, keep), a.eps));
    const h = mul(centred, inverse);
    const e = reshape(a.weight ? mul(grad, reshape(xs[a.weight]!, [c, 1])) : grad, flat);
    const inner = sub(sub(e, mean(e, 2, keep)), mul(h, mean(mul(e, h), 2, keep)));
    const grads: InputGrad[] = [reshape(mul(inverse, inner), g.shape)];
    if (a.weight) grads[a.weight] = () => sum(mul(grad, reshape(h, channels)), [0, 2]);
    if (a.bias) grads[a.bias] = () => sum(grad, [0, 2]);
    return grads;
  },
  vjpFused: (g, y, xs, a) => {
    if (g.size === 0) return groupRow.vjp(g, y, xs, a);
    const [n, c, l] = planesOf(g.shape);
    const affine = a.weight > 0 || a.bias > 0;
    const [gx, gw, gb] = [blank(g.shape), affine ? blank([c]) : null, affine ? blank([c]) : null];
    launch(
      'groupNormGrad',
      gx.storage.address(),
      gw ? gw.storage.address() : 0,
      gb ? gb.storage.address() : 0,
      g.storage.address(),
      xs[0]!.storage.address(),
      a.mean!.address(),
      a.rstd!.address(),
      a.weight ? xs[a.weight]!.storage.address() : 0,
      n,
      c,
      l,
      a.groups,
    );
    const grads: InputGrad[] = [gx];
    if (a.weight) grads[a.weight] = gw;
    if (a.bias) grads[a.bias] = gb;
    return grads;
  },
};

/** Normalisation of each sample over groups of channels and all positions (Wu and He, 2018). */
export const groupNorm: Op<(x: TensorLike, groups: number, options?: NormOptions) => Tensor> = define(
  (x: TensorLike, groups: number, options: NormOptions = {}): Tensor => {
    checkOptions('groupNorm', options, ['weight', 'bias', 'eps']);
    const t = asTensor('groupNorm', x);
    if (t.ndim < 2 || !(Number.isInteger(groups) && groups > 0) || t.shape[1]! % groups !== 0)
      throw shapeError(
        'groupNorm',
        `${groups} groups do not divide the channels of shape ${showShape(t.shape)}`,
      );
    const xs = [t];
    const place = (name: string, value: TensorLike | null | undefined): number => {
      if (value === null || value === undefined) return 0;
      const v = asTensor('groupNorm', value);
      if (v.ndim !== 1 || v.size !== t.shape[1])
        throw shapeError('groupNorm', `${name} ${showShape(v.shape)} does not fit ${t.shape[1]} channels`);
      return xs.push(v) - 1;
    };
    const [weight, bias] = [place('weight', options.weight), place('bias', options.bias)];
    return apply(groupRow, xs, { groups, eps: options.eps ?? 1e-5, weight, bias });
  },
  {
    // prettier-ignore
    samples: () => [
      { shapes: [[2, 4, 3], [4], [4]], call: (x, w, b) => groupNorm(x!, 2, { weight: w!, bias: b! }) },
      { shapes: [[3, 4], [4]], call: (x, b) => groupNorm(x!, 2, { bias: b!, eps: 0.1 }) },
      { shapes: [[2, 2, 3, 2]], call: (x) => groupNorm(x, 1) },
    ],
    // prettier-ignore
    errors: () => [
      [() => groupNorm([[1, 2, 3]], 2), /groupNorm: 2 groups do not divide the channels of shape \[1, 3\]/],
      [() => groupNorm([[1, 2]], 2, { weight: [1] }), /groupNorm: weight \[1\] does not fit 2 channels/],
    ],
  },
  groupRow,
);

/** {@link groupNorm} with a group a channel. */
export const instanceNorm: Op<(x: TensorLike, options?: NormOptions) => Tensor> = define(
  (x: TensorLike, options: NormOptions = {}): Tensor => {
    const t = asTensor('instanceNorm', x);
    return groupNorm(t, t.shape[1] ?? 0, options);
  },
  { samples: () => [{ shapes: [[2, 2, 4]] }] },
);
