// Pooling of NCHW images.
import { launch } from '../kernels/launch.js';
import { windows } from '../kernels/table/conv.js';
import { Storage } from '../memory/storage.js';
import { checkOptions, rangeError, shapeError, showShape } from '../tensor/errors.js';
import { apply, define, type Op, type OpRow } from '../tensor/op.js';
import { sizeOf, type Shape } from '../tensor/shape.js';
import { asTensor, type Tensor, type TensorLike } from '../tensor/tensor.js';
import { pairOf, type Pair, type Quad } from './conv.js';
import { planeGather } from './gather.js';
import { matmul } from './matmul.js';
import { reshape, transpose } from './move.js';

export interface PoolOptions {
  /** As wide as the window by default. */
  stride?: Pair;
  padding?: Pair;
  /** avgPool2d: whether padding counts in the mean (default true). */
  countIncludePad?: boolean;
}

interface PoolAttrs {
  x: Shape;
  kernel: readonly [number, number];
  stride: readonly [number, number];
  padding: readonly [number, number];
  countPad: boolean;
}

function poolAttrs(where: string, t: Tensor, kernel: Pair, options: PoolOptions, known: string[]): PoolAttrs {
  checkOptions(where, options, known);
  if (t.ndim !== 4) throw shapeError(where, `needs an NCHW input, got shape ${showShape(t.shape)}`);
  const size = pairOf(where, 'kernelSize', kernel, 1);
  const a: PoolAttrs = {
    x: t.shape,
    kernel: size,
    stride: pairOf(where, 'stride', options.stride ?? size, 1),
    padding: pairOf(where, 'padding', options.padding ?? 0, 0),
    countPad: options.countIncludePad ?? true,
  };
  if (a.padding.some((p, k) => p > size[k]! / 2))
    throw rangeError(
      where,
      `padding ${showShape(a.padding)} is more than half of the window ${showShape(size)}`,
    );
  if (pooled(a).some((d, k) => k > 1 && d <= 0))
    throw shapeError(
      where,
      `the window ${showShape(size)} is larger than the padded image, input ${showShape(t.shape)}`,
    );
  return a;
}

const pooled = ({ x, kernel, stride, padding }: PoolAttrs): Quad => [
  x[0]!,
  x[1]!,
  windows(x[2]!, kernel[0], stride[0], padding[0], 1),
  windows(x[3]!, kernel[1], stride[1], padding[1], 1),
];

const poolNumbers = ({ x, kernel, stride, padding }: PoolAttrs): number[] => [
  x[0]! * x[1]!,
  x[2]!,
  x[3]!,
  ...kernel,
  ...stride,
  ...padding,
];

const maxRow: OpRow<PoolAttrs & { index?: Storage }> = {
  name: 'maxPool2d',
  shape: (_xs, a) => pooled(a),
  forward: (y, [x], a) => {
    a.index = Storage.inScope(y.size, 'int');
    launch('maxPool2d', y.storage.address(), a.index.address(), x!.storage.address(), ...poolNumbers(a));
    return [a.index];
  },
  // Each window's gradient goes to the place its maximum came from.
  vjp: (g, _y, _xs, a) => [apply(maxGradRow, [g], a)],
};

const maxGradRow: OpRow<PoolAttrs & { index?: Storage }> = {
  name: 'maxPool2dGrad',
  shape: (_xs, a) => a.x,
  forward: (y, [g], a) =>
    launch('maxPool2dGrad', y.storage.address(), g!.storage.address(), a.index!.address(), ...poolNumbers(a)),
  vjp: (h, g, _xs, { index }) => {
    const planes = h.shape[0]! * h.shape[1]!;
    const places = { storage: index!, shape: [planes, index!.length / planes] };
    const flat = apply(planeGather, [reshape(h, [planes, h.size / planes])], {
      index: places,
      dim: 1,
      n: h.size / planes,
    });
    return [reshape(flat, g.shape)];
  },
};

