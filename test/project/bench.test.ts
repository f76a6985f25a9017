// The benchmark's arithmetic: what is compared with what.
import { expect, it } from 'vitest';
import { changes, describeChanges } from '../../bench/compare.js';
import { limitOf, WORKING_SETS, type Limits } from '../../bench/limits.js';
import { rateOf } from '../../bench/report.js';
import type { Result, Work } from '../../bench/runner.js';

const rising = WORKING_SETS.map((_, k) => 100 - 10 * k);
const by = (divisor: number): number[] => rising.map((x) => x / divisor);
const limits: Limits = {
  flops: { avx2: { 1: 100, 2: 200 } },
  bandwidth: { 1: { read: rising, copy: by(2), triad: by(4), update: by(0.5) } },
  absent: [],
};

it('operations are held to the peak of their instruction set and threads', () => {
  const rate = { unit: 'GFLOP/s', amount: 1 } as const;
  expect(limitOf(rate, 'avx2', 2, limits)).toBe(200);
  expect(limitOf(rate, 'neon', 2, limits)).toBeUndefined();
});

it('bytes are held to the bandwidth at their working set', () => {
  const limit = (set: number, pattern: 'read' | 'write' | 'update'): number | undefined =>
    limitOf({ unit: 'GB/s', amount: 1, set, pattern }, 'any', 1, limits);
  expect(limit(WORKING_SETS[2]!, 'read')).toBe(80);
  expect(limit(WORKING_SETS[2]!, 'write')).toBe(40);
  expect(limit(WORKING_SETS[2]!, 'update')).toBe(160);
  expect(limit(1, 'read')).toBe(100);
  expect(limit(1e12, 'read')).toBe(30);
  expect(limit(Math.sqrt(WORKING_SETS[0]! * WORKING_SETS[1]!), 'read')).toBeCloseTo(95);
});

const result = (work: string, median: number, margin: number, peer = false): Result => ({
  ...{ work, side: peer ? 'peer' : 'native 1T', threads: 1, peer, isa: 'avx2' },
  ...{ median, least: median, margin, samples: 9 },
});

it('a figure is held to the peak of its own turns, and else to the one measured first', () => {
  const work: Work = {
    ...{ kind: 'product', args: [], name: 'product', rate: { unit: 'GFLOP/s', amount: 60 } },
    prepare: () => ({ run: () => undefined }),
  };
  const one = result('product', 1, 0.1);
  expect(rateOf(work, one, limits)).toEqual(['60.0 GFLOP/s', '60%']);
  expect(rateOf(work, { ...one, peak: 80 }, limits)).toEqual(['60.0 GFLOP/s', '75%']);
});

it('a change counts when it is larger than both margins together', () => {
  const old = [result('a', 2, 0.1), result('b', 1, 0.1), result('gone', 1, 0)];
  const now = [result('a', 1, 0.1), result('b', 1.15, 0.1), result('new', 1, 0)];
  expect(changes(old, now).map(({ work, ratio, certain }) => [work, ratio, certain])).toEqual([
    ['a', 2, true],
    ['b', 1 / 1.15, false],
  ]);
  expect(describeChanges(changes(old, now))).toMatch(/a +native 1T +2\.00× {2}faster\nb/);
  expect(describeChanges([])).toMatch(/Nothing to compare/);
});
