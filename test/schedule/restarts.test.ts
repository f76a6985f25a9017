import { describe, expect, test } from 'vitest';
import { warmRestarts } from '../../src/schedule/index.js';
import { restartPosition } from '../../src/schedule/restarts.js';
import { expectClose, rates } from './trace.js';

describe('warmRestarts', () => {
  test.each([
    [[0.1, 0.2, 0.3, 1.3, 2.3], [0.1, 0.2, 0.3, 1.3, 2.3], 10],
    [[17.5, 18.5, 19.5, 29.5, 30.5, 31.5], [7.5, 8.5, 9.5, 19.5, 20.5, 21.5], 30],
    [[50], [10], 90],
  ])('with T0 10 and TMult 3, epochs %j lie at %j of %i', (epochs, Tcur, Ti) => {
    expect(epochs.map((e) => restartPosition(e, 10, 3).Tcur)).toEqual(Tcur);
    const s = warmRestarts({ lr: 0.5, T0: 10, TMult: 3, etaMin: 0.01 });
    const expected = Tcur.map((t) => 0.01 + (0.49 / 2) * (1 + Math.cos((Math.PI * t) / Ti)));
    expectClose(rates(s, epochs), expected);
  });

  test('with TMult 1 the epochs may come in any order', () => {
    const s = warmRestarts({ lr: 1, T0: 10 });
    const expected = [2, 7, 3].map((t) => (1 + Math.cos((Math.PI * t) / 10)) / 2);
    expectClose(rates(s, [12, 27, 3]), expected);
    expect(restartPosition(27, 10, 1)).toEqual({ cycle: 2, Tcur: 7, Ti: 10 });
  });

  // PyTorch 1.13 and 2.13 give etaMin at these: int(log(...)) is one too small
  test.each([
    [3, [1, 4, 13, 40, 121, 364, 1093]],
    [10, [1, 11, 111, 1111, 11_111, 111_111]],
    [2, [1, 3, 7, 15, 31, 63]],
  ])('TMult %i restarts at the full rate, exactly, where PyTorch misses some', (TMult, restarts) => {
    for (const T0 of [1, 2, 3, 5, 7, 10, 50, 113]) {
      const s = warmRestarts({ lr: 0.05, T0, TMult, etaMin: 0.001 });
      const steps = restarts.map((r) => r * T0);
      expect(rates(s, steps)).toEqual(restarts.map(() => 0.05));
      expect(steps.map((x) => restartPosition(x, T0, TMult).cycle)).toEqual(restarts.map((_, i) => i + 1));
      for (const step of steps) expect(s.at(step - 1e-3).lr).toBeLessThan(0.00101);
    }
  });

  test('the fortieth doubling restarts at the full rate', () => {
    const s = warmRestarts({ lr: 0.05, T0: 10, TMult: 2 });
    expect(s.at(10 * (2 ** 40 - 1)).lr).toBe(0.05);
    expect(s.at(10 * (2 ** 40 - 1) - 1).lr).toBeLessThan(1e-12);
  });

  test('every one of the first 400 restarts of a TMult 1 schedule is exact', () => {
    const s = warmRestarts({ lr: 0.3, T0: 7 });
    for (let k = 0; k < 400; k++) expect(s.at(7 * k).lr).toBe(0.3);
    expect(restartPosition(7 * 399, 7, 1).cycle).toBe(399);
  });

  test('whole steps stop short of the minimum, fractions approach it', () => {
    const s = warmRestarts({ lr: 1, T0: 4 });
    expect(s.at(3).lr).toBeCloseTo((1 - Math.SQRT1_2) / 2, 14);
    expect(s.at(3.999999).lr).toBeLessThan(1e-12);
  });

  test('TMult may be a fraction', () => {
    const s = warmRestarts({ lr: 1, T0: 8, TMult: 1.5 });
    expect(rates(s, [0, 8, 20, 38])).toEqual([1, 1, 1, 1]);
    expectClose(rates(s, [4, 14, 29]), [0.5, 0.5, 0.5]);
  });

  test('a giant step is answered', () => {
    const s = warmRestarts({ lr: 1, T0: 1, TMult: 1.001 });
    for (const step of [2 ** 53, Number.MAX_VALUE]) expect(s.at(step).lr).toBeLessThanOrEqual(1);
    expect(warmRestarts({ lr: 1, T0: 3 }).at(Number.MAX_VALUE).lr).toBeGreaterThanOrEqual(0);
  });

  test.each([0.5, 0, NaN])('TMult %d is refused', (TMult) => {
    const message = `schedule.warmRestarts: TMult must be a finite number >= 1, got ${TMult}`;
    expect(() => warmRestarts({ lr: 1, T0: 10, TMult })).toThrow(message);
  });

  test('a TMult that hardly grows is refused', () => {
    expect(() => warmRestarts({ lr: 1, T0: 10, TMult: 1 + 1e-9 })).toThrow(
      'schedule.warmRestarts: TMult must be 1 or at least 1.001, got 1.000000001',
    );
  });
});
