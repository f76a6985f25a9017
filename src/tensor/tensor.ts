// Tensor: a shape over a storage, and where it came from. Values never change behind a graph; what an optimizer or a
// buffer update changes in place bumps the storage's version, and a backward pass that needs the old values refuses.
import { currentScope, openScope } from '../memory/arena.js';
import { heap, type RealArray } from '../memory/heap.js';
import { Storage } from '../memory/storage.js';
import { watcher } from '../memory/watcher.js';
import { describe, shapeError, showShape, typeError } from './errors.js';
import type { Methods } from '../ops/methods.js';
import type { OpRow } from './op.js';
import { checkShape, sameShape, sizeOf, type Shape } from './shape.js';

/** How a tensor was computed. Ids rise as ops run, so descending id is a reverse topological order. */
export interface Node {
  readonly row: OpRow;
  /** Emptied when a backward pass frees the graph. */
  inputs: readonly Tensor[];
  readonly attrs: unknown;
  readonly id: number;
  readonly output: Tensor;
  /** Sum of the versions of the inputs' storages when the op ran. */
  readonly version: number;
}

export type Nested = number | readonly Nested[];
/** What an op takes as a tensor; only a Tensor carries gradients. */
export type TensorLike = Tensor | number | readonly Nested[] | Float32Array;

export interface TensorOptions {
  shape?: Shape;
  requiresGrad?: boolean;
}

/** The method of autodiff/backward.ts, which is a higher layer. */
export interface BackwardOptions {
  gradient?: TensorLike;
  retainGraph?: boolean;
  createGraph?: boolean;
}

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- methods are the ops, attached in ops/methods.ts
export class Tensor {
  /** Set by the op that made this tensor; null for leaves. */
  node: Node | null = null;
  /** Where an optimizer wants this parameter's gradient; see {@link Tensor.grad}. */
  gradSlot: Storage | null = null;
  private gradient: Tensor | null = null;
  private tracked = false;

  constructor(
    readonly storage: Storage,
    readonly shape: Shape,
  ) {}

  get size(): number {
    return this.storage.length;
  }

  get ndim(): number {
    return this.shape.length;
  }

  /** Whether gradients flow to or through this tensor. Can be set on leaves only. */
  get requiresGrad(): boolean {
    return this.tracked;
  }

  set requiresGrad(flag: boolean) {
    if (this.node && !flag) throw typeError('requiresGrad', 'only a leaf can be changed', 'use detach()');
    this.tracked = flag;
  }

  /**
   * The gradient that backward passes have summed, or null. Assigning copies the values; null makes an optimizer skip
   * this parameter in its next step.
   */
  get grad(): Tensor | null {
    return this.gradient;
  }

  set grad(value: Tensor | null) {
    if (value === null) {
      this.gradient = null;
      watcher?.gradCleared(this);
      return;
    }
    if (!(value instanceof Tensor))
      throw typeError('grad', `expected a Tensor or null, got ${describe(value)}`);
    if (!sameShape(value.shape, this.shape))
      throw shapeError(
        'grad',
        `shape ${showShape(value.shape)} does not fit a tensor of shape ${showShape(this.shape)}`,
      );
    if (this.gradSlot) {
      this.gradSlot.values().set(value.storage.values());
      this.gradSlot.touch();
      this.gradient = new Tensor(this.gradSlot, this.shape);
    } else this.gradient = new Tensor(Storage.of(value.storage.values().slice()), this.shape);
  }

  /** Makes `value` itself the gradient, without a copy. */
  adoptGrad(value: Tensor): void {
    this.gradient = value;
    watcher?.gradAdopted(this);
  }

  /** The only element. @throws ShapeError if there is not exactly one. */
  item(): number {
    if (this.size !== 1)
      throw shapeError('item', `needs one element, got shape ${showShape(this.shape)}`, 'use toArray()');
    return this.storage.values()[0]!;
  }

