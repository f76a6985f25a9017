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

const matrix = (shape: Shape): [number, number] => shape.slice(-2) as [number, number];
const batchOf = (shape: Shape): Shape => shape.slice(0, -2);

/** [m, k, n] of op(a) · op(b). */
function extents(a: Shape, b: Shape, { ta, tb }: Flags): [number, number, number] {
  const [ar, ac] = matrix(a);
  const [br, bc] = matrix(b);
  return [ta ? ac : ar, ta ? ar : ac, tb ? br : bc];
}

/** a and b have 2 dimensions, or a batch in front that is the same or that only one of them has. */
const row: OpRow<Flags> = {
  name: 'matmul',
  shape: ([a, b], flags) => {
    const [m, , n] = extents(a!, b!, flags);
    const [p, q] = [batchOf(a!), batchOf(b!)];
    return [...(p.length > 0 ? p : q), m, n];
  },
  forward: (y, [a, b, bias], flags) => {
    const [m, k, n] = extents(a!.shape, b!.shape, flags);
    const batch = sizeOf(batchOf(y.shape));
    const step = (x: Tensor): number => (x.ndim === 2 ? 0 : x.shape.at(-1)! * x.shape.at(-2)!);
    launch(
      'matmul',
      y.storage.address(),
      a!.storage.address(),
      b!.storage.address(),
      bias ? bias.storage.address() : 0,
      0,
      batch,
      m,
      n,
      k,
      flags.ta ? 1 : 0,
      flags.tb ? 1 : 0,
      a!.shape.at(-1)!,
      b!.shape.at(-1)!,
      n,
      step(a!),
      step(b!),
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
  direct: true,
};

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
    if (y.ndim === 2) {
      // One big product instead of a batch of small ones.
      const flat = apply(
        row,
        [
          reshape(
            x,
            [-1, x.shape.at(-1)!].map((d) => (d === -1 ? sizeOf(x.shape.slice(0, -1)) : d)),
          ),
          y,
        ],
        { ta: false, tb: false },
      );
      return reshape(flat, [...x.shape.slice(0, -1), y.shape[1]!]);
    }
    const batch = broadcastShapes('matmul', batchOf(x.shape), batchOf(y.shape));
    const whole = (t: Tensor): Tensor =>
      t.ndim === 2 || sameShape(batchOf(t.shape), batch) ? t : broadcastTo(t, [...batch, ...matrix(t.shape)]);
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
  const [k, [r, c]] = [x.shape.at(-1)!, matrix(y.shape)];
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
    const [t, w] = [asTensor('linear', x), asTensor('linear', weight)];
    const width = t.shape.at(-1);
    if (w.ndim !== 2 || width !== w.shape[1])
      throw shapeError(
        'linear',
        `inner sizes differ, input ${showShape(t.shape)}, weight ${showShape(w.shape)} (weight is [out, in])`,
      );
    const b = bias === null ? null : asTensor('linear', bias);
    if (b && !sameShape(b.shape, [w.shape[0]!]))
      throw shapeError(
        'linear',
        `bias ${showShape(b.shape)} does not fit weight ${showShape(w.shape)}`,
        `it needs shape [${w.shape[0]}]`,
      );
    const flat = reshape(t, [sizeOf(t.shape.slice(0, -1)), width!]);
    return reshape(apply(row, b ? [flat, w, b] : [flat, w], { ta: false, tb: true }), [
      ...t.shape.slice(0, -1),
      w.shape[0]!,
    ]);
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
