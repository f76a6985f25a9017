// Ops that reduce, and those that run along a dimension: sums, extrema, moments, norms, softmax.
import { launch } from '../kernels/launch.js';
import type { KernelName } from '../kernels/table.js';
import { Storage } from '../memory/storage.js';
import { checkNumber, checkOptions, rangeError, showShape } from '../tensor/errors.js';
import { apply, define, type InputGrad, type Op, type OpFacts, type OpRow } from '../tensor/op.js';
import { checkDim, checkDims, sizeOf, type Dims, type Shape } from '../tensor/shape.js';
import { asTensor, type Tensor, type TensorLike } from '../tensor/tensor.js';
import { concat } from './join.js';
import { broadcastTo, flatten, narrow, reshape, transpose } from './move.js';
import { abs, add, clamp, div, eq, exp, log, mul, pow, sign, sqrt, square, sub } from './pointwise.js';

export interface KeepDim {
  keepdim?: boolean;
}
type Reduction = Op<(x: TensorLike, dim?: Dims, options?: KeepDim) => Tensor>;

interface Axes {
  dims: readonly number[];
  keepdim: boolean;
}

const kept = (shape: Shape, dims: readonly number[]): number[] =>
  shape.map((d, k) => (dims.includes(k) ? 1 : d));
const reduced = (shape: Shape, { dims, keepdim }: Axes): number[] =>
  keepdim ? kept(shape, dims) : shape.filter((_, k) => !dims.includes(k));
const countOf = (shape: Shape, dims: readonly number[]): number => dims.reduce((n, d) => n * shape[d]!, 1);

/** Reduces x over `dims` into y: one launch for each run of neighbouring dimensions, the last run first. */
function launchReduction(kernel: KernelName, y: Tensor, x: Tensor, dims: readonly number[]): void {
  if (dims.length === 0)
    return launch('copy', y.storage.address(), x.storage.address(), 1, 1, 1, x.size, 0, 0, 0, 1, 0, 0, 0, 1);
  let from = x.storage;
  // Dimensions behind a run stay, unless they were reduced.
  let inner = sizeOf(x.shape, dims.at(-1)! + 1);
  for (let last = dims.length - 1; last >= 0;) {
    let first = last;
    while (first > 0 && dims[first - 1] === dims[first]! - 1) first--;
    const outer = sizeOf(x.shape, 0, dims[first]!);
    const to = first === 0 ? y.storage : Storage.inScope(outer * inner);
    launch(
      kernel,
      to.address(),
      from.address(),
      outer,
      sizeOf(x.shape, dims[first]!, dims[last]! + 1),
      inner,
    );
    from = to;
    last = first - 1;
    if (last >= 0) inner *= sizeOf(x.shape, dims[last]! + 1, dims[first]!);
  }
}

/** A gradient of a reduced shape, with its dimensions of size 1 put back so that it broadcasts against the input. */
const widen = (g: Tensor, x: Tensor, { dims }: Axes): Tensor => reshape(g, kept(x.shape, dims));

const SAMPLES =
  (fn: () => Reduction): OpFacts['samples'] =>
  () => [
    { shapes: [[2, 3]] },
    { shapes: [[2, 3, 2]], call: (x) => fn()(x, 1) },
    { shapes: [[2, 3, 2]], call: (x) => fn()(x, [0, 2], { keepdim: true }) },
    { shapes: [[2, 3]], call: (x) => fn()(x, -1, { keepdim: true }) },
  ];

function axes(name: string, t: Tensor, dim: Dims, options: KeepDim): Axes {
  checkOptions(name, options, ['keepdim']);
  return { dims: checkDims(name, dim, t.ndim), keepdim: options.keepdim ?? false };
}

