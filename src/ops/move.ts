// Ops that move numbers: views that cost nothing (reshape), and strided copies.
import { launch } from '../kernels/launch.js';
import { rangeError, shapeError, showShape } from '../tensor/errors.js';
import { apply, define, Piece, type Op, type OpRow } from '../tensor/op.js';
import {
  areDense,
  broadcastStrides,
  checkDim,
  checkShape,
  sameShape,
  sizeOf,
  stridesOf,
  type Shape,
} from '../tensor/shape.js';
import { asTensor, type Tensor, type TensorLike } from '../tensor/tensor.js';
import { launchCopy } from './copy.js';

const reshapeRow: OpRow<{ shape: Shape }> = {
  name: 'reshape',
  shape: (_xs, { shape }) => shape,
  forward: () => undefined,
  vjp: (g, _y, [x]) => [reshape(g, x!.shape)],
  alias: true,
};

/** The same numbers in another shape; one size may be -1. Shares memory. */
export const reshape: Op<(x: TensorLike, shape: Shape) => Tensor> = define(
  (x: TensorLike, shape: Shape): Tensor => {
    const t = asTensor('reshape', x);
    return apply(reshapeRow, [t], { shape: resolve(t, shape) });
  },
  {
    samples: () => [
      { shapes: [[2, 3]], call: (x) => reshape(x, [3, -1]) },
      { shapes: [[1]], call: (x) => reshape(x, []) },
    ],
    errors: () => [
      [() => reshape([1, 2, 3], [2, 2]), /reshape: 3 elements of shape \[3\] do not fill shape \[2, 2\]/],
      [() => reshape([1, 2, 3], [-1, 2]), /reshape: 3 elements of shape \[3\] do not fill shape \[-1, 2\]/],
    ],
  },
  reshapeRow,
);

function resolve(t: Tensor, shape: Shape): Shape {
  let known = 1;
  let holes = 0;
  for (let k = 0; k < shape.length; k++)
    if (shape[k] === -1) holes++;
    else known *= shape[k]!;
  const fits = holes === 0 ? known === t.size : holes === 1 && known > 0 && t.size % known === 0;
  if (!fits)
    throw shapeError(
      'reshape',
      `${t.size} elements of shape ${showShape(t.shape)} do not fill shape ${showShape(shape)}`,
    );
  return checkShape(
    'reshape',
    shape.map((d) => (d === -1 ? t.size / known : d)),
  );
}

/** Dimensions `start … end` merged into one. */
export const flatten: Op<(x: TensorLike, start?: number, end?: number) => Tensor> = define(
  (x: TensorLike, start = 0, end = -1): Tensor => {
    const t = asTensor('flatten', x);
    if (t.ndim === 0) return reshape(t, [1]);
    const [a, b] = [checkDim('flatten', start, t.ndim), checkDim('flatten', end, t.ndim)];
    if (a > b) throw rangeError('flatten', `start ${start} comes after end ${end}`);
    return reshape(t, [...t.shape.slice(0, a), sizeOf(t.shape, a, b + 1), ...t.shape.slice(b + 1)]);
  },
  { samples: () => [{ shapes: [[2, 3, 2]], call: (x) => flatten(x, 1) }] },
);

/** Without the dimensions of size 1, or without `dim` if it has size 1. */
export const squeeze: Op<(x: TensorLike, dim?: number) => Tensor> = define(
  (x: TensorLike, dim?: number): Tensor => {
    const t = asTensor('squeeze', x);
    if (dim === undefined)
      return reshape(
        t,
        t.shape.filter((d) => d !== 1),
      );
    const at = checkDim('squeeze', dim, t.ndim);
    return reshape(
      t,
      t.shape.filter((d, k) => k !== at || d !== 1),
    );
  },
  {
    samples: () => [{ shapes: [[1, 3, 1]] }, { shapes: [[1, 3, 1]], call: (x) => squeeze(x, -1) }],
    errors: () => [[() => squeeze([1], 3), /squeeze: dim 3 is outside \[-1, 0\]/]],
  },
);

