// trainStep: what it computes, what it refuses, and that a step which does not count changes nothing at all.
import { beforeEach, describe, expect, it } from 'vitest';
import * as t from '../../src/index.js';
import type { Tensor } from '../../src/index.js';
import { currentScope } from '../../src/memory/arena.js';
import * as optim from '../../src/optim/index.js';
import { trainStep } from '../../src/train/step.js';

let w: Tensor;
let running: Tensor;
beforeEach(() => {
  w = t.tensor([1, -2, 3], { requiresGrad: true });
  running = t.zeros([3]);
});
const values = (x: Tensor): number[] => [...x.toFloat32Array()];
const square = (x: Tensor): Tensor => w.mul(x).square().sum();

describe('trainStep', () => {
  it('returns the loss of the batch before the update, and updates', () => {
    const step = trainStep(square, new optim.SGD([w], { lr: 0.25 }));
    expect(step(t.tensor([1, 1, 1]))).toBe(14);
    // w - 0.25 · 2 w = w / 2
    expect(values(w)).toEqual([0.5, -1, 1.5]);
    expect(step(t.tensor([1, 1, 1]))).toBe(3.5);
    expect(currentScope()).toBe(null);
  });

  it('takes plain arrays and typed arrays as batches', () => {
    const step = trainStep(
      (x: number[][], y: Int32Array) => t.crossEntropy(t.tensor(x).mul(w), y),
      new optim.SGD([w], { lr: 0.1 }),
    );
    const first = step([[1, 0, 0]], new Int32Array([2]));
    expect(step([[1, 0, 0]], new Int32Array([2]))).toBeLessThan(first);
  });

  it('clips the global norm, and leaves a short gradient alone', () => {
    const linear = (x: Tensor): Tensor => w.mul(x).sum();
    const before = values(w);
    const step = trainStep(linear, new optim.SGD([w], { lr: 1 }), { clipNorm: 1 });
    step(t.tensor([3, 0, 4]));
    expect(step.gradNorm).toBeCloseTo(5, 6);
    values(w).forEach((v, k) => expect(v).toBeCloseTo(before[k]! - [0.6, 0, 0.8][k]!, 5));
    const again = values(w);
    step(t.tensor([0.3, 0, 0.4]));
    values(w).forEach((v, k) => expect(v).toBeCloseTo(again[k]! - [0.3, 0, 0.4][k]!, 6));
  });

  it('accumulates the mean over micro-batches and updates once', () => {
    const twice = trainStep(square, new optim.SGD([w], { lr: 0.1 }), { accumulate: 2 });
    const start = values(w);
    twice(t.tensor([1, 1, 1]));
    expect(values(w)).toEqual(start);
    twice(t.tensor([1, 2, 1]));
    const got = values(w);
    w = t.tensor(start, { requiresGrad: true });
    const both = (): Tensor =>
      square(t.tensor([1, 1, 1]))
        .add(square(t.tensor([1, 2, 1])))
        .mul(0.5);
    trainStep(both, new optim.SGD([w], { lr: 0.1 }))();
    got.forEach((v, k) => expect(v).toBeCloseTo(values(w)[k]!, 6));
  });

  it.each(['skip', 'throw'] as const)(
    'with onNonFinite "%s" changes nothing: parameters, moments, counters, statistics',
    (onNonFinite) => {
      const adam = new optim.Adam([['w', w]], { lr: 0.1 });
      const normed = (x: Tensor): Tensor =>
        t.batchNorm(x.mul(w), { runningMean: running, training: true }).square().mul(w).sum();
      const step = trainStep(normed, adam, { onNonFinite });
      step(
        t.tensor([
          [1, 2, 3],
          [4, 5, 7],
        ]),
      );
      const [before, state, statistics] = [values(w), JSON.stringify(adam.stateDict()), values(running)];
      expect(statistics.some((v) => v !== 0)).toBe(true);
      const bad = t.tensor([
        [1, NaN, 3],
        [4, 5, 6],
      ]);
      if (onNonFinite === 'skip') expect(step(bad)).toBeNaN();
      else
        expect(() => step(bad)).toThrow(
          /trainStep: the loss is NaN and the gradient's norm NaN; nothing was changed/,
        );
      expect(step.skipped).toBe(onNonFinite === 'skip' ? 1 : 0);
      expect(values(w)).toEqual(before);
      expect(JSON.stringify(adam.stateDict())).toBe(state);
      expect(values(running)).toEqual(statistics);
      step(
        t.tensor([
          [1, 2, 3],
          [4, 5, 7],
        ]),
      );
      expect(values(w).every(Number.isFinite)).toBe(true);
      expect(values(w)).not.toEqual(before);
    },
  );

  it('skips a whole accumulated update if one of its micro-batches is not finite', () => {
    const step = trainStep(square, new optim.SGD([w], { lr: 0.1 }), { accumulate: 2, onNonFinite: 'skip' });
    const before = values(w);
    step(t.tensor([1, Infinity, 1]));
    step(t.tensor([1, 1, 1]));
    expect(values(w)).toEqual(before);
    expect(step.skipped).toBe(1);
    step(t.tensor([1, 1, 1]));
    step(t.tensor([1, 1, 1]));
    expect(values(w)).not.toEqual(before);
  });

  it('propagates by default, as torch does', () => {
    trainStep(square, new optim.SGD([w], { lr: 0.1 }))(t.tensor([1, NaN, 1]));
    expect(values(w)[1]).toBeNaN();
  });

  it('ends its scope and keeps the parameters when the loss function throws', () => {
    const step = trainStep(
      () => {
        throw new Error('mine');
      },
      new optim.SGD([w], { lr: 0.1 }),
    );
    expect(() => step()).toThrow('mine');
    expect(currentScope()).toBe(null);
    expect(values(w)).toEqual([1, -2, 3]);
  });

  it('refuses what is no loss, no function, no option', () => {
    const sgd = new optim.SGD([w], { lr: 0.1 });
    for (const wrong of [undefined, null, {}, [], [sgd]])
      expect(() => trainStep(() => w.sum(), wrong as never)).toThrow(
        /^trainStep: optimizer must be an optimizer of `optim`, got /,
      );
    expect(() => trainStep((x: Tensor) => w.mul(x), sgd)(t.tensor([1, 2, 3]))).toThrow(
      /lossFn must return a scalar, got shape \[3\]; reduce with mean/,
    );
    expect(() => trainStep((() => 3) as unknown as () => Tensor, sgd)()).toThrow(
      /lossFn must return a Tensor, got 3/,
    );
    expect(() => trainStep(3 as never, sgd)).toThrow(/lossFn must be a function, got 3/);
    expect(() => trainStep((async () => Promise.resolve()) as never, sgd)).toThrow(/lossFn is asynchronous/);
    expect(() => trainStep(square, sgd, { clip: 1 } as never)).toThrow(
      /unknown option "clip"; did you mean "clipNorm"/,
    );
    expect(() => trainStep(square, sgd, { clipNorm: NaN })).toThrow(
      /clipNorm must be a finite number > 0, got NaN/,
    );
    expect(() => trainStep(square, sgd, { onNonFinite: 'ignore' as never })).toThrow(
      /onNonFinite must be one of/,
    );
  });
});
