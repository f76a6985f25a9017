import { describe, expect, test } from 'vitest';
import { cyclic } from '../../src/schedule/index.js';
import { expectClose, momenta, range, rates } from './trace.js';

const base = { baseLr: 1, maxLr: 5, stepSizeUp: 4, cycleMomentum: false };

/** The formula of the paper's code: equal halves, cycles counted from 1. */
function original(
  s: number,
  lr: [number, number],
  size: number,
  scale: (cycle: number, s: number) => number,
) {
  const cycle = Math.floor(1 + s / (2 * size));
  const x = Math.abs(s / size - 2 * cycle + 1);
  return lr[0] + (lr[1] - lr[0]) * Math.max(0, 1 - x) * scale(cycle, s);
}

describe('cyclic', () => {
  test('the triangle goes up and down in straight lines', () => {
    expectClose(rates(cyclic(base), 11), [1, 2, 3, 4, 5, 4, 3, 2, 1, 2, 3]);
  });

  test('momentum goes the other way', () => {
    const s = cyclic({ ...base, cycleMomentum: true, baseMomentum: 1, maxMomentum: 5 });
    expectClose(momenta(s, 11), [5, 4, 3, 2, 1, 2, 3, 4, 5, 4, 3]);
  });

  test('the way down may be longer than the way up', () => {
    const expected = [1, 2, 3, 4, 5, 13 / 3, 11 / 3, 3, 7 / 3, 5 / 3, 1];
    expectClose(rates(cyclic({ ...base, stepSizeDown: 6 }), 11), expected);
  });

  test('triangular2 halves the height each cycle, that of momentum too', () => {
    const s = cyclic({
      ...base,
      mode: 'triangular2',
      cycleMomentum: true,
      baseMomentum: 0.5,
      maxMomentum: 0.9,
    });
    expectClose(rates(s, range(16).slice(8)), [1, 1.5, 2, 2.5, 3, 2.5, 2, 1.5]);
    expectClose(momenta(s, [4, 12, 20]), [0.5, 0.7, 0.8]);
  });

  test('expRange shrinks by gamma each step since the start', () => {
    const height = [0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3].map((x) => x / 4);
    const expected = height.map((x, i) => 1 + x * 4 * 0.9 ** i);
    expectClose(rates(cyclic({ ...base, mode: 'expRange', gamma: 0.9 }), 12), expected);
  });

  test.each([
    ['triangular', () => 1],
    ['triangular2', (cycle: number) => 1 / 2 ** (cycle - 1)],
    ['expRange', (_: number, s: number) => 0.999 ** s],
  ] as const)("%s is the formula of the paper's code over three cycles", (mode, scale) => {
    const s = cyclic({ baseLr: 1e-3, maxLr: 6e-3, stepSizeUp: 7, mode, gamma: 0.999 });
    const expected = range(42).map((i) => original(i, [1e-3, 6e-3], 7, scale));
    expectClose(rates(s, 42), expected);
  });

  test('fractional steps lie on the same lines', () => {
    expectClose(rates(cyclic(base), [0.5, 3.75, 4.25, 8.5]), [1.5, 4.75, 4.75, 1.5]);
  });

  test('the peak and the bottom are exact in the millionth cycle', () => {
    const s = cyclic({ baseLr: 0.1, maxLr: 0.7, stepSizeUp: 3, stepSizeDown: 7, cycleMomentum: false });
    expect(s.at(1e7).lr).toBe(0.1);
    expect(s.at(1e7 + 3).lr).toBe(s.at(3).lr);
  });

  test('a period that is no binary fraction counts its cycles right', () => {
    const s = cyclic({ ...base, mode: 'triangular2', stepSizeUp: 0.35 });
    const step = 2.11; // 0.01 into the fourth cycle, though (2.11 - 0.01) / 0.7 rounds to just below 3
    expect(s.at(step).lr).toBeCloseTo(1 + (4 * (0.01 / 0.35)) / 8, 12);
  });

  test('after so many halvings that nothing is left, the bottom remains', () => {
    expect(cyclic({ ...base, mode: 'triangular2' }).at(1e12 + 4)).toEqual({ lr: 1 });
  });

  test('the defaults are those of the paper and PyTorch', () => {
    expect(cyclic({ baseLr: 1e-3, maxLr: 6e-3 }).options).toEqual({
      baseLr: 1e-3,
      maxLr: 6e-3,
      stepSizeUp: 2000,
      stepSizeDown: 2000,
      mode: 'triangular',
      gamma: 1,
      cycleMomentum: true,
      baseMomentum: 0.8,
      maxMomentum: 0.9,
    });
  });
});
