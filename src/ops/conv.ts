// Convolution and pooling of NCHW images. The three convolution rows are each other's gradients.
import { launch } from '../kernels/launch.js';
import { windows } from '../kernels/table/conv.js';
import { Storage } from '../memory/storage.js';
import { checkNumber, checkOptions, describe, rangeError, shapeError, showShape } from '../tensor/errors.js';
import { apply, define, type InputGrad, type Op, type OpRow } from '../tensor/op.js';
import { sizeOf, type Shape } from '../tensor/shape.js';
import { asTensor, Tensor, type TensorLike } from '../tensor/tensor.js';
import { planeScatter } from './gather.js';
import { matmul } from './matmul.js';
import { reshape, squeeze, transpose, unsqueeze } from './move.js';
import { add } from './pointwise.js';
import { sum } from './reduce.js';

export type Pair = number | readonly [number, number];

export interface ConvOptions {
  stride?: Pair;
  padding?: Pair;
  dilation?: Pair;
  groups?: number;
}

interface ConvAttrs {
  stride: readonly [number, number];
  padding: readonly [number, number];
  dilation: readonly [number, number];
  groups: number;
  /** Shapes of the image and the weight, which the gradients need to know. */
  x: Shape;
  w: Shape;
}

type Quad = [number, number, number, number];

function pairOf(where: string, name: string, value: Pair, min: number): readonly [number, number] {
  const pair = typeof value === 'number' ? ([value, value] as const) : value;
  if (!Array.isArray(pair) || pair.length !== 2 || !pair.every((v) => Number.isInteger(v) && v >= min))
    throw rangeError(
      where,
      `${name} must be a whole number >= ${min} or a pair of them, got ${describe(value)}`,
    );
  return pair as readonly [number, number];
}

const numbers = ({ x, w, stride, padding, dilation, groups }: ConvAttrs): number[] => [
  ...x,
  w[0]!,
  w[2]!,
  w[3]!,
  ...stride,
  ...padding,
  ...dilation,
  groups,
];

const outShape = ({ x, w, stride, padding, dilation }: ConvAttrs): Quad => [
  x[0]!,
  w[0]!,
  windows(x[2]!, w[2]!, stride[0], padding[0], dilation[0]),
  windows(x[3]!, w[3]!, stride[1], padding[1], dilation[1]),
];

const forwardRow: OpRow<ConvAttrs> = {
  name: 'conv2d',
  shape: (_xs, a) => outShape(a),
  forward: (y, [x, w, bias], a) =>
    launch(
      'conv2d',
      y.storage.address(),
      x!.storage.address(),
      w!.storage.address(),
      bias ? bias.storage.address() : 0,
      ...numbers(a),
    ),
  vjp: (g, _y, [x, w], a): InputGrad[] => [
    () => apply(inputRow, [g, w!], a),
    () => apply(weightRow, [x!, g], a),
    () => sum(g, [0, 2, 3]),
  ],
};

/** The gradient by the image, from (g, w). */
const inputRow: OpRow<ConvAttrs> = {
  name: 'conv2dGradInput',
  shape: (_xs, a) => a.x,
  forward: (y, [g, w], a) =>
    launch('conv2dGradInput', y.storage.address(), g!.storage.address(), w!.storage.address(), ...numbers(a)),
  vjp: (h, _y, [g, w], a): InputGrad[] => [
    () => apply(forwardRow, [h, w!], a),
    () => apply(weightRow, [h, g!], a),
  ],
};

/** The gradient by the weight, from (x, g). */
const weightRow: OpRow<ConvAttrs> = {
  name: 'conv2dGradWeight',
  shape: (_xs, a) => a.w,
  forward: (y, [x, g], a) =>
    launch(
      'conv2dGradWeight',
      y.storage.address(),
      x!.storage.address(),
      g!.storage.address(),
      ...numbers(a),
    ),
  vjp: (h, _y, [x, g], a): InputGrad[] => [
    () => apply(inputRow, [g!, h], a),
    () => apply(forwardRow, [x!, h], a),
  ],
};

function attributes(
  where: string,
  options: ConvOptions,
  extra: readonly string[] = [],
): Omit<ConvAttrs, 'x' | 'w'> {
  checkOptions(where, options, ['stride', 'padding', 'dilation', 'groups', ...extra]);
  return {
    stride: pairOf(where, 'stride', options.stride ?? 1, 1),
    padding: pairOf(where, 'padding', options.padding ?? 0, 0),
    dilation: pairOf(where, 'dilation', options.dilation ?? 1, 1),
    groups: checkNumber(where, 'groups', options.groups ?? 1, { min: 1, integer: true }),
  };
}

