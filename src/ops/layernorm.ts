// Normalisation over the last dimensions.
import { launch } from '../kernels/launch.js';
import { Storage } from '../memory/storage.js';
import { checkOptions, shapeError, showShape } from '../tensor/errors.js';
import { apply, define, type InputGrad, type Op, type OpRow } from '../tensor/op.js';
import { sameShape, sizeOf, type Shape } from '../tensor/shape.js';
import { asTensor, blank, type Tensor, type TensorLike } from '../tensor/tensor.js';
import { reshape } from './move.js';
import { add, mul, rsqrt, square, sub } from './pointwise.js';
import { mean, sum } from './reduce.js';

export interface NormOptions {
  weight?: TensorLike | null;
  bias?: TensorLike | null;
  eps?: number;
}

const lastDims = (where: string, t: Tensor, shape: Shape): number[] => {
  const lead = t.ndim - shape.length;
  if (lead < 0 || shape.some((d, k) => d !== t.shape[lead + k]))
    throw shapeError(where, `the last dimensions of ${showShape(t.shape)} are not ${showShape(shape)}`);
  return shape.map((_, k) => lead + k);
};

interface LayerAttrs {
  /** Elements that are normalised together. */
  cols: number;
  eps: number;
  /** Places of weight and bias among the inputs; 0 for none. */
  weight: number;
  bias: number;
  mean?: Storage;
  rstd?: Storage;
}

/** Normalises rows of `cols` elements; inputs x, then weight and bias where there are any. */
const layerRow: OpRow<LayerAttrs> = {
  name: 'layerNorm',
  shape: ([x]) => x!,
  forward: (y, xs, a) => {
    const rows = y.size / a.cols;
    a.mean = Storage.inScope(rows);
    a.rstd = Storage.inScope(rows);
    launch(
      'layerNorm',
      y.storage.address(),
      a.mean.address(),
      a.rstd.address(),
      xs[0]!.storage.address(),
      a.weight ? xs[a.weight]!.storage.address() : 0,
      a.bias ? xs[a.bias]!.storage.address() : 0,
      rows,
      a.cols,
      a.eps,
    );
    return [a.mean, a.rstd];
  },
  // h = (x - μ) / √(σ² + eps), e = g w: db = Σ g, dw = Σ g h, dx = (e - mean e - h mean(e h)) / √(σ² + eps)
  vjp: (g, _y, xs, a) => {
    const flat = [xs[0]!.size / a.cols, a.cols];
    const [x, grad] = [reshape(xs[0]!, flat), reshape(g, flat)];
    const keep = { keepdim: true };
    const centred = sub(x, mean(x, 1, keep));
    const inverse = rsqrt(add(mean(square(centred), 1, keep), a.eps));
    const h = mul(centred, inverse);
    const e = a.weight ? mul(grad, reshape(xs[a.weight]!, [a.cols])) : grad;
    const inner = sub(sub(e, mean(e, 1, keep)), mul(h, mean(mul(e, h), 1, keep)));
    const grads: InputGrad[] = [reshape(mul(inverse, inner), g.shape)];
    if (a.weight) grads[a.weight] = () => reshape(sum(mul(grad, h), 0), xs[a.weight]!.shape);
    if (a.bias) grads[a.bias] = () => reshape(sum(grad, 0), xs[a.bias]!.shape);
    return grads;
  },
  vjpFused: (g, _y, xs, a) => {
    const affine = a.weight || a.bias ? xs[a.weight || a.bias]!.shape : null;
    const [gx, gw, gb] = [blank(g.shape), affine ? blank(affine) : null, affine ? blank(affine) : null];
    launch(
      'layerNormGrad',
      gx.storage.address(),
      gw ? gw.storage.address() : 0,
      gb ? gb.storage.address() : 0,
      g.storage.address(),
      xs[0]!.storage.address(),
      a.mean!.address(),
      a.rstd!.address(),
      a.weight ? xs[a.weight]!.storage.address() : 0,
      g.size / a.cols,
      a.cols,
    );
    const grads: InputGrad[] = [gx];
    if (a.weight) grads[a.weight] = gw;
    if (a.bias) grads[a.bias] = gb;
    return grads;
  },
};

/** Layer normalisation over the last dimensions, which `shape` names (Ba et al., 2016). */
export const layerNorm: Op<(x: TensorLike, shape: Shape, options?: NormOptions) => Tensor> = define(
  (x: TensorLike, shape: Shape, options: NormOptions = {}): Tensor => {
    checkOptions('layerNorm', options, ['weight', 'bias', 'eps']);
    const t = asTensor('layerNorm', x);
    lastDims('layerNorm', t, shape);
    const xs = [t];
    const place = (name: string, value: TensorLike | null | undefined): number => {
      if (value === null || value === undefined) return 0;
      const v = asTensor('layerNorm', value);
      if (!sameShape(v.shape, shape))
        throw shapeError(
          'layerNorm',
          `${name} ${showShape(v.shape)} does not fit the normalised shape ${showShape(shape)}`,
        );
      return xs.push(v) - 1;
    };
    const [weight, bias] = [place('weight', options.weight), place('bias', options.bias)];
    return apply(layerRow, xs, { cols: sizeOf(shape), eps: options.eps ?? 1e-5, weight, bias });
  },
  {
    // prettier-ignore
    samples: () => [
      { shapes: [[2, 4], [4], [4]], call: (x, w, b) => layerNorm(x!, [4], { weight: w!, bias: b! }) },
      { shapes: [[3, 2, 4]], call: (x) => layerNorm(x, [2, 4], { eps: 0.1 }) },
      { shapes: [[3, 5], [5]], call: (x, b) => layerNorm(x!, [5], { bias: b! }) },
    ],
    // prettier-ignore
    errors: () => [
      [() => layerNorm([[1, 2]], [3]), /layerNorm: the last dimensions of \[1, 2\] are not \[3\]/],
      [() => layerNorm([[1, 2]], [2], { weight: [1] }), /layerNorm: weight \[1\] does not fit the normalised shape \[2\]/],
    ],
  },
  layerRow,
);

/** x / √(mean x² + eps) · weight over the last dimensions (Zhang and Sennrich, 2019). */
export const rmsNorm: Op<(x: TensorLike, shape: Shape, options?: Omit<NormOptions, 'bias'>) => Tensor> =
  define(
    (x: TensorLike, shape: Shape, options: Omit<NormOptions, 'bias'> = {}): Tensor => {
      checkOptions('rmsNorm', options, ['weight', 'eps']);
      const t = asTensor('rmsNorm', x);
      const power = mean(square(t), lastDims('rmsNorm', t, shape), { keepdim: true });
      const y = mul(t, rsqrt(add(power, options.eps ?? 2 ** -23)));
      return options.weight === null || options.weight === undefined ? y : mul(y, options.weight);
    },
    { samples: () => [{ shapes: [[2, 4], [4]], call: (x, w) => rmsNorm(x!, [4], { weight: w! }) }] },
  );