/** With a dimension of size 1 at `dim`. */
export const unsqueeze: Op<(x: TensorLike, dim: number) => Tensor> = define(
  (x: TensorLike, dim: number): Tensor => {
    const t = asTensor('unsqueeze', x);
    const at = checkDim('unsqueeze', dim, t.ndim + 1);
    return reshape(t, [...t.shape.slice(0, at), 1, ...t.shape.slice(at)]);
  },
  { samples: () => [{ shapes: [[2, 3]], call: (x) => unsqueeze(x, -1) }] },
);

const permuteRow: OpRow<{ dims: readonly number[] }> = {
  name: 'permute',
  shape: ([x], { dims }) => dims.map((d) => x![d]!),
  forward: (y, [x], { dims }) => {
    const strides = stridesOf(x!.shape);
    launchCopy(
      y.storage,
      0,
      x!.storage,
      0,
      y.shape,
      stridesOf(y.shape),
      dims.map((d) => strides[d]!),
    );
  },
  vjp: (g, _y, _xs, { dims }) => [
    permute(
      g,
      dims.map((_, k) => dims.indexOf(k)),
    ),
  ],
};

/** Dimensions in another order: dimension k of the result is dimension `dims[k]` of x. */
export const permute: Op<(x: TensorLike, dims: readonly number[]) => Tensor> = define(
  (x: TensorLike, dims: readonly number[]): Tensor => {
    const t = asTensor('permute', x);
    const order = dims.map((d) => checkDim('permute', d, t.ndim));
    if (order.length !== t.ndim || new Set(order).size !== t.ndim)
      throw rangeError(
        'permute',
        `dims ${showShape(dims)} are not an order of the ${t.ndim} dimensions of ${showShape(t.shape)}`,
      );
    if (order.every((d, k) => d === k)) return t;
    return apply(permuteRow, [t], { dims: order });
  },
  {
    samples: () => [
      { shapes: [[2, 3, 4]], call: (x) => permute(x, [2, 0, 1]) },
      { shapes: [[2, 1, 2, 3, 2]], call: (x) => permute(x, [4, 2, 1, 0, 3]) },
      { shapes: [[3, 2, 2, 3, 2, 2]], call: (x) => permute(x, [3, 1, 5, 0, 2, 4]) },
    ],
    errors: () => [
      [() => permute([[1]], [0, 0]), /permute: dims \[0, 0\] are not an order of the 2 dimensions/],
    ],
  },
  permuteRow,
);

/** Two dimensions exchanged; the last two by default. */
export const transpose: Op<(x: TensorLike, d0?: number, d1?: number) => Tensor> = define(
  (x: TensorLike, d0 = -2, d1 = -1): Tensor => {
    const t = asTensor('transpose', x);
    const [a, b] = [checkDim('transpose', d0, t.ndim), checkDim('transpose', d1, t.ndim)];
    return permute(
      t,
      t.shape.map((_, k) => (k === a ? b : k === b ? a : k)),
    );
  },
  {
    samples: () => [{ shapes: [[2, 3]] }, { shapes: [[2, 3, 2]], call: (x) => transpose(x, 0, 2) }],
    errors: () => [[() => transpose([1, 2]), /transpose: dim -2 is outside \[-1, 0\]/]],
  },
);

const broadcastRow: OpRow<{ shape: Shape }> = {
  name: 'broadcastTo',
  shape: (_xs, { shape }) => shape,
  forward: (y, [x]) =>
    launchCopy(y.storage, 0, x!.storage, 0, y.shape, stridesOf(y.shape), broadcastStrides(x!.shape, y.shape)),
  vjp: (g) => [g],
};

/** x repeated along its dimensions of size 1, and along new ones in front, to `shape`. */
export const broadcastTo: Op<(x: TensorLike, shape: Shape) => Tensor> = define(
  (x: TensorLike, shape: Shape): Tensor => {
    const t = asTensor('broadcastTo', x);
    if (sameShape(t.shape, shape)) return t;
    const lead = shape.length - t.ndim;
    if (lead < 0 || t.shape.some((d, k) => d !== 1 && d !== shape[k + lead]))
      throw shapeError(
        'broadcastTo',
        `shape ${showShape(t.shape)} does not broadcast to ${showShape(shape)}`,
      );
    return apply(broadcastRow, [t], { shape: checkShape('broadcastTo', shape) });
  },
  {
    samples: () => [
      { shapes: [[3]], call: (x) => broadcastTo(x, [2, 3]) },
      { shapes: [[2, 1, 3]], call: (x) => broadcastTo(x, [4, 2, 2, 3]) },
    ],
    errors: () => [[() => broadcastTo([1, 2], [3]), /broadcastTo: shape \[2\] does not broadcast to \[3\]/]],
  },
  broadcastRow,
);

