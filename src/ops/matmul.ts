// Products of matrices and vectors. A transposed operand is a flag of the kernel, so no gradient copies anything first.
import { launch } from '../kernels/launch.js';
import { shapeError, showShape } from '../tensor/errors.js';
import { apply, define, type Op, type OpRow } from '../tensor/op.js';
import { sameShape, sizeOf, broadcastShapes, type Shape } from '../tensor/shape.js';
import { asTensor, type Tensor, type TensorLike } from '../tensor/tensor.js';
import { broadcastTo, reshape } from './move.js';
import { mul } from './pointwise.js';
import { sum } from './reduce.js';

interface Flags {
  /** The operand is stored transposed. */
  ta: boolean;
  tb: boolean;
}

const rowsOf = (shape: Shape): number => shape[shape.length - 2]!;
const columnsOf = (shape: Shape): number => shape[shape.length - 1]!;
const batchOf = (shape: Shape): Shape => shape.slice(0, -2);
/** Elements from one matrix of a batch to the next; 0 where there is one for all. */
const stepOf = ({ shape }: Tensor): number => (shape.length === 2 ? 0 : rowsOf(shape) * columnsOf(shape));

/** a and b have 2 dimensions, or a batch in front that is the same or that only one of them has. */
const row: OpRow<Flags> = {
  name: 'matmul',
  shape: (xs, { ta, tb }) => {
    const a = xs[0]!;
    const b = xs[1]!;
    const m = ta ? columnsOf(a) : rowsOf(a);
    const n = tb ? rowsOf(b) : columnsOf(b);
    return a.length === 2 && b.length === 2 ? [m, n] : [...batchOf(a.length > 2 ? a : b), m, n];
  },
  forward: (y, xs, { ta, tb }) => {
    const a = xs[0]!;
    const b = xs[1]!;
    const bias = xs[2];
    const m = rowsOf(y.shape);
    const n = columnsOf(y.shape);
    launch(
      'matmul',
      y.storage.address(),
      a.storage.address(),
      b.storage.address(),
      bias ? bias.storage.address() : 0,
      0,
      sizeOf(y.shape, 0, y.ndim - 2),
      m,
      n,
      ta ? rowsOf(a.shape) : columnsOf(a.shape),
      ta ? 1 : 0,
      tb ? 1 : 0,
      columnsOf(a.shape),
      columnsOf(b.shape),
      n,
      stepOf(a),
      stepOf(b),
      m * n,
      0,
    );
  },
  // With A = op(a), B = op(b): dA = g Bᵀ and dB = Aᵀ g; a stored transposed operand gets the transpose of its product.
  vjp: (g, _y, [a, b], { ta, tb }) => [
    () => (ta ? apply(row, [b!, g], { ta: tb, tb: true }) : apply(row, [g, b!], { ta: false, tb: !tb })),
    () => (tb ? apply(row, [g, a!], { ta: true, tb: ta }) : apply(row, [a!, g], { ta: !ta, tb: false })),
    g,
  ],
  reads: 'inputs',
  direct: true,
};

/** All dimensions but the last as one: a big product instead of a batch of small ones. */
const asMatrix = (x: Tensor): Tensor =>
  x.ndim === 2 ? x : reshape(x, [sizeOf(x.shape, 0, x.ndim - 1), columnsOf(x.shape)]);

/** The rows of `y` where those of `x` were before {@link asMatrix}. */
const withRowsOf = (x: Tensor, y: Tensor): Tensor =>
  x.ndim === 2 ? y : reshape(y, [...x.shape.slice(0, -1), columnsOf(y.shape)]);

/** Matrix product as torch.matmul: vectors are rows or columns, leading dimensions are batches and broadcast. */
export const matmul: Op<(a: TensorLike, b: TensorLike) => Tensor> = define(
  (a: TensorLike, b: TensorLike): Tensor => {
    const [x, y] = [asTensor('matmul', a), asTensor('matmul', b)];
    if (x.ndim === 0 || y.ndim === 0)
      throw shapeError(
        'matmul',
        `a scalar has no matrix product, lhs ${showShape(x.shape)}, rhs ${showShape(y.shape)}`,
        'use mul()',
      );
    if (x.ndim === 1 && y.ndim === 1) return dot(x, y);
    if (x.ndim === 1) return reshapeResult(matmul(reshape(x, [1, x.size]), y), -2);
    if (y.ndim === 1) return reshapeResult(matmul(x, reshape(y, [y.size, 1])), -1);
    checkInner(x, y);
    if (y.ndim === 2) return withRowsOf(x, apply(row, [asMatrix(x), y], { ta: false, tb: false }));
    const batch = broadcastShapes('matmul', batchOf(x.shape), batchOf(y.shape));
    const whole = (t: Tensor): Tensor =>
      t.ndim === 2 || sameShape(batchOf(t.shape), batch)
        ? t
        : broadcastTo(t, [...batch, rowsOf(t.shape), columnsOf(t.shape)]);
    return apply(row, [whole(x), whole(y)], { ta: false, tb: false });
  },
  {
    samples: () => [
      {
        shapes: [
          [2, 3],
          [3, 4],
        ],
      },
      { shapes: [[3], [3]] },
      { shapes: [[2, 3], [3]] },
      { shapes: [[3], [2, 3, 2]] },
      {
        shapes: [
          [2, 2, 3],
          [3, 2],
        ],
      },
      {
        shapes: [
          [2, 3],
          [2, 3, 2],
        ],
      },
      {
        shapes: [
          [2, 1, 2, 3],
          [3, 3, 2],
        ],
      },
      {
        shapes: [
          [2, 0],
          [0, 3],
        ],
      },
    ],
    errors: () => [
      [
        () => matmul([[1, 2, 3]], [[1, 2, 3]]),
        /matmul: inner sizes differ, lhs \[1, 3\], rhs \[1, 3\]; did you mean rhs\.transpose\(\)\?/,
      ],
      [() => matmul([[1, 2]], [[1], [2], [3]]), /matmul: inner sizes differ, lhs \[1, 2\], rhs \[3, 1\]$/],
      [() => matmul(1, [1]), /matmul: a scalar has no matrix product.*use mul\(\)/],
    ],
  },
  row,
);

