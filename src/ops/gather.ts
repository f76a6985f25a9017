// Ops that read or add by index. Indices are arrays of integers or Int32Arrays, checked here before anything runs, or
// tensors of whole numbers, whose values only the kernel sees: out of range, a gather gives NaN there.
import { launch } from '../kernels/launch.js';
import { Storage } from '../memory/storage.js';
import { describe, rangeError, shapeError, showShape, typeError } from '../tensor/errors.js';
import { apply, define, type Op, type OpRow } from '../tensor/op.js';
import { checkDim, sameShape, sizeOf, type Shape } from '../tensor/shape.js';
import { reshape } from './move.js';
import { add } from './pointwise.js';
import { asTensor, inSomeScope, Tensor, type Nested, type TensorLike } from '../tensor/tensor.js';

export type IndexLike = Int32Array | readonly Nested[] | Tensor;

/** Integers ready for a kernel. */
export interface Indices {
  storage: Storage;
  shape: Shape;
}

function integers(
  where: string,
  value: readonly Nested[],
  shape: number[],
  depth: number,
  out: number[],
): void {
  if (shape[depth] === undefined) shape[depth] = value.length;
  if (value.length !== shape[depth]) throw shapeError(where, `ragged index array at depth ${depth}`);
  for (const v of value) {
    if (Array.isArray(v)) integers(where, v, shape, depth + 1, out);
    else out.push(v as number);
  }
}

/**
 * Checks that every index is a whole number in [0, n) and returns them for the kernels; `what` names them in errors.
 * `prepare` turns what was given into indices first.
 */
export function asIndices(
  where: string,
  what: string,
  index: IndexLike,
  n: number,
  prepare: (values: Int32Array) => Int32Array = (values) => values,
): Indices {
  if (index instanceof Tensor) return tensorIndices(index);
  const read = (from: Int32Array | readonly Nested[]): { array: Int32Array; shape: number[] } => {
    const { array, shape } = readIntegers(where, what, from);
    return { array: inRange(where, what, prepare(array), n), shape };
  };
  const { array, shape } = read(index);
  return {
    storage: Storage.of(array, { from: index, make: (from: typeof index) => read(from).array }),
    shape,
  };
}

function readIntegers(
  where: string,
  what: string,
  index: Int32Array | readonly Nested[],
): { array: Int32Array; shape: number[] } {
  if (index instanceof Int32Array) return { array: index, shape: [index.length] };
  if (!Array.isArray(index))
    throw typeError(
      where,
      `${what} must be an Int32Array, an array of integers or a Tensor, got ${describe(index)}`,
    );
  const [shape, values]: [number[], number[]] = [[], []];
  integers(where, index as readonly Nested[], shape, 0, values);
  const array = Int32Array.from(values);
  const odd = values.findIndex((v, k) => v !== array[k]);
  if (odd >= 0)
    throw rangeError(where, `${what} ${values[odd]} at position ${odd} is not a whole number below 2^31`);
  return { array, shape };
}

function inRange(where: string, what: string, array: Int32Array, n: number): Int32Array {
  for (let k = 0; k < array.length; k++) {
    const v = array[k]!;
    if (v < 0 || v >= n)
      throw rangeError(where, `${what} ${v} at position ${k} is not a whole number in [0, ${n})`);
  }
  return array;
}

function tensorIndices(index: Tensor): Indices {
  if (index.storage.kind === 'int') return { storage: index.storage, shape: index.shape };
  const storage = inSomeScope(
    () => {
      const out = Storage.inScope(index.size, 'int');
      launch('toIndex', out.address(), index.storage.address(), index.size);
      return out;
    },
    (out) => [out],
  );
  return { storage, shape: index.shape };
}

interface Picking {
  index: Indices;
  dim: number;
  /** Size of `dim` in the tensor that is picked from. */
  n: number;
}

