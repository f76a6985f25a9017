import { describe, expect, test } from 'vitest';
import { plateau, type Plateau, type PlateauState } from '../../src/schedule/index.js';

/** Observes the metrics in turn and returns the rate after each. */
const follow = (s: Plateau, metrics: number[]) => metrics.map((m) => (s.observe(m), s.at(0).lr));

describe('plateau', () => {
  test('the rate falls when more than patience observations in a row are no better', () => {
    const s = plateau({ lr: 1, factor: 0.5, patience: 2 });
    expect(follow(s, [5, 4, 4, 4, 4, 4, 4, 4])).toEqual([1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25]);
  });

  test('an improvement starts the count again', () => {
    const s = plateau({ lr: 1, factor: 0.5, patience: 1 });
    expect(follow(s, [5, 5, 4, 4, 3, 3, 3])).toEqual([1, 1, 1, 1, 1, 1, 0.5]);
  });

  test('observe says whether it reduced', () => {
    const s = plateau({ lr: 1, patience: 0 });
    expect([s.observe(1), s.observe(1), s.observe(0.5)]).toEqual([false, true, false]);
  });

  test('a relative threshold is a fraction of the best, an absolute one is not', () => {
    const options = { lr: 1, factor: 0.5, patience: 0, threshold: 0.1 };
    expect(follow(plateau(options), [100, 91, 89])).toEqual([1, 0.5, 0.5]);
    expect(follow(plateau({ ...options, thresholdMode: 'abs' }), [100, 99.95, 99.8])).toEqual([1, 0.5, 0.5]);
  });

  test('mode max wants the metric to grow', () => {
    const s = plateau({ lr: 1, factor: 0.5, patience: 0, mode: 'max', threshold: 0.1 });
    expect(follow(s, [10, 11.5, 12, 13])).toEqual([1, 1, 0.5, 0.5]);
  });

  // PyTorch multiplies a negative best by 1 - threshold, and takes a slightly worse metric for a better one
  test('a negative metric that gets slightly worse is no improvement', () => {
    const s = plateau({ lr: 1, factor: 0.5, patience: 0, threshold: 0.1 });
    expect(follow(s, [-10, -9.5])).toEqual([1, 0.5]);
    expect(s.stateDict().best).toBe(-10);
    expect(follow(s, [-10.5, -11.5])).toEqual([0.25, 0.25]);
  });

  test('during the cooldown nothing counts as bad', () => {
    const s = plateau({ lr: 1, factor: 0.5, patience: 0, cooldown: 2 });
    expect(follow(s, [1, 1, 1, 1, 1])).toEqual([1, 0.5, 0.5, 0.5, 0.25]);
  });

  test('the rate stops at minLr, and reductions of no more than eps are not made', () => {
    const s = plateau({ lr: 1, factor: 0.1, patience: 0, minLr: 0.05 });
    expect(follow(s, [1, 1, 1, 1])).toEqual([1, 0.1, 0.05, 0.05]);
    const small = plateau({ lr: 1e-8, factor: 0.5, patience: 0 });
    expect(follow(small, [1, 1])).toEqual([1e-8, 1e-8]);
    expect(small.observe(1)).toBe(false);
  });

  test('a loss that is not finite is no improvement, not even the first', () => {
    const s = plateau({ lr: 1, factor: 0.5, patience: 1 });
    expect(follow(s, [NaN, -Infinity, 3, NaN, Infinity])).toEqual([1, 0.5, 0.5, 0.5, 0.25]);
    expect(s.stateDict().best).toBe(3);
  });

  test('at gives the present rate at any step and does not change it', () => {
    const s = plateau({ lr: 1, patience: 0 });
    expect([0, 7, 1e9].map((step) => s.at(step))).toEqual([{ lr: 1 }, { lr: 1 }, { lr: 1 }]);
  });

  test('the state goes through JSON at every point without changing what follows', () => {
    const options = { lr: 1, factor: 0.5, patience: 1, cooldown: 2 };
    const metrics = [5, 4, 4, 4, 4, 4, 3.9, 3.9, 3.9, 3.9, 3.9];
    const expected = follow(plateau(options), metrics);
    expect(new Set(expected).size).toBe(3);
    for (let cut = 0; cut <= metrics.length; cut++) {
      const first = plateau(options);
      const head = follow(first, metrics.slice(0, cut));
      const second = plateau(options);
      second.loadStateDict(JSON.parse(JSON.stringify(first.stateDict())) as PlateauState);
      expect([...head, ...follow(second, metrics.slice(cut))]).toEqual(expected);
    }
  });

  test('a state dict is a copy', () => {
    const s = plateau({ lr: 1 });
    const state = s.stateDict();
    state.lr = 7;
    expect(s.at(0).lr).toBe(1);
    s.loadStateDict(state);
    state.lr = 8;
    expect(s.at(0).lr).toBe(7);
  });

  test.each([
    [{ lr: 1, best: 1, bad: 0 }, /plateau\.loadStateDict: cooldown must be an integer >= 0/],
    [{ lr: NaN, best: 1, bad: 0, cooldown: 0 }, 'lr must be a finite number >= 0, got NaN'],
    [
      { lr: 1, best: 1, bad: 0, cooldown: 0, steps: 3 },
      'schedule.plateau.loadStateDict: unknown option "steps"',
    ],
  ])('the state %j is refused and changes nothing', (state, message) => {
    const s = plateau({ lr: 0.5 });
    expect(() => s.loadStateDict(state as never)).toThrow(message);
    expect(s.stateDict()).toEqual({ lr: 0.5, best: null, bad: 0, cooldown: 0 });
  });

  test.each([
    [{ lr: 1, factor: 1 }, 'schedule.plateau: factor must be a finite number > 0 and < 1, got 1'],
    [{ lr: 1, patience: 1.5 }, 'schedule.plateau: patience must be an integer >= 0, got 1.5'],
    [{ lr: 1, minLr: 2 }, 'schedule.plateau: minLr must not exceed lr, got 2 and 1'],
    [{ lr: 1, mode: 'low' }, 'schedule.plateau: mode must be one of "min", "max", got "low"'],
  ])('the options %j are refused', (options, message) => {
    expect(() => plateau(options as never)).toThrow(message);
  });

  test('a metric that is not a number is refused', () => {
    expect(() => plateau({ lr: 1 }).observe([1] as never)).toThrow(
      'schedule.plateau.observe: metric must be a number, got an array of length 1',
    );
  });
});
