// The benchmark's arithmetic: what is compared with what.
import { expect, it } from 'vitest';
import { limitOf, WORKING_SETS, type Limits } from '../../bench/limits.js';

const rising = WORKING_SETS.map((_, k) => 100 - 10 * k);
const limits: Limits = {
  flops: { avx2: { 1: 100, 2: 200 } },
  bandwidth: { 1: { read: rising, copy: rising.map((x) => x / 2), triad: rising.map((x) => x / 4) } },
  absent: [],
};

it('operations are held to the peak of their instruction set and threads', () => {
  const rate = { unit: 'GFLOP/s', amount: 1 } as const;
  expect(limitOf(rate, 'avx2', 2, limits)).toBe(200);
  expect(limitOf(rate, 'neon', 2, limits)).toBeUndefined();
});

it('bytes are held to the bandwidth at their working set', () => {
  const limit = (set: number, reads: boolean): number | undefined =>
    limitOf({ unit: 'GB/s', amount: 1, set, reads }, 'any', 1, limits);
  expect(limit(WORKING_SETS[2]!, true)).toBe(80);
  expect(limit(WORKING_SETS[2]!, false)).toBe(40);
  expect(limit(1, true)).toBe(100);
  expect(limit(1e12, true)).toBe(30);
  expect(limit(Math.sqrt(WORKING_SETS[0]! * WORKING_SETS[1]!), true)).toBeCloseTo(95);
});
