// Memory stays flat over 10,000 steps without one dispose: eager, in a scope, in compile, and when results are kept.
import { describe, expect, it } from 'vitest';
import * as t from '../../src/index.js';
import { currentScope } from '../../src/memory/arena.js';
import type { Tensor } from '../../src/index.js';

const STEPS = 10_000;
const w = t.randn([16, 8]);
const x = t.randn([4, 16]);

function eagerStep(): number {
  w.requiresGrad = true;
  w.grad = null;
  const loss = x.matmul(w).relu().square().mean();
  loss.backward();
  return loss.item();
}

/** Bytes outside the V8 heap that a loop leaves behind after its first tenth. */
function growth(step: () => unknown): { heap: number; arrays: number } {
  for (let k = 0; k < STEPS / 10; k++) step();
  global.gc?.();
  const [heapBefore, before] = [t.backend.info().heapBytes, process.memoryUsage().arrayBuffers];
  for (let k = 0; k < STEPS; k++) step();
  global.gc?.();
  return {
    heap: t.backend.info().heapBytes - heapBefore,
    arrays: process.memoryUsage().arrayBuffers - before,
  };
}

describe(`memory on ${t.backend.name}`, () => {
  it.each<[string, () => unknown]>([
    ['outside any scope', eagerStep],
    ['in a scope', () => t.scope(eagerStep)],
    ['in compile', t.compile(eagerStep)],
    ['by a function gradient', () => t.grad((p: Tensor) => x.matmul(p).square().mean())(w.detach())],
  ])('is flat over 10,000 eager steps %s', (_where, step) => {
    const { heap, arrays } = growth(step);
    expect(heap).toBe(0);
    // Ordinary arrays wait for the collector; what matters is that they do not pile up: 10,000 steps make some 100 MB.
    expect(arrays).toBeLessThan(32 << 20);
    expect(currentScope()).toBe(null);
  });
});

describe('scope', () => {
  it('frees what it does not return, and returns values without graphs', () => {
    let lost!: Tensor;
    const a = t.tensor([1, 2], { requiresGrad: true });
    const [kept, { inner }] = t.scope(() => {
      lost = a.mul(2);
      return [a.mul(3), { inner: a.mul(4) }] as const;
    });
    expect(kept.toArray()).toEqual([3, 6]);
    expect(inner.toArray()).toEqual([4, 8]);
    expect(kept.requiresGrad).toBe(false);
    expect(() => lost.toArray()).toThrow(
      /used after its scope ended; return it from the scope, or call keep\(\)/,
    );
    expect(() => lost.add(1)).toThrow(t.ScopeError);
  });

  it('keeps what keep() says, on the heap, for as long as it is used', () => {
    const kept = t.scope(() => {
      const y = t.tensor([1, 2, 3]).mul(2).keep();
      return { number: y.sum().item(), tensor: y };
    });
    expect(kept.number).toBe(12);
    t.scope(() => t.ones([1000]).mul(5));
    expect(kept.tensor.toArray()).toEqual([2, 4, 6]);
  });

  it('nests, and an inner result lives in the outer scope', () => {
    const y = t.scope(() => {
      const inner = t.scope(() => t.tensor([1, 2]).mul(10));
      t.scope(() => t.ones([5000]).mul(3));
      return inner.add(1);
    });
    expect(y.toArray()).toEqual([11, 21]);
  });

  it('ends when the function throws', () => {
    expect(() =>
      t.scope(() => {
        throw new Error('mine');
      }),
    ).toThrow('mine');
    expect(currentScope()).toBe(null);
  });

  it('refuses asynchronous functions', () => {
    expect(() => t.scope(async () => Promise.resolve(1))).toThrow(/scope: the function is asynchronous/);
    expect(() => t.scope(() => Promise.resolve(1))).toThrow(/scope: the function is asynchronous/);
    expect(() => t.noGrad(async () => Promise.resolve(1))).toThrow(/noGrad: the function is asynchronous/);
    expect(() => t.compile(async () => Promise.resolve(1))).toThrow(/compile: the function is asynchronous/);
    expect(currentScope()).toBe(null);
  });
});
