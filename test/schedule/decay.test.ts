// Closed forms that the golden traces do not cover: ends, options of ours, and long runs.
import { describe, expect, test } from 'vitest';
import * as schedule from '../../src/schedule/index.js';
import { expectClose, momenta, range, rates } from './trace.js';

describe('the plain schedules', () => {
  test('constant without options stays', () => {
    expect(rates(schedule.constant({ lr: 0.3 }), [0, 1, 1e9])).toEqual([0.3, 0.3, 0.3]);
  });

  test('step drops at whole multiples and not before, also between two steps', () => {
    const s = schedule.step({ lr: 8, stepSize: 3, gamma: 0.5 });
    expect(rates(s, [0, 2, 2.99, 3, 5.5, 6, 30])).toEqual([8, 8, 8, 4, 4, 2, 8 / 1024]);
  });

  test('multiStep drops at its milestones, also when the list is changed afterwards', () => {
    const milestones = [2, 5];
    const s = schedule.multiStep({ lr: 8, milestones, gamma: 0.5 });
    milestones[0] = 100;
    expect(rates(s, [0, 1, 1.5, 2, 4, 5, 1e6])).toEqual([8, 8, 8, 4, 4, 2, 2]);
  });

  test('exponential takes fractional steps and growing factors', () => {
    expectClose(rates(schedule.exponential({ lr: 1, gamma: 4 }), [0, 0.5, 1, 3]), [1, 2, 4, 64]);
  });

  test('polynomial ends at etaMin and stays there', () => {
    const s = schedule.polynomial({ lr: 1, totalIters: 4, power: 2, etaMin: 0.2 });
    expectClose(rates(s, 6), [1, 0.65, 0.4, 0.25, 0.2, 0.2]);
    expect(s.at(4).lr).toBe(0.2);
  });

  test('linear goes up by default and down on request', () => {
    expectClose(rates(schedule.linear({ lr: 3, totalIters: 4 }), 6), [1, 1.5, 2, 2.5, 3, 3]);
    const down = schedule.linear({ lr: 3, totalIters: 3, startFactor: 1, endFactor: 0 });
    expectClose(rates(down, 5), [3, 2, 1, 0, 0]);
  });

  test('cosine rises again after TMax unless told to hold', () => {
    const options = { lr: 1, TMax: 4, etaMin: 0.2 };
    expectClose(rates(schedule.cosine(options), [0, 2, 4, 6, 8]), [1, 0.6, 0.2, 0.6, 1]);
    expectClose(
      rates(schedule.cosine({ ...options, after: 'hold' }), [0, 2, 4, 6, 8]),
      [1, 0.6, 0.2, 0.2, 0.2],
    );
  });

  test('cosine stays exact over many periods', () => {
    const s = schedule.cosine({ lr: 0.1, TMax: 13, etaMin: 0.004 });
    for (const k of [1, 10, 1e6, 1e12]) expect([s.at(26 * k).lr, s.at(26 * k + 13).lr]).toEqual([0.1, 0.004]);
  });

  test('a rate of 0 is allowed and stays 0', () => {
    expect(rates(schedule.cosine({ lr: 0, TMax: 5 }), 12)).toEqual(range(12).map(() => 0));
  });
});

describe('the schedules with a warm-up', () => {
  test('warmup rises to a number and stays', () => {
    const s = schedule.warmup({ lr: 1, warmupSteps: 4, startLr: 0.2 });
    expectClose(rates(s, [0, 1, 2, 4, 9]), [0.2, 0.4, 0.6, 1, 1]);
  });

  test('warmup hands over to a schedule at its step 0, momentum included', () => {
    const after = schedule.cyclic({
      baseLr: 1,
      maxLr: 3,
      stepSizeUp: 2,
      baseMomentum: 0.5,
      maxMomentum: 0.9,
    });
    const s = schedule.warmup({ lr: after, warmupSteps: 2 });
    expectClose(rates(s, 7), [0, 0.5, 1, 2, 3, 2, 1]);
    expectClose(momenta(s, 5), [0.9, 0.9, 0.9, 0.7, 0.5]);
  });

  test('warmup with no steps is what it leads to', () => {
    const after = schedule.step({ lr: 1, stepSize: 2 });
    expect(rates(schedule.warmup({ lr: after, warmupSteps: 0 }), 9)).toEqual(rates(after, 9));
  });

  test('warmupCosine equals warmup of a cosine that holds', () => {
    const whole = schedule.warmupCosine({
      lr: 0.3,
      startLr: 0.03,
      warmupSteps: 5,
      totalSteps: 40,
      etaMin: 0.003,
    });
    const tail = schedule.cosine({ lr: 0.3, TMax: 35, etaMin: 0.003, after: 'hold' });
    expectClose(rates(whole, 120), rates(schedule.warmup({ lr: tail, startLr: 0.03, warmupSteps: 5 }), 120));
    expect(whole.at(40).lr).toBe(0.003);
  });

  test('noam has its peak one step before warmupSteps, and is inverseSqrt shifted by one', () => {
    const s = schedule.noam({ dModel: 64, warmupSteps: 10 });
    expect(s.at(9).lr).toBeCloseTo(1 / Math.sqrt(640), 15);
    const shifted = schedule.inverseSqrt({ lr: s.at(9).lr, warmupSteps: 10 });
    expectClose(rates(s, 30), rates(shifted, range(31).slice(1)));
  });

  test('inverseSqrt joins its two branches at the peak', () => {
    const s = schedule.inverseSqrt({ lr: 0.5, warmupSteps: 4 });
    expectClose(rates(s, [0, 2, 4, 16, 64]), [0, 0.25, 0.5, 0.25, 0.125]);
  });

  test.each([
    ['linear', 0.75],
    ['cosine', (1 + Math.SQRT1_2) / 2],
    ['sqrt', 0.5],
  ] as const)('wsd with %s decay has %d of the way left after a quarter', (decayType, left) => {
    const s = schedule.wsd({ lr: 1, warmupSteps: 2, stableSteps: 3, decaySteps: 4, decayType, etaMin: 0.1 });
    expectClose(rates(s, [0, 1, 2, 4, 5, 6, 9, 99]), [0, 0.5, 1, 1, 1, 0.1 + 0.9 * left, 0.1, 0.1]);
  });

  test('wsd may lack any of its parts', () => {
    const none = { lr: 1, warmupSteps: 0, stableSteps: 0, decaySteps: 0 };
    expect(rates(schedule.wsd(none), 3)).toEqual([0, 0, 0]);
    expect(rates(schedule.wsd({ ...none, stableSteps: 2 }), 4)).toEqual([1, 1, 0, 0]);
    expect(rates(schedule.wsd({ ...none, decaySteps: 2 }), 4)).toEqual([1, 0.5, 0, 0]);
    expect(rates(schedule.wsd({ ...none, warmupSteps: 2 }), 4)).toEqual([0, 0.5, 0, 0]);
  });
});