/** Largest value under each window of x [n, c, h, w]. */
export const maxPool2d: Op<(x: TensorLike, kernelSize: Pair, options?: PoolOptions) => Tensor> = define(
  (x: TensorLike, kernelSize: Pair, options: PoolOptions = {}): Tensor => {
    const t = asTensor('maxPool2d', x);
    return apply(maxRow, [t], poolAttrs('maxPool2d', t, kernelSize, options, ['stride', 'padding']));
  },
  {
    samples: () => [
      { shapes: [[2, 2, 4, 4]], call: (x) => maxPool2d(x, 2) },
      { shapes: [[1, 2, 5, 4]], call: (x) => maxPool2d(x, 3, { stride: 2, padding: 1 }) },
    ],
    errors: () => [
      [() => maxPool2d([1], 2), /maxPool2d: needs an NCHW input, got shape \[1\]/],
      [() => maxPool2d([[[[1]]]], 2), /maxPool2d: the window \[2, 2\] is larger/],
      [() => maxPool2d([[[[1]]]], 1, { padding: 1 }), /maxPool2d: padding \[1, 1\] is more than half/],
    ],
    order: [1, 'piecewise linear: its second derivative is 0'],
  },
  maxRow,
);

const avgRow: OpRow<PoolAttrs> = {
  name: 'avgPool2d',
  shape: (_xs, a) => pooled(a),
  forward: (y, [x], a) =>
    launch('avgPool2d', y.storage.address(), x!.storage.address(), ...poolNumbers(a), a.countPad ? 1 : 0),
  vjp: (g, _y, _xs, a) => [apply(avgGradRow, [g], a)],
};

const avgGradRow: OpRow<PoolAttrs> = {
  name: 'avgPool2dGrad',
  shape: (_xs, a) => a.x,
  forward: (y, [g], a) =>
    launch('avgPool2dGrad', y.storage.address(), g!.storage.address(), ...poolNumbers(a), a.countPad ? 1 : 0),
  vjp: (h, _y, _xs, a) => [apply(avgRow, [h], a)],
};

/** Mean under each window of x [n, c, h, w]. */
export const avgPool2d: Op<(x: TensorLike, kernelSize: Pair, options?: PoolOptions) => Tensor> = define(
  (x: TensorLike, kernelSize: Pair, options: PoolOptions = {}): Tensor => {
    const t = asTensor('avgPool2d', x);
    return apply(
      avgRow,
      [t],
      poolAttrs('avgPool2d', t, kernelSize, options, ['stride', 'padding', 'countIncludePad']),
    );
  },
  {
    samples: () => [
      { shapes: [[1, 2, 4, 4]], call: (x) => avgPool2d(x, 2) },
      {
        shapes: [[1, 1, 5, 4]],
        call: (x) => avgPool2d(x, 3, { stride: 2, padding: 1, countIncludePad: false }),
      },
    ],
  },
  avgRow,
);

/** Mean under `size` windows that cover x [n, c, h, w] evenly; window k of n spans ⌊k d/n⌋ … ⌈(k+1) d/n⌉. */
export const adaptiveAvgPool2d: Op<(x: TensorLike, size: Pair) => Tensor> = define(
  (x: TensorLike, size: Pair): Tensor => {
    const t = asTensor('adaptiveAvgPool2d', x);
    const out = pairOf('adaptiveAvgPool2d', 'size', size, 1);
    if (t.ndim !== 4)
      throw shapeError('adaptiveAvgPool2d', `needs an NCHW input, got shape ${showShape(t.shape)}`);
    // The mean is separable: one product with a matrix of window weights for each side.
    const h = asTensor('adaptiveAvgPool2d', windowMatrix(t.shape[2]!, out[0]));
    const w = transpose(windowMatrix(t.shape[3]!, out[1]));
    const rows = matmul(reshape(t, [sizeOf(t.shape, 0, 2), t.shape[2]!, t.shape[3]!]), w);
    return reshape(matmul(h, rows), [t.shape[0]!, t.shape[1]!, ...out]);
  },
  {
    samples: () => [{ shapes: [[1, 2, 5, 4]], call: (x) => adaptiveAvgPool2d(x, [3, 2]) }],
    errors: () => [[() => adaptiveAvgPool2d([1], 1), /adaptiveAvgPool2d: needs an NCHW input/]],
  },
);

/** [out, size] with 1/width inside window k. */
function windowMatrix(size: number, out: number): number[][] {
  return Array.from({ length: out }, (_, k) => {
    const [a, b] = [Math.floor((k * size) / out), Math.ceil(((k + 1) * size) / out)];
    return Array.from({ length: size }, (_, i) => (i >= a && i < b ? 1 / (b - a) : 0));
  });
}
