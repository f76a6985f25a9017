// Gradient norms and clipping, inside and outside an optimizer.
import { describe, expect, it } from 'vitest';
import { NonFiniteError, tensor, type Tensor } from '../../src/index.js';
import { inDouble } from '../../src/kernels/launch.js';
import { Adam, clipGradNorm, SGD } from '../../src/optim/index.js';
import { bitsOf, named, parameters, randomGrads, valuesOf } from './support.js';

const gradsOf = (params: readonly Tensor[]): Tensor[] => params.map((p) => p.grad!);

/** The norm in double, straightforwardly. */
const norm = (ts: readonly Tensor[]): number =>
  Math.sqrt(ts.flatMap(valuesOf).reduce((s, v) => s + v * v, 0));

describe('The gradient norm', () => {
  it('runs over all gradients of all groups, in double', () => {
    const params = parameters(1);
    const opt = new Adam([{ params: params.slice(0, 1) }, { params: params.slice(1) }]);
    expect(opt.gradNorm()).toBe(0);
    randomGrads(params, 2);
    expect(opt.gradNorm()).toBeCloseTo(norm(gradsOf(params)), 12);
    params[2]!.grad = null;
    expect(opt.gradNorm()).toBeCloseTo(norm([params[0]!, params[1]!, params[3]!].map((p) => p.grad!)), 12);
  });

  it('keeps small gradients beside large ones: a million of 1 and one of 1e4', () => {
    const p = tensor(new Float32Array(1e6 + 1), { requiresGrad: true });
    const g = new Float32Array(1e6 + 1).fill(1);
    g[0] = 1e4;
    const opt = new SGD([p]);
    p.grad = tensor(g);
    expect(opt.gradNorm()).toBeCloseTo(Math.sqrt(1e8 + 1e6), 9);
  });

  it('does not overflow in the squares, and is not finite if some gradient is not', () => {
    const [p, q] = [0, 0].map(() => tensor([0, 0], { requiresGrad: true })) as [Tensor, Tensor];
    const opt = new SGD([p, q]);
    const give = (...g: number[]): number => {
      p.grad = tensor(g.slice(0, 2));
      q.grad = tensor(g.slice(2));
      return opt.gradNorm();
    };
    expect(give(2e38, 0, 2e38, 0) / 2e38).toBeCloseTo(Math.SQRT2, 6);
    expect(give(1e-30, 0, 0, 0) / 1e-30).toBeCloseTo(1, 6);
    expect(give(1, 1, NaN, 1)).toBeNaN();
    expect(give(1, 1, 1, -Infinity)).toBe(Infinity);
  });

  it('follows a factor on all gradients, and only on those there are', () => {
    const params = parameters(1);
    const opt = new Adam(params);
    randomGrads(params, 3);
    params[1]!.grad = null;
    const before = [0, 2, 3].map((i) => valuesOf(params[i]!.grad!));
    opt.scaleGrads(0.5);
    expect([0, 2, 3].map((i) => valuesOf(params[i]!.grad!))).toEqual(before.map((g) => g.map((v) => v / 2)));
    expect(params[1]!.grad).toBeNull();
  });
});

describe('clipGradNorm', () => {
  const homes: [string, (params: Tensor[]) => unknown][] = [
    ['of an optimizer', (params) => new Adam(params)],
    ['of nobody', () => undefined],
    ['of an optimizer in part', (params) => new Adam(params.slice(1, 3))],
  ];
  it.each(homes)(
    'scales gradients %s to the norm it is given and returns the one before',
    (_title, settle) => {
      const params = parameters(1);
      settle(params);
      randomGrads(params, 4);
      const [before, direction] = [norm(gradsOf(params)), valuesOf(params[0]!.grad!)];
      expect(clipGradNorm(params, 0.5)).toBeCloseTo(before, 6);
      expect(norm(gradsOf(params))).toBeCloseTo(0.5, 5);
      valuesOf(params[0]!.grad!).forEach((v, k) => expect(v).toBeCloseTo((direction[k]! * 0.5) / before, 6));
    },
  );

  it.each(homes)('leaves gradients %s that are short enough alone', (_title, settle) => {
    const params = parameters(1);
    settle(params);
    randomGrads(params, 4);
    const before = bitsOf(gradsOf(params));
    clipGradNorm(named(params), 1e3);
    expect(bitsOf(gradsOf(params))).toEqual(before);
  });

  it('gives the same in and out of an optimizer, and skips what has no gradient', () => {
    const [a, b] = [parameters(1), parameters(1)];
    new Adam(a);
    for (const params of [a, b]) {
      randomGrads(params, 5);
      params[2]!.grad = null;
      clipGradNorm(params, 1);
    }
    const rest = (params: Tensor[]): number[] => [0, 1, 3].flatMap((i) => valuesOf(params[i]!.grad!));
    rest(a).forEach((v, k) => expect(v).toBeCloseTo(rest(b)[k]!, 6));
    expect(clipGradNorm([], 1)).toBe(0);
  });

  it('is exact in double precision', () =>
    inDouble(() => {
      const p = tensor([0, 0], { requiresGrad: true });
      p.grad = tensor([3, 4]);
      expect(clipGradNorm([p], 1)).toBe(5);
      valuesOf(p.grad).forEach((v, k) => expect(v).toBeCloseTo([3, 4][k]! / (5 + 1e-6), 14));
    }));

  it('counts a tensor that is listed twice once', () => {
    const p = tensor([0], { requiresGrad: true });
    p.grad = tensor([2]);
    expect(clipGradNorm([p, p], 1)).toBe(2);
    expect(p.grad.item()).toBeCloseTo(1, 5);
  });

  it('throws for a norm that is not finite if asked to, and changes nothing either way', () => {
    const params = parameters(1);
    randomGrads(params, 4);
    params[1]!.grad = tensor(NaN);
    const before = bitsOf(gradsOf(params));
    expect(clipGradNorm(params, 1)).toBeNaN();
    expect(() => clipGradNorm(params, 1, { errorIfNonFinite: true })).toThrow(NonFiniteError);
    expect(bitsOf(gradsOf(params))).toEqual(before);
  });

  it('refuses what it cannot use', () => {
    expect(() => clipGradNorm(tensor([1]) as never, 1)).toThrow(/clipGradNorm: params must be tensors/);
    expect(() => clipGradNorm([1 as never], 1)).toThrow(/must hold tensors, got 1/);
    expect(() => clipGradNorm([], -1)).toThrow(/max must be a finite number >= 0, got -1/);
    expect(() => clipGradNorm([], 1, { errorIfNonfinite: true } as never)).toThrow(
      /did you mean "errorIfNonFinite"/,
    );
  });
});
