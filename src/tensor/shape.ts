// Shapes: sizes, strides, dimensions and broadcasting. Pure functions; every error names the op and the shapes.
import { describe, rangeError, shapeError, showShape, typeError } from './errors.js';

export type Shape = readonly number[];

// The small ones are asked several times an op, so they are loops: a callback would be garbage of every call.

/** Number of elements, of dimensions `from … to` if they are given. */
export function sizeOf(shape: Shape, from = 0, to = shape.length): number {
  let n = 1;
  for (let k = from; k < to; k++) n *= shape[k]!;
  return n;
}

/** [n, c, positions] of [n, c, …]. */
export function planesOf(shape: Shape): [number, number, number] {
  return [shape[0]!, shape[1]!, sizeOf(shape, 2)];
}

export function sameShape(a: Shape, b: Shape): boolean {
  if (a.length !== b.length) return false;
  for (let k = 0; k < a.length; k++) if (a[k] !== b[k]) return false;
  return true;
}

/** Row-major strides in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let k = shape.length - 1; k >= 0; k--) {
    strides[k] = step;
    step *= shape[k]!;
  }
  return strides;
}

/** Checks a shape given by a user: whole sizes, not negative, with a product that an array can hold. */
export function checkShape(where: string, shape: unknown): Shape {
  const list = typeof shape === 'number' ? [shape] : shape;
  if (!Array.isArray(list) || !list.every((d) => Number.isSafeInteger(d) && (d as number) >= 0))
    throw shapeError(
      where,
      `a shape is an array of whole numbers >= 0, got ${Array.isArray(list) ? showShape(list as number[]) : describe(list)}`,
    );
  const size = sizeOf(list as number[]);
  if (size > 2 ** 30)
    throw shapeError(where, `shape ${showShape(list as number[])} has ${size} elements, more than 2^30`);
  return list as Shape;
}

/** A dimension as an index from the front; negative ones count from the back. */
export function checkDim(where: string, dim: number, ndim: number): number {
  const n = Math.max(ndim, 1);
  if (!Number.isInteger(dim) || dim < -n || dim >= n)
    throw rangeError(
      where,
      `dim ${describe(dim)} is outside [${-n}, ${n - 1}] for a tensor of ${ndim} dimensions`,
    );
  return dim < 0 ? dim + n : dim;
}

export type Dims = number | readonly number[] | null | undefined;

/** Dimensions sorted from the front; null or undefined means all. */
export function checkDims(where: string, dims: Dims, ndim: number): number[] {
  if (dims === null || dims === undefined) return Array.from({ length: ndim }, (_, k) => k);
  if (typeof dims !== 'number' && !Array.isArray(dims))
    throw typeError(
      where,
      `dim must be a number, an array of numbers or null, got ${describe(dims)}`,
      'options come after it',
    );
  const list = (typeof dims === 'number' ? [dims] : [...(dims as readonly number[])]).map((d) =>
    checkDim(where, d, ndim),
  );
  if (list.length > 1 && new Set(list).size !== list.length)
    throw rangeError(where, `dims ${showShape(list)} name a dimension twice`);
  return list.filter((d) => d < ndim).sort((a, b) => a - b);
}

/** The shape that two shapes broadcast to, aligned at their last dimensions. */
export function broadcastShapes(where: string, a: Shape, b: Shape): Shape {
  if (sameShape(a, b)) return a;
  const n = Math.max(a.length, b.length);
  return Array.from({ length: n }, (_, k) => {
    const [p, q] = [a[k - n + a.length] ?? 1, b[k - n + b.length] ?? 1];
    if (p !== q && p !== 1 && q !== 1)
      throw shapeError(
        where,
        `shapes do not broadcast, lhs ${showShape(a)}, rhs ${showShape(b)}`,
        'sizes must be equal or 1, counted from the last dimension',
      );
    return p === 1 ? q : p;
  });
}

/** Whether strides visit memory from front to back without a gap. */
export function areDense(sizes: readonly number[], strides: readonly number[]): boolean {
  let step = 1;
  for (let k = sizes.length - 1; k >= 0; k--) {
    if (sizes[k] !== 1 && strides[k] !== step) return false;
    step *= sizes[k]!;
  }
  return true;
}

/** Strides that read a tensor of `shape` as if it had shape `as`: 0 where it is repeated. */
export function broadcastStrides(shape: Shape, as: Shape): number[] {
  const strides = stridesOf(shape);
  const lead = as.length - shape.length;
  return as.map((_, k) => (k < lead || shape[k - lead] === 1 ? 0 : strides[k - lead]!));
}

/**
 * Merges neighbouring dimensions that every operand walks through as one, and drops those of size 1; then adds
 * dimensions of size 1 in front until there are at least `rank`. Rows of `strides` are operands.
 */
export function collapse(
  sizes: Shape,
  strides: number[][],
  rank: number,
): { sizes: number[]; strides: number[][] } {
  const kept: number[] = [];
  const steps: number[][] = strides.map(() => []);
  for (let k = 0; k < sizes.length; k++) {
    const d = sizes[k]!;
    if (d === 1) continue;
    const last = kept.length - 1;
    if (last >= 0 && strides.every((s, i) => steps[i]![last] === s[k]! * d)) {
      kept[last]! *= d;
      strides.forEach((s, i) => (steps[i]![last] = s[k]!));
    } else {
      kept.push(d);
      strides.forEach((s, i) => steps[i]!.push(s[k]!));
    }
  }
  while (kept.length < rank) {
    kept.unshift(1);
    for (const s of steps) s.unshift(0);
  }
  return { sizes: kept, strides: steps };
}
