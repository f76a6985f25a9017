// DataLoader: the order of batches, its position, and whose memory an iteration is.
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import {
  backend,
  data,
  manualSeed,
  nn,
  ones,
  scope,
  ScopeError,
  tensor,
  type Tensor,
} from '../../src/index.js';
import { currentScope } from '../../src/memory/arena.js';

const count = (n: number): data.ArrayDataset<[Tensor, Int32Array]> =>
  new data.ArrayDataset(
    tensor(Array.from({ length: n }, (_, k) => [k, -k])),
    Int32Array.from({ length: n }, (_, k) => k),
  );
const loaderOf = (n: number, options: data.LoaderOptions = {}): data.DataLoader<[Tensor, Int32Array]> =>
  new data.DataLoader(count(n), options);
const ids = (loader: Iterable<[Tensor, Int32Array]>): number[][] => [...loader].map(([, y]) => [...y]);

describe('the order of batches', () => {
  it('is that of the dataset by default, with a smaller last batch or without it', () => {
    expect(ids(loaderOf(5, { batchSize: 2 }))).toEqual([[0, 1], [2, 3], [4]]);
    const dropping = loaderOf(5, { batchSize: 2, dropLast: true });
    expect([ids(dropping), dropping.length]).toEqual([
      [
        [0, 1],
        [2, 3],
      ],
      2,
    ]);
    expect(ids(loaderOf(0))).toEqual([]);
    expect(ids(loaderOf(1, { batchSize: 2, dropLast: true }))).toEqual([]);
  });

  it('is shuffled anew in each epoch, holds every sample once, and depends on seed and epoch alone', () => {
    const epochs = (seed: number): number[][] => {
      const loader = loaderOf(50, { batchSize: 7, shuffle: true, seed });
      return [0, 1, 2].map(() => ids(loader).flat());
    };
    const [a, b] = [epochs(1), epochs(1)];
    expect(a).toEqual(b);
    expect(epochs(2)).not.toEqual(a);
    expect(new Set(a.map(String)).size).toBe(3);
    for (const order of a)
      expect([...order].sort((p, q) => p - q)).toEqual(Array.from({ length: 50 }, (_, k) => k));
  });

  it('takes the seed of the library when none is given', () => {
    const draw = (seed: number): string => (manualSeed(seed), String(ids(loaderOf(20, { shuffle: true }))));
    expect(draw(3)).toBe(draw(3));
    expect(draw(4)).not.toBe(draw(3));
  });

  it('keeps images and labels together', () => {
    for (const [x, y] of loaderOf(30, { batchSize: 4, shuffle: true }))
      expect(x.toArray()).toEqual([...y].map((k) => [k, k === 0 ? -0 : -k]));
  });
});

describe('the position', () => {
  it('can be taken anywhere in a loop and resumed exactly', () => {
    const options = { batchSize: 3, shuffle: true, seed: 8 };
    const whole = loaderOf(10, options);
    const all = [0, 1, 2].flatMap(() => ids(whole));
    for (let stop = 1; stop <= 12; stop++) {
      const first = loaderOf(10, options);
      const seen: number[][] = [];
      let state: data.LoaderState | undefined;
      while (!state)
        for (const [, y] of first) {
          seen.push([...y]);
          if (seen.length < stop) continue;
          state = JSON.parse(JSON.stringify(first.stateDict())) as data.LoaderState;
          break;
        }
      const second = loaderOf(10, options);
      second.loadStateDict(state);
      while (seen.length < all.length) seen.push(...ids(second));
      expect(seen, `stopped after ${stop} batches`).toEqual(all);
    }
  });

  it('moves on to a new epoch after a break', () => {
    const loader = loaderOf(6, { batchSize: 2, shuffle: true, seed: 1 });
    for (const _ of loader) break;
    expect(loader.stateDict()).toMatchObject({ epoch: 0, index: 1 });
    expect(ids(loader).flat()).toEqual([...loader.order(1)]);
    expect(loader.stateDict()).toMatchObject({ epoch: 2, index: 0 });
  });

  it('is refused where it would give other batches', () => {
    const state = loaderOf(10, { batchSize: 3, seed: 1 }).stateDict();
    expect(() => loaderOf(10, { batchSize: 2, seed: 1 }).loadStateDict(state)).toThrow(
      /DataLoader\.loadStateDict: batchSize was 3 when the state was taken and is 2 now/,
    );
    expect(() => loaderOf(11, { batchSize: 3, seed: 1 }).loadStateDict(state)).toThrow(/samples was 10/);
    expect(() => loaderOf(10).loadStateDict({ epoch: 0, index: 11 })).toThrow(/index must be an integer/);
    expect(() => loaderOf(10).loadStateDict({ epoch: 1.5, index: 0 })).toThrow(/epoch must be an integer/);
    expect(() => loaderOf(10).loadStateDict({ epoch: 0, index: 0, page: 1 } as never)).toThrow(
      /unknown option "page"/,
    );
  });

  it('belongs to a loader with checked options', () => {
    expect(() => loaderOf(3, { batchsize: 2 } as never)).toThrow(
      /DataLoader: unknown option "batchsize"; did you mean "batchSize"/,
    );
    expect(() => loaderOf(3, { batchSize: 0 })).toThrow(
      /DataLoader: batchSize must be an integer >= 1, got 0/,
    );
    expect(() => new data.DataLoader([1, 2] as never)).toThrow(/DataLoader: expected a dataset/);
  });
});

