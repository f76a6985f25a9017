import { describe, expect, test } from 'vitest';
import * as schedule from '../../src/schedule/index.js';
import { expectClose, range, rates } from './trace.js';

const { lossDiverged, lrFinder, smoothLosses, suggestLr } = schedule;

/** Losses against rates 1, 10, 100, ... */
const decades = (losses: number[]): [number, number][] => losses.map((loss, i) => [10 ** i, loss]);
const all = { skipStart: 0, skipEnd: 0 };

describe('lrFinder', () => {
  test('it sweeps from 1e-7 to 10 in 100 steps by one factor, and stays', () => {
    const s = lrFinder();
    const lrs = rates(s, 100);
    expect([lrs[0], lrs[99], s.at(1000).lr]).toEqual([1e-7, 10, 10]);
    const factor = 1e8 ** (1 / 99);
    for (let i = 1; i < 100; i++) expect(lrs[i]! / lrs[i - 1]!).toBeCloseTo(factor, 12);
  });

  test('its ends and length are options', () => {
    expectClose(
      rates(lrFinder({ startLr: 1, endLr: 1000, totalSteps: 4 }), 6),
      [1, 10, 100, 1000, 1000, 1000],
    );
  });

  test.each([
    [{ startLr: 1, endLr: 1 }, 'schedule.lrFinder: startLr must be less than endLr, got 1 and 1'],
    [{ startLr: 0 }, 'schedule.lrFinder: startLr must be a finite number > 0, got 0'],
    [{ totalSteps: 1 }, 'schedule.lrFinder: totalSteps must be an integer >= 2, got 1'],
  ])('it refuses %j', (options, message) => {
    expect(() => lrFinder(options)).toThrow(message);
  });
});

describe('lossDiverged', () => {
  test('more than four times the best is divergence', () => {
    expect(lossDiverged([])).toBe(false);
    expect(lossDiverged([3, 2, 8])).toBe(false);
    expect(lossDiverged([3, 2, 8.01])).toBe(true);
    expect(lossDiverged([3, 2, 4.1], 2)).toBe(true);
  });

  test('a negative best leaves as much room as a positive one', () => {
    expect(lossDiverged([-2])).toBe(false);
    expect(lossDiverged([-2, 3.9])).toBe(false);
    expect(lossDiverged([-2, 4.1])).toBe(true);
  });

  test('a loss that is not finite is divergence', () => {
    for (const loss of [NaN, Infinity]) expect(lossDiverged([1, loss])).toBe(true);
    expect(lossDiverged([1, NaN, 5])).toBe(true);
    expect(lossDiverged([NaN, 1, 3])).toBe(false);
  });
});

describe('smoothLosses', () => {
  test('the mean is free of bias from the first loss on', () => {
    expectClose(smoothLosses([3, 3, 3]), [3, 3, 3]);
    expectClose(smoothLosses([1, 4], 0.5), [1, 3]);
    expect(smoothLosses([5, 1, 7], 0)).toEqual([5, 1, 7]);
  });
});

describe('suggestLr', () => {
  test('valley goes two thirds down the longest descent, as fastai counts it', () => {
    // longest decreasing subsequence 9 8 7 5 4 3 (6 records) ends at index 7: start 1, then 2 + 1
    expect(suggestLr(decades([10, 9, 8, 7, 7.5, 5, 4, 3, 6]).slice(1), all)).toBe(1e4);
  });

  test('valley takes the first of equally long descents', () => {
    expect(suggestLr(decades([3, 2, 1, 6, 5, 4]), all)).toBe(10 ** 0);
    expect(suggestLr(decades([7, 7, 7, 7, 3, 2, 1, 9]), all)).toBe(10 ** 3);
  });

  test('steep finds the rate before the largest fall per decade', () => {
    expect(suggestLr(decades([10, 9, 4, 3, 20]), { ...all, method: 'steep' })).toBe(10);
    const uneven: [number, number][] = [
      [1, 10],
      [1000, 4], // -2 per decade
      [10_000, 1], // -3 per decade
    ];
    expect(suggestLr(uneven, { ...all, method: 'steep' })).toBe(1000);
  });

  test('both find the slope of a smooth sweep', () => {
    const s = lrFinder();
    const loss = (lr: number) => 2.3 - 1.8 / (1 + 1e-2 / lr) + (lr / 0.5) ** 4;
    const records = range(100).map((i): [number, number] => [s.at(i).lr, loss(s.at(i).lr)]);
    const steep = suggestLr(records, { method: 'steep' });
    expect(steep).toBeGreaterThan(3e-3);
    expect(steep).toBeLessThan(3e-2);
    const valley = suggestLr(records);
    expect(valley).toBeGreaterThan(1e-5);
    expect(valley).toBeLessThan(1e-1);
  });

  test('losses that are not finite are left out', () => {
    const records = decades([10, 9, NaN, 4, 3, Infinity]);
    expect(suggestLr(records, { ...all, method: 'steep' })).toBe(10);
  });

  test('the first ten and the last five records do not count unless asked for', () => {
    const lrs = rates(lrFinder({ totalSteps: 30 }), 30);
    const records = lrs.map((lr, i): [number, number] => [
      lr,
      i === 0 ? 100 : i === 29 ? -100 : 50 - (i === 20 ? 5 : 0),
    ]);
    expect(suggestLr(records, { method: 'steep' })).toBe(lrs[19]);
    expect(suggestLr(records, { method: 'steep', skipStart: 0 })).toBe(lrs[0]);
    expect(suggestLr(records, { method: 'steep', skipEnd: 0 })).toBe(lrs[28]);
  });

  test.each(['valley', 'steep'] as const)('%s finds nothing where the loss only grows', (method) => {
    expect(() => suggestLr(decades([1, 2, 3]), { ...all, method })).toThrow(
      'schedule.suggestLr: the loss falls nowhere, so no rate can be suggested',
    );
  });

  test.each([
    [
      decades([3, 2, 1]),
      {},
      'schedule.suggestLr: 3 records leave 0 after skipStart 10 and skipEnd 5; record more steps or skip fewer',
    ],
    [
      [
        [1, 2],
        [1, 1],
      ],
      all,
      'schedule.suggestLr: the rate of records[1] must be a finite number > 1, got 1',
    ],
    [[[1, 2], 3], all, 'schedule.suggestLr: records[1] must be [lr, loss], got 3'],
    ['none', all, 'schedule.suggestLr: records must be an array, got "none"'],
    [decades([2, 1]), { ...all, method: 'valey' }, 'method must be one of "valley", "steep", got "valey"'],
    [decades([2, 1]), { skipstart: 0 }, 'unknown option "skipstart"; did you mean "skipStart"?'],
  ])('it refuses records %j with %j', (records, options, message) => {
    expect(() => suggestLr(records as never, options as never)).toThrow(message);
  });
});
