// Convolution of NCHW images. The three convolution rows are each other's gradients.
import { launch } from '../kernels/launch.js';
import { windows } from '../kernels/table/conv.js';
import { checkNumber, checkOptions, describe, rangeError, shapeError, showShape } from '../tensor/errors.js';
import { apply, define, type InputGrad, type Op, type OpRow } from '../tensor/op.js';
import type { Shape } from '../tensor/shape.js';
import { asTensor, type Tensor, type TensorLike } from '../tensor/tensor.js';
import { reshape, squeeze, unsqueeze } from './move.js';
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

export type Quad = [number, number, number, number];

export function pairOf(where: string, name: string, value: Pair, min: number): readonly [number, number] {
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
  reads: 'inputs',
  shape: (_xs, a) => outShape(a),
  forward: (y, [x, w, bias], a) =>
    launch(
      'conv2d',
      y.storage.address(),
      x!.storage.address(),
      w!.storage.address(),
      bias ? bias.storage.address() : 0,
      0,
      ...numbers(a),
      0,
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