function reduction(
  name: KernelName,
  rule: (g: Tensor, y: Tensor, x: Tensor, a: Axes) => InputGrad,
  { empty, ...facts }: { empty?: string } & Partial<OpFacts> = {},
): Reduction {
  const row: OpRow<Axes> = {
    name,
    shape: ([x], a) => reduced(x!, a),
    forward: (y, [x], { dims }) => {
      if (x!.size === 0) launch('fill', y.storage.address(), 0, y.size);
      else launchReduction(name, y, x!, dims);
    },
    vjp: (g, y, [x], a) => [rule(g, y, x!, a)],
  };
  const op: Reduction = define(
    (x: TensorLike, dim?: Dims, options: KeepDim = {}): Tensor => {
      const t = asTensor(name, x);
      const a = axes(name, t, dim, options);
      if (empty && countOf(t.shape, a.dims) === 0)
        throw rangeError(
          name,
          `${empty} of no elements, shape ${showShape(t.shape)}, dims ${showShape(a.dims)}`,
        );
      return apply(row, [t], a);
    },
    {
      samples: SAMPLES(() => op),
      errors: () => [
        [() => op([1, 2], 1), new RegExp(`${name}: dim 1 is outside \\[-1, 0\\]`)],
        [
          () => op([1, 2], { keepdim: true } as never),
          new RegExp(`${name}: dim must be a number.*options come after it`),
        ],
        [
          () => op([1, 2], 0, { keepDim: true } as never),
          new RegExp(`${name}: unknown option "keepDim"; did you mean "keepdim"`),
        ],
      ],
      ...facts,
    },
    row,
  );
  return op;
}

/** Σ x over `dim` (all by default). */
export const sum = reduction('sum', (g, _y, x, a) => broadcastTo(widen(g, x, a), x.shape));

// The gradient is shared evenly by all places that hold the extremum, as in torch's amax.
const toExtrema = (g: Tensor, y: Tensor, x: Tensor, a: Axes): Tensor => {
  const mask = eq(x, widen(y, x, a));
  return mul(div(mask, sum(mask, a.dims, { keepdim: true })), widen(g, x, a));
};
const LINEAR: OpFacts['order'] = [1, 'piecewise linear: its second derivative is 0'];
/** Largest over `dim`; NaN if any is. */
export const max = reduction('max', toExtrema, { empty: 'maximum', order: LINEAR });
/** Smallest over `dim`; NaN if any is. */
export const min = reduction('min', toExtrema, { empty: 'minimum', order: LINEAR });

/** Mean over `dim`. */
export const mean: Reduction = define(
  (x: TensorLike, dim?: Dims, options: KeepDim = {}): Tensor => {
    const t = asTensor('mean', x);
    const { dims } = axes('mean', t, dim, options);
    return mul(sum(t, dims, options), 1 / countOf(t.shape, dims));
  },
  { samples: SAMPLES(() => mean) },
);

/** Product over `dim`, as a tree of products of halves, so that its gradient is right where factors are 0. */
export const prod: Op<(x: TensorLike, dim?: number | null, options?: KeepDim) => Tensor> = define(
  (x: TensorLike, dim: number | null = null, options: KeepDim = {}): Tensor => {
    checkOptions('prod', options, ['keepdim']);
    const given = asTensor('prod', x);
    let t = dim === null ? flatten(given) : given;
    const at = dim === null ? 0 : checkDim('prod', dim, t.ndim);
    if (t.shape[at] === 0) throw rangeError('prod', `product of no elements, shape ${showShape(t.shape)}`);
    for (let n = t.shape[at]!; n > 1; n = t.shape[at]!) {
      const half = Math.floor(n / 2);
      const pairs = mul(narrow(t, at, 0, half), narrow(t, at, half, half));
      t = n % 2 ? concat([pairs, narrow(t, at, n - 1, 1)], at) : pairs;
    }
    const all: Axes = {
      dims: dim === null ? given.shape.map((_, k) => k) : [at],
      keepdim: options.keepdim ?? false,
    };
    return reshape(t, reduced(given.shape, all));
  },
  { samples: () => [{ shapes: [[5]] }, { shapes: [[2, 3]], call: (x) => prod(x, 1, { keepdim: true }) }] },
);

export interface VarianceOptions extends KeepDim {
  /** Subtracted from the count: 1 for a sample (default), 0 for a population. */
  correction?: number;
}
type Moment = Op<(x: TensorLike, dim?: Dims, options?: VarianceOptions) => Tensor>;