/** {@link broadcastTo}, where -1 keeps a size. */
export const expand: Op<(x: TensorLike, shape: Shape) => Tensor> = define(
  (x: TensorLike, shape: Shape): Tensor => {
    const t = asTensor('expand', x);
    return broadcastTo(
      t,
      shape.map((d, k) => (d === -1 ? (t.shape[k - shape.length + t.ndim] ?? -1) : d)),
    );
  },
  { samples: () => [{ shapes: [[2, 1]], call: (x) => expand(x, [-1, 3]) }] },
);

interface Box {
  starts: readonly number[];
  steps: readonly number[];
  shape: Shape;
}

const boxStart = (shape: Shape, starts: readonly number[]): number =>
  stridesOf(shape).reduce((at, s, k) => at + s * starts[k]!, 0);
const boxStrides = (shape: Shape, steps: readonly number[]): number[] =>
  stridesOf(shape).map((s, k) => s * steps[k]!);

const sliceRow: OpRow<Box> = {
  name: 'slice',
  shape: (_xs, { shape }) => shape,
  forward: (y, [x], { starts, steps }) =>
    launchCopy(
      y.storage,
      0,
      x!.storage,
      boxStart(x!.shape, starts),
      y.shape,
      stridesOf(y.shape),
      boxStrides(x!.shape, steps),
    ),
  vjp: (g, _y, [x], { starts, steps }) => {
    const cut = g.shape.flatMap((d, k) => (d === x!.shape[k] ? [] : [k]));
    // A run along one dimension, as of narrow and split.
    if (cut.length === 1 && steps[cut[0]!] === 1 && g.size > 0)
      return [new Piece(g, cut[0]!, starts[cut[0]!]!)];
    return [apply(insertRow, [g], { starts, steps, shape: x!.shape, value: 0 })];
  },
};

/** A tensor of `value` with x laid into a strided box of it: the gradient of slice, and pad. */
const insertRow: OpRow<Box & { value: number }> = {
  name: 'pad',
  shape: (_xs, { shape }) => shape,
  forward: (y, [x], { starts, steps, value }) => {
    const [start, strides] = [boxStart(y.shape, starts), boxStrides(y.shape, steps)];
    const fill = (from: number, to: number): void => {
      if (to > from) launch('fill', y.storage.address() + from * y.storage.width, value, to - from);
    };
    // What is written once, as in one run, a replayed step can compute where it goes: its copy falls away.
    if (areDense(x!.shape, strides)) {
      fill(0, start);
      fill(start + x!.size, y.size);
    } else fill(0, y.size);
    if (x!.size > 0) launchCopy(y.storage, start, x!.storage, 0, x!.shape, strides, stridesOf(x!.shape));
  },
  vjp: (g, _y, [x], { starts, steps }) => [apply(sliceRow, [g], { starts, steps, shape: x!.shape })],
};

/** The box from `starts` up to, not including, `ends`, every `steps`-th element; negative bounds count from the back. */
export const slice: Op<
  (x: TensorLike, starts: readonly number[], ends: readonly number[], steps?: readonly number[]) => Tensor