const outerOf = (shape: Shape, dim: number): number => sizeOf(shape, 0, dim);
const innerOf = (shape: Shape, dim: number): number => sizeOf(shape, dim + 1);
const withSize = (shape: Shape, dim: number, n: number): number[] => shape.map((d, k) => (k === dim ? n : d));

/** A pair of rows, each the other's gradient: reading by index, and adding by index into zeros. */
function pair(read: 'take' | 'gather', write: 'takeGrad' | 'scatterAdd'): [OpRow<Picking>, OpRow<Picking>] {
  const m = (index: Indices, shape: Shape, dim: number): number =>
    read === 'take' ? index.storage.length : shape[dim]!;
  const reader: OpRow<Picking> = {
    name: read,
    shape: ([x], { index, dim }) => (read === 'take' ? withSize(x!, dim, index.storage.length) : index.shape),
    forward: (y, [x], { index, dim, n }) =>
      launch(
        read,
        y.storage.address(),
        x!.storage.address(),
        index.storage.address(),
        outerOf(y.shape, dim),
        n,
        innerOf(y.shape, dim),
        m(index, y.shape, dim),
      ),
    vjp: (g, _y, _xs, attrs) => [apply(writer, [g], attrs)],
  };
  const writer: OpRow<Picking> = {
    name: write,
    shape: ([g], { dim, n }) => withSize(g!, dim, n),
    forward: (y, [g], { index, dim, n }) => {
      launch('fill', y.storage.address(), 0, y.size);
      launch(
        write,
        y.storage.address(),
        g!.storage.address(),
        index.storage.address(),
        outerOf(y.shape, dim),
        n,
        innerOf(y.shape, dim),
        m(index, g!.shape, dim),
      );
    },
    vjp: (g, _y, _xs, attrs) => [apply(reader, [g], attrs)],
  };
  return [reader, writer];
}

const [takeRow] = pair('take', 'takeGrad');
const [gatherRow, scatterRow] = pair('gather', 'scatterAdd');

/** Slices of x along `dim`, at the given positions; positions may repeat. */
export const indexSelect: Op<(x: TensorLike, dim: number, index: IndexLike) => Tensor> = define(
  (x: TensorLike, dim: number, index: IndexLike): Tensor => {
    const t = asTensor('indexSelect', x);
    const at = checkDim('indexSelect', dim, t.ndim);
    const picked = asIndices('indexSelect', 'index', index, t.shape[at]!);
    if (picked.shape.length !== 1)
      throw shapeError('indexSelect', `index must have 1 dimension, got shape ${showShape(picked.shape)}`);
    return apply(takeRow, [t], { index: picked, dim: at, n: t.shape[at]! });
  },
  {
    samples: () => [
      { shapes: [[3, 4]], call: (x) => indexSelect(x, 1, [3, 0, 3]) },
      { shapes: [[3, 2]], call: (x) => indexSelect(x, 0, new Int32Array([2])) },
    ],
    errors: () => [
      [
        () => indexSelect([1, 2], 0, [2]),
        /indexSelect: index 2 at position 0 is not a whole number in \[0, 2\)/,
      ],
      [() => indexSelect([1, 2], 0, 'a' as never), /indexSelect: index must be an Int32Array.*got "a"/],
    ],
  },
  takeRow,
);

/** Rows of `weight` [count, width] at the given ids; the result has the ids' shape and then width. */
export const embedding: Op<(weight: TensorLike, index: IndexLike) => Tensor> = define(
  (weight: TensorLike, index: IndexLike): Tensor => {
    const w = asTensor('embedding', weight);
    if (w.ndim !== 2)
      throw shapeError('embedding', `weight must have 2 dimensions, got shape ${showShape(w.shape)}`);
    const ids = asIndices('embedding', 'id', index, w.shape[0]!);
    const flat = { storage: ids.storage, shape: [ids.storage.length] };
    return reshape(apply(takeRow, [w], { index: flat, dim: 0, n: w.shape[0]! }), [...ids.shape, w.shape[1]!]);
  },
  {
    samples: () => [
      {
        shapes: [[4, 3]],
        call: (w) =>
          embedding(w, [
            [0, 3],
            [3, 1],
          ]),
      },
    ],
    errors: () => [
      [
        () => embedding([[1], [2]], [0, -1]),
        /embedding: id -1 at position 1 is not a whole number in \[0, 2\)/,
      ],
    ],
  },
);

