// How constructors read their arguments; one field an option, as in schedules.
import { checkNumber, describe, rangeError } from '../tensor/errors.js';
import type { Pair } from '../ops/conv.js';
import type { Field } from '../schedule/fields.js';

export { choice, flag, number, readOptions } from '../schedule/fields.js';

/** A count of channels, features or groups: a whole number >= 1. */
export const positive = (where: string, name: string, value: unknown): number =>
  checkNumber(where, name, value, { min: 1, integer: true });

/** A whole number >= `min`. */
export const whole =
  (min: number, fallback: number): Field<number> =>
  (where, name, value) =>
    checkNumber(where, name, value ?? fallback, { min, integer: true });

/** Returns a whole number >= `min`, or a pair of them, as a pair (height, width). */
export function checkPair(
  where: string,
  name: string,
  value: unknown,
  min: number,
): readonly [number, number] {
  const pair: unknown = typeof value === 'number' ? [value, value] : value;
  if (Array.isArray(pair) && pair.length === 2 && pair.every((v) => Number.isInteger(v) && v >= min))
    return Object.freeze(pair.slice()) as readonly unknown[] as readonly [number, number];
  const got = Array.isArray(value) ? JSON.stringify(value) : describe(value);
  throw rangeError(where, `${name} must be a whole number >= ${min} or a pair of them, got ${got}`);
}

/** {@link checkPair} with a default. */
export const pair =
  (min: number, fallback: Pair): Field<readonly [number, number]> =>
  (where, name, value) =>
    checkPair(where, name, value ?? fallback, min);

/** `3` for [3, 3], `[3, 5]` otherwise. */
export const showPair = ([a, b]: readonly [number, number]): string => (a === b ? `${a}` : `[${a}, ${b}]`);

/** `, { stride: 2 }`: the options that differ from their defaults, as a constructor would be given them. */
export function showOptions(
  entries: Readonly<Record<string, readonly [value: unknown, fallback: unknown]>>,
): string {
  const told = Object.entries(entries)
    .map(([name, [value, fallback]]) => ({ name, value: text(value), fallback: text(fallback) }))
    .filter(({ value, fallback }) => value !== fallback)
    .map(({ name, value }) => `${name}: ${value}`);
  return told.length > 0 ? `, { ${told.join(', ')} }` : '';
}

const text = (value: unknown): string =>
  Array.isArray(value) ? showPair(value as unknown as readonly [number, number]) : JSON.stringify(value);