  /** Nested arrays of numbers (a number for shape []). A copy. */
  toArray(): Nested {
    const values = this.storage.values();
    const build = (dim: number, at: number, span: number): Nested => {
      if (dim === this.shape.length) return values[at]!;
      const step = span / this.shape[dim]!;
      return Array.from({ length: this.shape[dim]! }, (_, k) => build(dim + 1, at + k * step, step));
    };
    return build(0, 0, this.size);
  }

  /** The values in row-major order. A copy. */
  toFloat32Array(): Float32Array {
    return Float32Array.from(this.storage.values());
  }

  /** The same values without a graph; shares memory. */
  detach(): Tensor {
    return new Tensor(this.storage, this.shape);
  }

  /** Moves the values out of the step's memory, so that the tensor outlives its scope. Returns this tensor. */
  keep(): this {
    if (this.storage.scope) this.storage.settle();
    return this;
  }

  toString(): string {
    const values = JSON.stringify(
      this.size > 20 ? Array.from(this.storage.values().slice(0, 20)) : this.toArray(),
    );
    return `Tensor(${showShape(this.shape)}, ${this.size > 20 ? `${values.slice(0, -1)}, …]` : values})`;
  }
}

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export interface Tensor extends Methods {
  backward(options?: BackwardOptions): void;
}

/** An array for `n` reals of the width that the engine computes in. */
export const realArray = (n: number): RealArray =>
  heap.width === 4 ? new Float32Array(n) : new Float64Array(n);

/** A tensor over an ordinary array, not copied. */
export const wrap = (array: RealArray | Int32Array, shape: Shape): Tensor =>
  new Tensor(Storage.of(array), shape);

/** Runs `fn` in the current scope, or in one of its own whose tensors it saves. */
export function inSomeScope<T>(fn: () => T, saved: (result: T) => Iterable<Storage>): T {
  if (currentScope()) return fn();
  const scope = openScope();
  try {
    const result = fn();
    for (const storage of saved(result)) storage.leaveHeap();
    return result;
  } finally {
    scope.end();
  }
}

/** An uninitialised tensor in the current scope. */
export const blank = (shape: Shape): Tensor => new Tensor(Storage.inScope(sizeOf(shape)), shape);

function shapeOfNested(where: string, value: Nested): number[] {
  const shape: number[] = [];
  for (let v: Nested = value; Array.isArray(v); v = v[0] as Nested) {
    shape.push(v.length);
    if (v.length === 0) break;
  }
  return checkShape(where, shape) as number[];
}

function fillNested(
  where: string,
  value: Nested,
  shape: Shape,
  dim: number,
  out: RealArray,
  at: number,
): number {
  if (dim === shape.length) {
    if (typeof value !== 'number')
      throw typeError(where, `expected a number at depth ${dim}, got ${describe(value)}`);
    out[at] = value;
    return at + 1;
  }
  if (!Array.isArray(value) || value.length !== shape[dim])
    throw shapeError(
      where,
      `ragged array: expected length ${shape[dim]} at depth ${dim}, got ${describe(value)}`,
    );
  for (const v of value) at = fillNested(where, v as Nested, shape, dim + 1, out, at);
  return at;
}

/** `value` as a tensor; arrays are copied. */
export function asTensor(where: string, value: TensorLike): Tensor {
  if (value instanceof Tensor) return value;
  if (typeof value === 'number') {
    const cell = realArray(1);
    cell[0] = value;
    return wrap(cell, []);
  }
  if (value instanceof Float32Array || (value as unknown) instanceof Float64Array) {
    const copy = realArray((value as Float32Array).length);
    copy.set(value as Float32Array);
    return new Tensor(Storage.of(copy, { from: value }), [copy.length]);
  }
  if (!Array.isArray(value))
    throw typeError(
      where,
      `expected a Tensor, a number, nested arrays or a Float32Array, got ${describe(value)}`,
    );
  const shape = shapeOfNested(where, value as Nested);
  const make = (nested: Nested): RealArray => {
    const out = realArray(sizeOf(shape));
    fillNested(where, nested, shape, 0, out, 0);
    return out;
  };
  return new Tensor(Storage.of(make(value as Nested), { from: value, make }), shape);
}