function checkedGather(where: string, shape: Shape, dim: number, index: IndexLike): Picking {
  const at = checkDim(where, dim, shape.length);
  const picked = asIndices(where, 'index', index, shape[at]!);
  const fits =
    picked.shape.length === shape.length && picked.shape.every((d, k) => k === at || d === shape[k]);
  if (!fits)
    throw shapeError(
      where,
      `index ${showShape(picked.shape)} must agree with ${showShape(shape)} outside dim ${dim}`,
    );
  return { index: picked, dim: at, n: shape[at]! };
}

/** y[i][j] = x[index[i][j]][j] for dim 0, and so on; index has x's sizes outside `dim`. */
export const gather: Op<(x: TensorLike, dim: number, index: IndexLike) => Tensor> = define(
  (x: TensorLike, dim: number, index: IndexLike): Tensor => {
    const t = asTensor('gather', x);
    return apply(gatherRow, [t], checkedGather('gather', t.shape, dim, index));
  },
  {
    samples: () => [
      {
        shapes: [[2, 3]],
        call: (x) =>
          gather(x, 1, [
            [0, 0],
            [2, 1],
          ]),
      },
      { shapes: [[3, 2]], call: (x) => gather(x, 0, [[2, 0]]) },
    ],
    errors: () => [
      [() => gather([[1, 2]], 1, [0]), /gather: index \[1\] must agree with \[1, 2\] outside dim 1/],
    ],
  },
  gatherRow,
);

/** x with src added at the given places of `dim`: y[index[i][j]][j] += src[i][j] for dim 0. Places may repeat. */
export const scatterAdd: Op<(x: TensorLike, dim: number, index: IndexLike, src: TensorLike) => Tensor> =
  define(
    (x: TensorLike, dim: number, index: IndexLike, src: TensorLike): Tensor => {
      const [t, s] = [asTensor('scatterAdd', x), asTensor('scatterAdd', src)];
      const attrs = checkedGather('scatterAdd', t.shape, dim, index);
      if (!sameShape(attrs.index.shape, s.shape))
        throw shapeError(
          'scatterAdd',
          `index ${showShape(attrs.index.shape)} and src ${showShape(s.shape)} differ`,
        );
      return add(t, apply(scatterRow, [s], attrs));
    },
    {
      samples: () => [
        {
          shapes: [
            [2, 3],
            [2, 2],
          ],
          call: (x, s) =>
            scatterAdd(
              x,
              1,
              [
                [0, 0],
                [2, 1],
              ],
              s,
            ),
        },
      ],
      errors: () => [
        [() => scatterAdd([1, 2], 0, [0], [1, 2]), /scatterAdd: index \[1\] and src \[2\] differ/],
      ],
    },
    scatterRow,
  );

/** x in the reverse order along each of `dims`. */
export const flip: Op<(x: TensorLike, dims: readonly number[]) => Tensor> = define(
  (x: TensorLike, dims: readonly number[]): Tensor => {
    let t = asTensor('flip', x);
    for (const dim of dims) {
      const n = t.shape[checkDim('flip', dim, t.ndim)] ?? 1;
      t = indexSelect(
        t,
        dim,
        Int32Array.from({ length: n }, (_, k) => n - 1 - k),
      );
    }
    return t;
  },
  { samples: () => [{ shapes: [[2, 3]], call: (x) => flip(x, [0, 1]) }] },
);

/** Rows shared with pooling: values of planes at saved positions, and its transpose. */
export { gatherRow as planeGather, scatterRow as planeScatter };