function checkConv(x: Tensor, w: Tensor, bias: Tensor | null, a: ConvAttrs): void {
  const shapes = `input ${showShape(x.shape)}, weight ${showShape(w.shape)}`;
  if (x.ndim !== 4 || w.ndim !== 4)
    throw shapeError('conv2d', `needs an NCHW input and a [out, in/groups, height, width] weight, ${shapes}`);
  if (x.shape[1] !== w.shape[1]! * a.groups || w.shape[0]! % a.groups !== 0)
    throw shapeError('conv2d', `channels do not fit with ${a.groups} group(s), ${shapes}`);
  if (bias && (bias.ndim !== 1 || bias.size !== w.shape[0]))
    throw shapeError(
      'conv2d',
      `bias ${showShape(bias.shape)} does not fit, ${shapes}`,
      `it needs shape [${w.shape[0]}]`,
    );
  if (outShape(a).some((d, k) => k > 1 && d <= 0))
    throw shapeError(
      'conv2d',
      `the window is larger than the padded image, ${shapes}, padding ${showShape(a.padding)}`,
    );
}

type Conv = Op<
  (x: TensorLike, weight: TensorLike, bias?: TensorLike | null, options?: ConvOptions) => Tensor
>;

/** Cross-correlation of x [n, c, h, w] with weight [k, c/groups, r, s], plus bias [k]. */
export const conv2d: Conv = define(
  (x: TensorLike, weight: TensorLike, bias: TensorLike | null = null, options: ConvOptions = {}): Tensor => {
    const [t, w] = [asTensor('conv2d', x), asTensor('conv2d', weight)];
    const b = bias === null ? null : asTensor('conv2d', bias);
    const attrs = { ...attributes('conv2d', options), x: t.shape, w: w.shape };
    checkConv(t, w, b, attrs);
    return apply(forwardRow, b ? [t, w, b] : [t, w], attrs);
  },
  {
    samples: () => [
      { shapes: [[2, 2, 4, 5], [3, 2, 3, 3], [3]], call: (x, w, b) => conv2d(x!, w!, b, { padding: 1 }) },
      {
        shapes: [
          [1, 2, 5, 5],
          [2, 1, 3, 2],
        ],
        call: (x, w) => conv2d(x!, w!, null, { stride: [2, 1], groups: 2 }),
      },
      {
        shapes: [
          [1, 1, 6, 6],
          [2, 1, 2, 2],
        ],
        call: (x, w) => conv2d(x!, w!, null, { dilation: 2, stride: 2 }),
      },
    ],
    errors: () => [
      [() => conv2d([1], [[[[1]]]]), /conv2d: needs an NCHW input.*input \[1\], weight \[1, 1, 1, 1\]/],
      [() => conv2d([[[[1]]]], [[[[1, 1]]]]), /conv2d: the window is larger than the padded image/],
      [
        () => conv2d([[[[1]]]], [[[[1]]]], null, { strides: 2 } as never),
        /unknown option "strides"; did you mean "stride"/,
      ],
      [() => conv2d([[[[1]]]], [[[[1]]]], null, { stride: 0 }), /conv2d: stride must be a whole number >= 1/],
      [() => conv2d([[[[1]]]], [[[[1]], [[1]]]]), /conv2d: channels do not fit with 1 group/],
      [() => conv2d([[[[1]]]], [[[[1]]]], [1, 2]), /conv2d: bias \[2\] does not fit.*it needs shape \[1\]/],
    ],
  },
  forwardRow,
);

const single = (v: Pair | undefined): number | undefined =>
  typeof v === 'number' || v === undefined ? v : v[1];

/** Cross-correlation of x [n, c, l] with weight [k, c/groups, s], plus bias [k]. */
export const conv1d: Conv = define(
  (x: TensorLike, weight: TensorLike, bias: TensorLike | null = null, options: ConvOptions = {}): Tensor => {
    const [t, w] = [asTensor('conv1d', x), asTensor('conv1d', weight)];
    if (t.ndim !== 3 || w.ndim !== 3)
      throw shapeError(
        'conv1d',
        `needs an [n, c, l] input and a [k, c/groups, s] weight, input ${showShape(t.shape)}, weight ${showShape(w.shape)}`,
      );
    const { stride, padding, dilation, groups } = options;
    checkOptions('conv1d', options, ['stride', 'padding', 'dilation', 'groups']);
    const y = conv2d(unsqueeze(t, 2), unsqueeze(w, 2), bias, {
      stride: [1, single(stride) ?? 1],
      padding: [0, single(padding) ?? 0],
      dilation: [1, single(dilation) ?? 1],
      groups: groups ?? 1,
    });
    return squeeze(y, 2);
  },
  {
    samples: () => [
      {
        shapes: [[2, 2, 6], [3, 2, 3], [3]],
        call: (x, w, b) => conv1d(x!, w!, b, { padding: 1, stride: 2 }),
      },
    ],
    errors: () => [[() => conv1d([1], [1]), /conv1d: needs an \[n, c, l\] input/]],
  },
);