/** Σ (x - mean)² / (n - correction) over `dim`; torch's `var`. */
export const variance: Moment = define(
  (x: TensorLike, dim?: Dims, options: VarianceOptions = {}): Tensor => {
    checkOptions('variance', options, ['keepdim', 'correction']);
    const t = asTensor('variance', x);
    const dims = checkDims('variance', dim, t.ndim);
    const correction = checkNumber('variance', 'correction', options.correction ?? 1, { min: 0 });
    const centred = sub(t, mean(t, dims, { keepdim: true }));
    const total = sum(square(centred), dims, { keepdim: options.keepdim ?? false });
    return mul(total, 1 / Math.max(0, countOf(t.shape, dims) - correction));
  },
  {
    samples: () => [
      { shapes: [[2, 3]] },
      { shapes: [[2, 3]], call: (x) => variance(x, 0, { correction: 0, keepdim: true }) },
    ],
    errors: () => [[() => variance([1], 0, { ddof: 0 } as never), /variance: unknown option "ddof"/]],
  },
);

/** √variance. */
export const std: Moment = define(
  (x: TensorLike, dim?: Dims, options: VarianceOptions = {}): Tensor => sqrt(variance(x, dim, options)),
  { samples: () => [{ shapes: [[2, 3]], call: (x) => std(x, 1) }] },
);

/** (Σ |x|^p)^(1/p) over `dim`; p = 2 by default, Infinity for the largest |x|. The gradient of the 2-norm at 0 is 0. */
export const norm: Op<(x: TensorLike, options?: { p?: number; dim?: Dims; keepdim?: boolean }) => Tensor> =
  define(
    (x: TensorLike, options: { p?: number; dim?: Dims; keepdim?: boolean } = {}): Tensor => {
      checkOptions('norm', options, ['p', 'dim', 'keepdim']);
      const { p = 2, dim, keepdim = false } = options;
      const t = asTensor('norm', x);
      if (p === Infinity) return max(abs(t), dim, { keepdim });
      if (p === 1) return sum(abs(t), dim, { keepdim });
      if (p === 2) return safeRoot(sum(square(t), dim, { keepdim }));
      return pow(sum(pow(abs(t), p), dim, { keepdim }), 1 / p);
    },
    {
      samples: () => [
        { shapes: [[2, 3]] },
        { shapes: [[2, 3]], call: (x) => norm(x, { dim: 1, keepdim: true }) },
        { shapes: [[2, 3]], domain: [0.3, 2], call: (x) => norm(x, { p: 3, dim: 0 }) },
      ],
    },
  );

/** √x with slope 0 at 0: adding 1 where x is 0 and taking it away again keeps the 0/0 out of the rule. */
function safeRoot(x: Tensor): Tensor {
  const zero = eq(x, 0);
  return mul(sqrt(add(x, zero)), sub(1, zero));
}

/** ln Σ e^x over `dim`, without overflow. */
export const logsumexp: Reduction = define(
  (x: TensorLike, dim?: Dims, options: KeepDim = {}): Tensor => {
    const t = asTensor('logsumexp', x);
    const a = axes('logsumexp', t, dim, options);
    const top = max(t, a.dims, { keepdim: true }).detach();
    // Rows of -Infinity keep their value; a shift by an infinity would make NaN of it.
    const shift = mul(sign(abs(top)), clamp(top, -3e38, 3e38));
    const total = add(log(sum(exp(sub(t, shift)), a.dims, { keepdim: true })), shift);
    return reshape(total, reduced(t.shape, a));
  },
  { samples: SAMPLES(() => logsumexp) },
);

const NO_DERIVATIVE: OpFacts['order'] = [0, 'an index: it has no derivative'];

function indexOf(
  name: 'argmax' | 'argmin',
): Op<(x: TensorLike, dim?: number | null, options?: KeepDim) => Tensor> {
  const row: OpRow<Axes> = {
    name,
    shape: ([x], a) => reduced(x!, a),
    forward: (y, [x], { dims }) => launchReduction(name, y, x!, dims),
    vjp: () => [null],
  };
  const op = (x: TensorLike, dim: number | null = null, options: KeepDim = {}): Tensor => {
    const t = asTensor(name, x);
    const a = axes(name, t, dim, options);
    if (countOf(t.shape, a.dims) === 0)
      throw rangeError(name, `no elements to choose from, shape ${showShape(t.shape)}`);
    return apply(row, [t.detach()], a);
  };
  return define(
    op,
    {
      samples: () => [{ shapes: [[2, 3]] }, { shapes: [[2, 3]], call: (x) => op(x, 1) }],
      order: NO_DERIVATIVE,
    },
    row,
  );
}