describe(`the memory of an iteration (${backend.name})`, () => {
  it('is its own: what the body makes dies with it, and the batch does not', () => {
    let [made, kept, batch]: (Tensor | undefined)[] = [];
    for (const [x] of loaderOf(2)) {
      if (made) {
        expect(() => made!.toArray()).toThrow(ScopeError);
        expect(kept!.toArray()).toEqual([[0, 0]]);
        expect(batch!.toArray()).toEqual([[0, -0]]);
      }
      made = x.mul(2);
      kept = x.mul(2).add(0).keep();
      batch = x;
      expect(made.storage.scope).toBe(currentScope());
    }
    expect(() => made!.toArray()).toThrow(/keep\(\)/);
    expect(kept!.toArray()).toEqual([[2, -2]]);
    expect(currentScope()).toBe(null);
  });

  it('ends at break, at an error in the body, and at an error in the dataset', () => {
    for (const [x] of loaderOf(3)) if (x.add(1).size > 0) break;
    expect(currentScope()).toBe(null);
    expect(() => {
      for (const _ of loaderOf(3)) throw new Error('body');
    }).toThrow('body');
    expect(currentScope()).toBe(null);
    const broken: data.Dataset<Tensor> = {
      length: 2,
      batch: (indices) => {
        if (indices[0] === 1) throw new Error('disk');
        return ones([1]);
      },
    };
    expect(() => {
      for (const x of new data.DataLoader(broken)) x.add(1);
    }).toThrow('disk');
    expect(currentScope()).toBe(null);
  });

  it('nests: an inner loop ends its own iterations only, inside a scope as well', () => {
    scope(() => {
      const around = currentScope();
      for (const [x] of loaderOf(2)) {
        const outer = x.add(1);
        const scopeOf = currentScope();
        for (const [z] of loaderOf(3)) outer.add(z);
        expect(currentScope()).toBe(scopeOf);
        expect(outer.size).toBe(2);
      }
      expect(currentScope()).toBe(around);
    });
  });

  it('gives way when the body awaits: its tensors and their graphs live on outside any scope', async () => {
    const model = new nn.Linear(2, 1);
    for (const [x] of loaderOf(3)) {
      const loss = model(x).square().sum();
      const value = loss.item();
      expect(currentScope()).not.toBe(null);
      await turn();
      expect(currentScope()).toBe(null);
      expect(loss.item()).toBe(value);
      model.weight.grad = null;
      loss.backward();
      expect(model.weight.grad!.shape).toEqual([1, 2]);
    }
  });

  it('is closed behind an iterator that is abandoned', async () => {
    const iterator = loaderOf(3)[Symbol.iterator]();
    const [x] = iterator.next().value as [Tensor, Int32Array];
    const y = x.add(1);
    await Promise.resolve();
    expect(currentScope()).toBe(null);
    expect(y.toArray()).toEqual([[1, 1]]);
  });

  it('is not shared by two loops and a predictor that take turns in any order', async () => {
    const model = new nn.Sequential(new nn.Linear(2, 8), new nn.Tanh(), new nn.Linear(8, 1));
    const want = model([[1, 2]]).item();
    const pauses = [
      () => Promise.resolve(),
      () => turn(),
      () => undefined,
      () => new Promise<void>((r) => process.nextTick(r)),
    ];
    let running = 2;
    async function loop(shift: number): Promise<void> {
      for (let epoch = 0; epoch < 5; epoch++)
        for (const [x, y] of loaderOf(40, { batchSize: 3 })) {
          const a = x.add(shift);
          await pauses[(y[0]! + shift) % pauses.length]!();
          const b = a.mul(2);
          await pauses[(y[0]! + 2 * shift + 1) % pauses.length]!();
          expect(b.toFloat32Array()[0]).toBe(2 * (y[0]! + shift));
          expect(model(x).requiresGrad).toBe(true);
        }
      running--;
    }
    async function predict(): Promise<void> {
      const results: Tensor[] = [];
      for (let k = 0; running > 0; k++) {
        const y = model([[1, 2]]);
        await pauses[k % pauses.length]!();
        expect(y.item()).toBe(want);
        if (k % 50 === 0) {
          results.push(y);
          await turn();
        }
      }
      for (const y of results) expect(y.item()).toBe(want);
    }
    await Promise.all([loop(1), predict(), loop(2), predict()]);
    expect(currentScope()).toBe(null);
  });

  it('comes back: 10,000 iterations leave heap and process as they were', () => {
    const model = new nn.Linear(2, 64);
    const loader = loaderOf(10_000, { batchSize: 4 });
    const pass = (): void => {
      for (let epoch = 0; epoch < 2; epoch++)
        for (const [x] of loader) {
          model.weight.grad = null;
          model(x).square().mean().backward();
        }
    };
    pass();
    const [heap, memory] = [backend.info().heapUsed, process.memoryUsage().rss];
    pass();
    pass();
    expect(backend.info().heapUsed).toBe(heap);
    expect(process.memoryUsage().rss - memory).toBeLessThan(64 * 2 ** 20);
  });
});
