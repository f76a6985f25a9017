// Reading a schedule over a range of steps, and comparing with a list.
import { expect } from 'vitest';
import type { Schedule } from '../../src/schedule/index.js';

/** 0, 1, ..., n - 1. */
export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** The rates at `steps`, or at the first so many. */
export const rates = (s: Schedule, steps: number | readonly number[]): number[] =>
  (typeof steps === 'number' ? range(steps) : steps).map((step) => s.at(step).lr);

/** The momenta at `steps`, or at the first so many. */
export const momenta = (s: Schedule, steps: number | readonly number[]): (number | undefined)[] =>
  (typeof steps === 'number' ? range(steps) : steps).map((step) => s.at(step).momentum);

/** Expects every value within `tolerance` of the largest expected one. */
export function expectClose(
  actual: readonly unknown[],
  expected: readonly number[],
  tolerance = 1e-12,
): void {
  expect(actual).toHaveLength(expected.length);
  const bound = tolerance * expected.reduce((most, e) => Math.max(most, Math.abs(e)), 0);
  const off = expected.flatMap((e, i) => {
    const gap = Math.abs((actual[i] as number) - e);
    return gap <= bound ? [] : [{ index: i, actual: actual[i], expected: e }]; // NaN is off too
  });
  expect(off).toEqual([]);
}