> = define(
  (x: TensorLike, starts: readonly number[], ends: readonly number[], steps?: readonly number[]): Tensor => {
    const t = asTensor('slice', x);
    const step = steps ?? starts.map(() => 1);
    if (starts.length > t.ndim || ends.length !== starts.length || step.length !== starts.length)
      throw shapeError(
        'slice',
        `${starts.length} starts, ${ends.length} ends and ${step.length} steps for shape ${showShape(t.shape)}`,
      );
    if (!step.every((s) => Number.isInteger(s) && s > 0))
      throw rangeError(
        'slice',
        `steps must be whole numbers > 0, got ${showShape(step)}`,
        'use flip() for a reversed order',
      );
    const bound = (v: number | undefined, d: number, otherwise: number): number =>
      Math.min(d, Math.max(0, v === undefined ? otherwise : v < 0 ? v + d : v));
    const from = t.shape.map((d, k) => bound(starts[k], d, 0));
    const by = t.shape.map((_, k) => step[k] ?? 1);
    const shape = t.shape.map((d, k) => Math.max(0, Math.ceil((bound(ends[k], d, d) - from[k]!) / by[k]!)));
    if (sameShape(shape, t.shape)) return t;
    return apply(sliceRow, [t], { starts: from, steps: by, shape });
  },
  {
    samples: () => [
      { shapes: [[4, 5]], call: (x) => slice(x, [1, -4], [3, -1]) },
      { shapes: [[7, 2]], call: (x) => slice(x, [1], [7], [3]) },
      { shapes: [[3]], call: (x) => slice(x, [2], [2]) },
    ],
    errors: () => [
      [
        () => slice([1, 2], [0], [2], [-1]),
        /slice: steps must be whole numbers > 0, got \[-1\]; use flip\(\)/,
      ],
      [() => slice([1, 2], [0, 0], [1, 1]), /slice: 2 starts, 2 ends and 2 steps for shape \[2\]/],
    ],
  },
  sliceRow,
);

/** `length` elements along `dim` from `start` on. */
export const narrow: Op<(x: TensorLike, dim: number, start: number, length: number) => Tensor> = define(
  (x: TensorLike, dim: number, start: number, length: number): Tensor => {
    const t = asTensor('narrow', x);
    const at = checkDim('narrow', dim, t.ndim);
    const d = t.shape[at]!;
    if (!(
      Number.isInteger(start) &&
      Number.isInteger(length) &&
      start >= 0 &&
      length >= 0 &&
      start + length <= d
    ))
      throw rangeError(
        'narrow',
        `[${start}, ${start + length}) is outside dim ${dim} of shape ${showShape(t.shape)}`,
      );
    const starts = t.shape.map((_, k) => (k === at ? start : 0));
    return slice(
      t,
      starts,
      t.shape.map((s, k) => (k === at ? start + length : s)),
    );
  },
  {
    samples: () => [{ shapes: [[3, 5]], call: (x) => narrow(x, 1, 2, 2) }],
    errors: () => [[() => narrow([1, 2], 0, 1, 2), /narrow: \[1, 3\) is outside dim 0 of shape \[2\]/]],
  },
);

/** Elements to add before and after each dimension, the first dimension first; negative ones crop. */
export type Padding = readonly (readonly [number, number])[];

/** x with `[before, after]` elements of `value` added along each dimension. */
export const pad: Op<(x: TensorLike, padding: Padding, value?: number) => Tensor> = define(
  (x: TensorLike, padding: Padding, value = 0): Tensor => {
    const t = asTensor('pad', x);
    const fits = padding.length === t.ndim && padding.flat().every(Number.isInteger);
    if (!fits || t.shape.some((d, k) => d + Math.min(0, padding[k]![0]) + Math.min(0, padding[k]![1]) < 0))
      throw shapeError(
        'pad',
        `padding must be one [before, after] for each of the ${t.ndim} dimensions of ${showShape(t.shape)}, and crop no more than there is`,
      );
    const starts = padding.map(([before]) => Math.max(0, -before));
    const kept = slice(
      t,
      starts,
      t.shape.map((d, k) => d - Math.max(0, -padding[k]![1])),
    );
    if (padding.flat().every((p) => p <= 0)) return kept;
    const more = padding.map(([before, after]) => [Math.max(0, before), Math.max(0, after)] as const);
    const shape = checkShape(
      'pad',
      kept.shape.map((d, k) => d + more[k]![0] + more[k]![1]),
    );
    const steps = t.shape.map(() => 1);
    return apply(insertRow, [kept], { starts: more.map(([before]) => before), steps, shape, value });
  },
  {
    // prettier-ignore
    samples: () => [
      { shapes: [[2, 3]], call: (x) => pad(x, [[1, 0], [2, 1]], 0.5) },
      { shapes: [[4, 3]], call: (x) => pad(x, [[-1, 2], [0, -1]]) },
    ],
    // prettier-ignore
    errors: () => [
      [() => pad([1], [[1, 0], [0, 0]]), /pad: padding must be one \[before, after\] for each of the 1 dimensions of \[1\]/],
      [() => pad([1], [[-1, -1]]), /crop no more than there is/],
    ],
  },
  insertRow,
);