function checkInner(x: Tensor, y: Tensor): void {
  const [k, r, c] = [columnsOf(x.shape), rowsOf(y.shape), columnsOf(y.shape)];
  if (k === r) return;
  const hint =
    k === c
      ? 'did you mean rhs.transpose()?'
      : x.shape.at(-2) === r
        ? 'did you mean lhs.transpose()?'
        : undefined;
  throw shapeError(
    'matmul',
    `inner sizes differ, lhs ${showShape(x.shape)}, rhs ${showShape(y.shape)}`,
    hint,
  );
}

/** Without the dimension that a vector was given. */
const reshapeResult = (t: Tensor, at: -1 | -2): Tensor =>
  reshape(
    t,
    t.shape.filter((_, k) => k !== t.ndim + at),
  );

/** x Wᵀ + bias over the last dimension of x: weight is [out, in], bias [out]; torch's F.linear. */
export const linear: Op<(x: TensorLike, weight: TensorLike, bias?: TensorLike | null) => Tensor> = define(
  (x: TensorLike, weight: TensorLike, bias: TensorLike | null = null): Tensor => {
    const t = asTensor('linear', x);
    const w = asTensor('linear', weight);
    if (w.ndim !== 2 || t.shape.at(-1) !== w.shape[1])
      throw shapeError(
        'linear',
        `inner sizes differ, input ${showShape(t.shape)}, weight ${showShape(w.shape)} (weight is [out, in])`,
      );
    const b = bias === null ? null : asTensor('linear', bias);
    if (b && (b.ndim !== 1 || b.size !== w.shape[0]))
      throw shapeError(
        'linear',
        `bias ${showShape(b.shape)} does not fit weight ${showShape(w.shape)}`,
        `it needs shape [${w.shape[0]}]`,
      );
    const rows = asMatrix(t);
    return withRowsOf(t, apply(row, b ? [rows, w, b] : [rows, w], { ta: false, tb: true }));
  },
  {
    samples: () => [
      { shapes: [[2, 3], [4, 3], [4]] },
      {
        shapes: [
          [2, 2, 3],
          [4, 3],
        ],
      },
      { shapes: [[3], [2, 3], [2]] },
    ],
    errors: () => [
      [() => linear([[1, 2]], [[1], [2]]), /linear: inner sizes differ, input \[1, 2\], weight \[2, 1\]/],
      [
        () => linear([1], [[1]], [1, 2]),
        /linear: bias \[2\] does not fit weight \[1, 1\]; it needs shape \[1\]/,
      ],
    ],
  },
);

/** Σ a b of two vectors. */
export const dot: Op<(a: TensorLike, b: TensorLike) => Tensor> = define(
  (a: TensorLike, b: TensorLike): Tensor => {
    const [x, y] = [asTensor('dot', a), asTensor('dot', b)];
    if (x.ndim !== 1 || !sameShape(x.shape, y.shape))
      throw shapeError(
        'dot',
        `needs two vectors of one length, lhs ${showShape(x.shape)}, rhs ${showShape(y.shape)}`,
      );
    return sum(mul(x, y));
  },
  {
    samples: () => [{ shapes: [[4], [4]] }],
    errors: () => [[() => dot([1], [1, 2]), /dot: needs two vectors of one length/]],
  },
);

/** a[i] b[j] of two vectors. */
export const outer: Op<(a: TensorLike, b: TensorLike) => Tensor> = define(
  (a: TensorLike, b: TensorLike): Tensor => {
    const [x, y] = [asTensor('outer', a), asTensor('outer', b)];
    if (x.ndim !== 1 || y.ndim !== 1)
      throw shapeError('outer', `needs two vectors, lhs ${showShape(x.shape)}, rhs ${showShape(y.shape)}`);
    return mul(reshape(x, [x.size, 1]), y);
  },
  {
    samples: () => [{ shapes: [[2], [3]] }],
    errors: () => [[() => outer([[1]], [1]), /outer: needs two vectors/]],
  },
);
