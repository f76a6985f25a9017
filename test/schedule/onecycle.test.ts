import { describe, expect, test } from 'vitest';
import { oneCycle, type OneCycleOptions } from '../../src/schedule/index.js';
import { expectClose, momenta, range, rates } from './trace.js';

const linear: OneCycleOptions = {
  maxLr: 25,
  totalSteps: 10,
  divFactor: 25,
  annealStrategy: 'linear',
  baseMomentum: 1,
  maxMomentum: 22,
};

describe('oneCycle', () => {
  test('two linear phases end at the boundaries of PyTorch', () => {
    const s = oneCycle({ ...linear, pctStart: 0.3, finalDivFactor: 2 });
    expectClose(rates(s, 10), [1, 13, 25, 21.5, 18, 14.5, 11, 7.5, 4, 0.5]);
    expectClose(momenta(s, 10), [22, 11.5, 1, 4, 7, 10, 13, 16, 19, 22]);
  });

  test('three linear phases rise, fall back and fade', () => {
    const s = oneCycle({ ...linear, pctStart: 0.4, finalDivFactor: 4, threePhase: true });
    expectClose(rates(s, 10), [1, 9, 17, 25, 17, 9, 1, 0.75, 0.5, 0.25]);
    expectClose(momenta(s, 10), [22, 15, 8, 1, 8, 15, 22, 22, 22, 22]);
  });

  test('the default of 10 steps peaks at step 2, not later as in optax', () => {
    const fourth = 4e-6 + ((1 - 4e-6) / 2) * (1 + Math.cos(Math.PI / 7)); // 0.950
    expectClose(rates(oneCycle({ maxLr: 1, totalSteps: 10 }), 4), [0.04, 0.52, 1, fourth]);
  });

  test('the peak and the end are hit exactly', () => {
    const s = oneCycle({ maxLr: 0.7, totalSteps: 10 });
    expect(s.at(2)).toEqual({ lr: 0.7, momentum: 0.85 });
    expect(s.at(9)).toEqual({ lr: 0.7 / 25 / 1e4, momentum: 0.95 });
  });

  test('from totalSteps on the last value stays, where PyTorch jumps up once and then throws', () => {
    const s = oneCycle({ maxLr: 1, totalSteps: 10 });
    const last = s.at(9);
    expect(last.lr).toBeCloseTo(4e-6, 18);
    for (const step of [9.5, 10, 11, 12, 1e9]) expect(s.at(step)).toEqual(last);
  });

  test('a rise that ends on step 0 starts at the peak, where PyTorch divides by zero', () => {
    const s = oneCycle({ maxLr: 1, totalSteps: 10, pctStart: 0.1, annealStrategy: 'linear' });
    expect(s.at(0)).toEqual({ lr: 1, momentum: 0.85 });
    expectClose(rates(s, [3, 9]), [(2 + 4e-6) / 3, 4e-6]);
  });

  test('a rise shorter than a step starts at the peak, where PyTorch starts below it', () => {
    const expected = rates(oneCycle({ maxLr: 1, totalSteps: 10, pctStart: 0.1 }), 10);
    for (const pctStart of [0, 0.05]) {
      expect(rates(oneCycle({ maxLr: 1, totalSteps: 10, pctStart }), 10)).toEqual(expected);
    }
    expect(expected[0]).toBe(1);
  });

  test('a single step is taken at the peak, where PyTorch takes the minimum', () => {
    for (const pctStart of [0, 0.3, 1]) {
      const s = oneCycle({ maxLr: 0.5, totalSteps: 1, pctStart });
      expect([s.at(0), s.at(1)]).toEqual([s.at(0), s.at(0)]);
      expect(s.at(0)).toEqual({ lr: 0.5, momentum: 0.85 });
    }
  });

  test('pctStart 1 rises all the way and stays at the peak', () => {
    const s = oneCycle({ ...linear, maxLr: 4, divFactor: 4, totalSteps: 4, pctStart: 1 });
    expectClose(rates(s, 6), [1, 2, 3, 4, 4, 4]);
  });

  test('finalDivFactor divides the initial rate, or on request the peak as in fastai', () => {
    const options = { maxLr: 0.1, totalSteps: 100, divFactor: 20, finalDivFactor: 1e5 };
    expect(oneCycle(options).at(99).lr).toBeCloseTo(0.1 / 20 / 1e5, 20);
    expect(oneCycle({ ...options, finalRelativeTo: 'max' }).at(99).lr).toBeCloseTo(1e-6, 18);
  });

  test('no option gives a value that is not finite or outside the bounds', () => {
    for (const totalSteps of [1, 2, 3, 7, 10])
      for (const pctStart of [0, 0.01, 0.1, 0.25, 0.3, 0.5, 0.75, 1])
        for (const threePhase of pctStart <= 0.5 ? [false, true] : [false])
          for (const annealStrategy of ['cos', 'linear'] as const) {
            const s = oneCycle({ maxLr: 1, totalSteps, pctStart, threePhase, annealStrategy });
            for (const step of range(3 * totalSteps).flatMap((i) => [i, i + 0.5])) {
              const { lr, momentum } = s.at(step);
              expect(
                lr >= 4e-6 * (1 - 1e-12) && lr <= 1,
                `${JSON.stringify(s.options)} at ${step}: ${lr}`,
              ).toBe(true);
              expect(momentum! >= 0.85 - 1e-12 && momentum! <= 0.95 + 1e-12).toBe(true);
            }
          }
  });

  test('momentum is left alone when cycleMomentum is false', () => {
    expect(oneCycle({ maxLr: 1, totalSteps: 10, cycleMomentum: false }).at(2)).toEqual({ lr: 1 });
  });

  test('three phases do not fit when the first takes more than half', () => {
    expect(() => oneCycle({ maxLr: 1, totalSteps: 10, pctStart: 0.6, threePhase: true })).toThrow(
      'schedule.oneCycle: pctStart must be at most 0.5 with threePhase, got 0.6',
    );
  });
});