/** Index of the first largest element along `dim`, or in the flat tensor; as a tensor of whole numbers. */
export const argmax = indexOf('argmax');
/** Index of the first smallest element along `dim`, or in the flat tensor; as a tensor of whole numbers. */
export const argmin = indexOf('argmin');

interface Along {
  dim: number;
  reverse: boolean;
}

const cumsumRow: OpRow<Along> = {
  name: 'cumsum',
  shape: ([x]) => x!,
  forward: (y, [x], { dim, reverse }) => {
    const { shape } = y;
    launch(
      'cumsum',
      y.storage.address(),
      x!.storage.address(),
      sizeOf(shape, 0, dim),
      shape[dim] ?? 1,
      sizeOf(shape, dim + 1),
      reverse ? 1 : 0,
    );
  },
  vjp: (g, _y, _xs, { dim, reverse }) => [apply(cumsumRow, [g], { dim, reverse: !reverse })],
};

/** Running sums along `dim`. */
export const cumsum: Op<(x: TensorLike, dim: number) => Tensor> = define(
  (x: TensorLike, dim: number): Tensor => {
    const t = asTensor('cumsum', x);
    return apply(cumsumRow, [t], { dim: checkDim('cumsum', dim, t.ndim), reverse: false });
  },
  {
    samples: () => [
      { shapes: [[2, 3]], call: (x) => cumsum(x, 0) },
      { shapes: [[2, 3]], call: (x) => cumsum(x, 1) },
    ],
  },
  cumsumRow,
);

type Softmax = Op<(x: TensorLike, dim?: number) => Tensor>;

/** A kernel over the last dimension as an op along any. */
function rowwise(
  name: 'softmax' | 'logSoftmax',
  fused: 'softmaxGrad' | 'logSoftmaxGrad',
  rule: (g: Tensor, y: Tensor) => Tensor,
): Softmax {
  const [rows, cols] = [(x: Tensor) => x.size / x.shape.at(-1)!, (x: Tensor) => x.shape.at(-1)!];
  const gradRow: OpRow<null> = {
    name: fused,
    shape: ([g]) => g!,
    forward: (o, [g, y]) =>
      launch(fused, o.storage.address(), g!.storage.address(), y!.storage.address(), rows(o), cols(o)),
    vjp: () => [null, null],
  };
  const row: OpRow<null> = {
    name,
    shape: ([x]) => x!,
    forward: (y, [x]) => launch(name, y.storage.address(), x!.storage.address(), rows(y), cols(y)),
    vjp: (g, y) => [rule(g, y)],
    vjpFused: (g, y) => [apply(gradRow, [g, y], null)],
    inPlace: true,
  };
  const op: Softmax = define(
    (x: TensorLike, dim = -1): Tensor => {
      const t = asTensor(name, x);
      const at = checkDim(name, dim, t.ndim);
      if (t.ndim === 0) return reshape(op(reshape(t, [1])), []);
      if (at === t.ndim - 1) return apply(row, [t], null);
      return transpose(apply(row, [transpose(t, at, -1)], null), at, -1);
    },
    {
      samples: () => [{ shapes: [[2, 3]] }, { shapes: [[3, 2, 2]], call: (x) => op(x, 0) }],
      errors: () => [[() => op([1, 2], 1), new RegExp(`${name}: dim 1 is outside`)]],
    },
    row,
  );
  return op;
}

/** e^x / Σ e^x along `dim` (the last by default). */
export const softmax = rowwise('softmax', 'softmaxGrad', (g, y) =>
  // dL/dx = y (g - Σ g y)
  mul(y, sub(g, sum(mul(g, y), -1, { keepdim: true }))),
);
/** x - ln Σ e^x along `dim` (the last by default). */
export const logSoftmax = rowwise('logSoftmax', 'logSoftmaxGrad', (g, y) =>
  // dL/dx = g - e^y Σ g
  sub(g, mul(exp(y), sum(g, -1, { keepdim: true }))),
);
