// The arguments of a recorded call. Tensors, typed arrays and nested arrays of numbers are its inputs: a replay takes their
// values, whatever they are, as long as their shapes are the recorded ones. All else must be the very same value.
import type { Cells, Storage } from '../memory/storage.js';
import { sameShape, type Shape } from '../tensor/shape.js';
import { Tensor, type Nested } from '../tensor/tensor.js';

type TypedArray = Float32Array | Float64Array | Int32Array;
/** An argument, or a part of one, whose values may differ from call to call. */
export type Input = Tensor | TypedArray | readonly Nested[];

/** What calls have in common that one plan serves. */
export type Mould =
  | { readonly kind: 'tensor'; readonly shape: Shape; readonly of: Storage['kind']; readonly twin: number }
  | {
      readonly kind: 'array';
      readonly make: unknown;
      readonly length: number;
      readonly twin: number;
    }
  | { readonly kind: 'numbers'; readonly shape: Shape; readonly twin: number }
  | { readonly kind: 'list'; readonly items: readonly Mould[] }
  | { readonly kind: 'record'; readonly keys: readonly string[]; readonly items: readonly Mould[] }
  | { readonly kind: 'same'; readonly value: unknown };

const isTyped = (value: unknown): value is TypedArray =>
  value instanceof Float32Array || value instanceof Int32Array || value instanceof Float64Array;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;

/** The object that holds the values: two inputs with one home have the same values. */
export const homeOf = (input: Input): object => (input instanceof Tensor ? input.storage : input);

/** The values for the kernels; nested arrays have none of their own. */
export const valuesOf = (input: Input): Cells | readonly Nested[] =>
  input instanceof Tensor ? input.storage.peek() : input;

/** Shape of nested arrays of numbers, or null for anything else. */
function shapeOf(value: unknown): number[] | null {
  if (typeof value === 'number') return [];
  if (!Array.isArray(value) || value.length === 0) return null;
  const first = shapeOf(value[0]);
  return first && value.every((v) => sameShape(shapeOf(v) ?? [-1], first)) ? [value.length, ...first] : null;
}

/** The first input with the same home, or -1. */
function twinOf(input: Input, inputs: readonly Input[]): number {
  const home = homeOf(input);
  for (let k = 0; k < inputs.length; k++) if (homeOf(inputs[k]!) === home) return k;
  return -1;
}

/** The mould of a value; adds its inputs to `inputs`. */
export function mouldOf(value: unknown, inputs: Input[]): Mould {
  const taken = (input: Input): number => {
    const twin = twinOf(input, inputs);
    inputs.push(input);
    return twin;
  };
  // A tensor with gradients is a variable of the program, not data.
  if (value instanceof Tensor && !value.requiresGrad)
    return { kind: 'tensor', shape: value.shape, of: value.storage.kind, twin: taken(value) };
  if (isTyped(value))
    return { kind: 'array', make: value.constructor, length: value.length, twin: taken(value) };
  if (Array.isArray(value)) {
    const shape = shapeOf(value);
    if (shape) return { kind: 'numbers', shape, twin: taken(value as Nested[]) };
    return { kind: 'list', items: value.map((v) => mouldOf(v, inputs)) };
  }
  if (isRecord(value)) {
    const keys = Object.keys(value);
    return { kind: 'record', keys, items: keys.map((key) => mouldOf(value[key], inputs)) };
  }
  return { kind: 'same', value };
}

/** Adds an input; false if it is not the twin that it was. */
function take(input: Input, twin: number, inputs: Input[]): boolean {
  const same = twinOf(input, inputs) === twin;
  inputs.push(input);
  return same;
}

/** Whether all of these values are of their moulds. */
function allFit(moulds: readonly Mould[], values: readonly unknown[], inputs: Input[]): boolean {
  if (values.length !== moulds.length) return false;
  for (let k = 0; k < moulds.length; k++) if (!fits(moulds[k]!, values[k], inputs)) return false;
  return true;
}

/** Whether a value is of this mould; adds its inputs to `inputs` in the mould's order. Every step of a loop comes here. */
export function fits(mould: Mould, value: unknown, inputs: Input[]): boolean {
  switch (mould.kind) {
    case 'tensor':
      return (
        value instanceof Tensor &&
        !value.requiresGrad &&
        value.storage.kind === mould.of &&
        sameShape(value.shape, mould.shape) &&
        take(value, mould.twin, inputs)
      );
    case 'array':
      return (
        isTyped(value) &&
        value.constructor === mould.make &&
        value.length === mould.length &&
        take(value, mould.twin, inputs)
      );
    case 'numbers': {
      const shape = Array.isArray(value) ? shapeOf(value) : null;
      return shape !== null && sameShape(shape, mould.shape) && take(value as Nested[], mould.twin, inputs);
    }
    case 'list':
      return Array.isArray(value) && allFit(mould.items, value, inputs);
    case 'record':
      return (
        isRecord(value) &&
        Object.keys(value).length === mould.keys.length &&
        mould.keys.every((key, k) => Object.hasOwn(value, key) && fits(mould.items[k]!, value[key], inputs))
      );
    case 'same':
      return Object.is(mould.value, value);
  }
}
