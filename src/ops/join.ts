// Ops that join, split and tile tensors, and the triangles of a matrix.
import { describe, rangeError, shapeError, showShape, typeError } from '../tensor/errors.js';
import { apply, define, type Op, type OpRow } from '../tensor/op.js';
import { checkDim, stridesOf } from '../tensor/shape.js';
import { asTensor, realArray, wrap, type Tensor, type TensorLike } from '../tensor/tensor.js';
import { launchCopy } from './copy.js';
import { broadcastTo, narrow, reshape, unsqueeze } from './move.js';
import { mul } from './pointwise.js';

const concatRow: OpRow<{ dim: number }> = {
  name: 'concat',
  shape: (shapes, { dim }) =>
    shapes[0]!.map((d, k) => (k === dim ? shapes.reduce((n, s) => n + s[dim]!, 0) : d)),
  forward: (y, xs, { dim }) => {
    const strides = stridesOf(y.shape);
    let at = 0;
    for (const x of xs) {
      if (x.size > 0)
        launchCopy(y.storage, at * strides[dim]!, x.storage, 0, x.shape, strides, stridesOf(x.shape));
      at += x.shape[dim]!;
    }
  },
  vjp: (g, _y, xs, { dim }) => {
    let at = 0;
    return xs.map((x) => {
      const start = at;
      at += x.shape[dim]!;
      return () => narrow(g, dim, start, x.shape[dim]!);
    });
  },
};

/** Tensors joined along `dim`; their other sizes must agree. */
export const concat: Op<(xs: readonly TensorLike[], dim?: number) => Tensor> = define(
  (xs: readonly TensorLike[], dim = 0): Tensor => {
    if (!Array.isArray(xs) || xs.length === 0)
      throw typeError('concat', `expected a non-empty array of tensors, got ${describe(xs)}`);
    const ts = (xs as readonly TensorLike[]).map((x) => asTensor('concat', x));
    const at = checkDim('concat', dim, ts[0]!.ndim);
    const first = ts[0]!.shape;
    for (const { shape } of ts)
      if (shape.length !== first.length || shape.some((d, k) => k !== at && d !== first[k]))
        throw shapeError(
          'concat',
          `sizes differ outside dim ${dim}, first ${showShape(first)}, other ${showShape(shape)}`,
        );
    return apply(concatRow, ts, { dim: at });
  },
  {
    samples: () => [
      {
        shapes: [
          [2, 3],
          [2, 1],
          [2, 2],
        ],
        call: (a, b, c) => concat([a!, b!, c!], 1),
      },
      {
        shapes: [
          [2, 3],
          [0, 3],
        ],
        call: (a, b) => concat([a!, b!]),
      },
    ],
    errors: () => [
      [() => concat([[1], [[1]]]), /concat: sizes differ outside dim 0, first \[1\], other \[1, 1\]/],
      [() => concat([]), /concat: expected a non-empty array of tensors/],
    ],
  },
  concatRow,
);

/** Tensors of one shape, joined along a new dimension. */
export const stack: Op<(xs: readonly TensorLike[], dim?: number) => Tensor> = define(
  (xs: readonly TensorLike[], dim = 0): Tensor =>
    concat(
      xs.map((x) => unsqueeze(x, dim)),
      dim,
    ),
  {
    samples: () => [
      {
        shapes: [
          [2, 3],
          [2, 3],
        ],
        call: (a, b) => stack([a!, b!], 1),
      },
    ],
  },
);

/** Pieces along `dim`, of one size (the last may be smaller) or of the listed sizes. */
export function split(x: TensorLike, size: number | readonly number[], dim = 0): Tensor[] {
  const t = asTensor('split', x);
  const d = t.shape[checkDim('split', dim, t.ndim)]!;
  if (typeof size === 'number' && !(Number.isInteger(size) && size > 0))
    throw rangeError('split', `size must be a whole number > 0, got ${size}`);
  const sizes =
    typeof size === 'number'
      ? Array.from({ length: Math.ceil(d / size) }, (_, k) => Math.min(size, d - k * size))
      : size;
  if (sizes.reduce((a, b) => a + b, 0) !== d)
    throw shapeError(
      'split',
      `sizes ${showShape(sizes)} do not add up to ${d}, dim ${dim} of shape ${showShape(t.shape)}`,
    );
  let at = 0;
  return sizes.map((n) => narrow(t, dim, (at += n) - n, n));
}

/** At most `chunks` pieces of equal size along `dim`. */
export function chunk(x: TensorLike, chunks: number, dim = 0): Tensor[] {
  const t = asTensor('chunk', x);
  return split(t, Math.max(1, Math.ceil(t.shape[checkDim('chunk', dim, t.ndim)]! / chunks)), dim);
}

/** x tiled `times[k]` times along dimension k; more numbers than dimensions add dimensions in front. */
export const repeat: Op<(x: TensorLike, times: readonly number[]) => Tensor> = define(
  (x: TensorLike, times: readonly number[]): Tensor => {
    const t = asTensor('repeat', x);
    if (times.length < t.ndim)
      throw shapeError(
        'repeat',
        `${times.length} repeats for the ${t.ndim} dimensions of ${showShape(t.shape)}`,
      );
    const shape = [...Array<number>(times.length - t.ndim).fill(1), ...t.shape];
    const wide = broadcastTo(
      reshape(
        t,
        shape.flatMap((d) => [1, d]),
      ),
      shape.flatMap((d, k) => [times[k]!, d]),
    );
    return reshape(
      wide,
      shape.map((d, k) => d * times[k]!),
    );
  },
  {
    samples: () => [{ shapes: [[2, 3]], call: (x) => repeat(x, [2, 1, 2]) }],
    errors: () => [[() => repeat([[1]], [2]), /repeat: 1 repeats for the 2 dimensions of \[1, 1\]/]],
  },
);

/** A constant mask over the last two dimensions, 1 where `keep(row, column)`. */
function triangle(where: string, x: TensorLike, keep: (i: number, j: number) => boolean): Tensor {
  const t = asTensor(where, x);
  if (t.ndim < 2) throw shapeError(where, `needs at least 2 dimensions, got shape ${showShape(t.shape)}`);
  const [rows, cols] = t.shape.slice(-2) as [number, number];
  const mask = realArray(rows * cols);
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) mask[i * cols + j] = keep(i, j) ? 1 : 0;
  return mul(t, wrap(mask, [rows, cols]));
}

/** The elements on and below the given diagonal, 0 elsewhere. */
export const tril: Op<(x: TensorLike, diagonal?: number) => Tensor> = define(
  (x: TensorLike, diagonal = 0): Tensor => triangle('tril', x, (i, j) => j - i <= diagonal),
  {
    samples: () => [{ shapes: [[3, 4]] }],
    errors: () => [[() => tril([1]), /tril: needs at least 2 dimensions/]],
  },
);

/** The elements on and above the given diagonal, 0 elsewhere. */
export const triu: Op<(x: TensorLike, diagonal?: number) => Tensor> = define(
  (x: TensorLike, diagonal = 0): Tensor => triangle('triu', x, (i, j) => j - i >= diagonal),
  { samples: () => [{ shapes: [[2, 3, 3]], call: (x) => triu(x, 1) }] },
);