export interface ConvTransposeOptions extends ConvOptions {
  outputPadding?: Pair;
}

/** The transpose of {@link conv2d}: x [n, c, h, w], weight [c, k/groups, r, s], bias [k]. */
export const convTranspose2d: Op<
  (x: TensorLike, weight: TensorLike, bias?: TensorLike | null, options?: ConvTransposeOptions) => Tensor
> = define(
  (
    x: TensorLike,
    weight: TensorLike,
    bias: TensorLike | null = null,
    options: ConvTransposeOptions = {},
  ): Tensor => {
    const where = 'convTranspose2d';
    const [t, w] = [asTensor(where, x), asTensor(where, weight)];
    const a = attributes(where, options, ['outputPadding']);
    const extra = pairOf(where, 'outputPadding', options.outputPadding ?? 0, 0);
    if (t.ndim !== 4 || w.ndim !== 4 || t.shape[1] !== w.shape[0] || t.shape[1]! % a.groups !== 0)
      throw shapeError(
        where,
        `needs an NCHW input and a [in, out/groups, height, width] weight, input ${showShape(t.shape)}, weight ${showShape(w.shape)}`,
      );
    const side = (k: 0 | 1): number =>
      (t.shape[k + 2]! - 1) * a.stride[k] -
      2 * a.padding[k] +
      a.dilation[k] * (w.shape[k + 2]! - 1) +
      extra[k] +
      1;
    if (extra.some((e, k) => e >= Math.max(a.stride[k]!, a.dilation[k]!)))
      throw rangeError(
        where,
        `outputPadding must be smaller than stride or dilation, got ${showShape(extra)}`,
      );
    const image = [t.shape[0]!, w.shape[1]! * a.groups, side(0), side(1)];
    if (image.some((d, k) => k > 1 && d <= 0))
      throw shapeError(where, `the output would have shape ${showShape(image)}`);
    const y = apply(inputRow, [t, w], { ...a, x: image, w: w.shape });
    return bias === null ? y : add(y, reshape(bias, [image[1]!, 1, 1]));
  },
  {
    samples: () => [
      {
        shapes: [[1, 2, 3, 3], [2, 2, 3, 3], [2]],
        call: (x, w, b) => convTranspose2d(x!, w!, b, { stride: 2, padding: 1, outputPadding: 1 }),
      },
    ],
    errors: () => [
      [
        () => convTranspose2d([[[[1]]]], [[[[1]]]], null, { outputPadding: 1 }),
        /outputPadding must be smaller than stride/,
      ],
    ],
  },
  inputRow,
);

/** The transpose of {@link conv1d}: x [n, c, l], weight [c, k/groups, s], bias [k]. */
export const convTranspose1d: typeof convTranspose2d = define(
  (
    x: TensorLike,
    weight: TensorLike,
    bias: TensorLike | null = null,
    options: ConvTransposeOptions = {},
  ): Tensor => {
    checkOptions('convTranspose1d', options, ['stride', 'padding', 'dilation', 'groups', 'outputPadding']);
    const { stride, padding, dilation, groups, outputPadding } = options;
    const y = convTranspose2d(unsqueeze(x, 2), unsqueeze(weight, 2), bias, {
      stride: [1, single(stride) ?? 1],
      padding: [0, single(padding) ?? 0],
      dilation: [1, single(dilation) ?? 1],
      groups: groups ?? 1,
      outputPadding: [0, single(outputPadding) ?? 0],
    });
    return squeeze(y, 2);
  },
  {
    samples: () => [
      {
        shapes: [
          [1, 2, 4],
          [2, 3, 3],
        ],
        call: (x, w) => convTranspose1d(x!, w!, null, { stride: 2 }),
      },
    ],
  },
);

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
  vjp: (g, _y, [x], { x: shape, index }) => {
    const [planes, plane] = [shape[0]! * shape[1]!, shape[2]! * shape[3]!];
    const places = { storage: index!, shape: [planes, g.size / planes] };
    const flat = apply(planeScatter, [reshape(g, places.shape)], { index: places, dim: 1, n: plane });
    return [reshape(flat, x!.shape)];
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
    const rows = matmul(reshape(t, [sizeOf(t.shape.slice(0, 2)), t.shape[2]!, t.shape[3]!]), w);
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
