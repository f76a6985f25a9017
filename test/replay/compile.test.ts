// A compiled function gives what the function gives, to the bit, and replays from the third call on.
import { expect, it, vi } from 'vitest';
import * as t from '../../src/index.js';
import { compile, grad, nn, noGrad, optim, Tensor, valueAndGrad } from '../../src/index.js';
import { Storage } from '../../src/memory/storage.js';
import { recordedPlans } from '../../src/replay/replayer.js';
import { describeReplay, numbers, valuesOf, withReplay } from './support.js';

/** Results of `calls` calls, compiled and plain, each from the same random numbers. */
function both<A extends unknown[]>(fn: (...args: A) => unknown, calls: A[]): { plans: number } {
  const plain = (run: (...args: A) => unknown): unknown[] => {
    t.manualSeed(5);
    return calls.map((args) => flat(run(...args)));
  };
  const before = recordedPlans();
  expect(plain(compile(fn as never) as typeof fn)).toEqual(plain(fn));
  return { plans: recordedPlans() - before };
}

function flat(value: unknown): unknown {
  if (value instanceof Tensor) return [value.shape, [...value.toFloat32Array()]];
  if (Array.isArray(value)) return value.map(flat);
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, flat(v)]));
  return value;
}

const vectors = (count: number, n = 6): [Tensor][] =>
  Array.from({ length: count }, (_, k) => [t.tensor(numbers(n, k))]);

describeReplay(`compile on ${t.backend.name}`, () => {
  it('gives what the function gives, in every form of result', () => {
    const scale = t.tensor([2]).keep();
    const constant = t.tensor([1, 2, 3]);
    const kept = t.scope(() => constant.exp().keep());
    const fn = (x: Tensor): unknown => ({
      list: [x.exp().sum(), x.reshape([2, 3])],
      same: x,
      scale,
      kept,
      constant,
      made: t.tensor([4, 5]),
      index: x.argmax(),
      text: 'kept',
    });
    expect(both(fn, vectors(5)).plans).toBe(1);
  });

  it('takes nested arguments, and the same tensor twice', () => {
    const fn = ({ a, b }: { a: Tensor; b: Tensor[] }, f: Float32Array, n: number): Tensor =>
      a.mul(b[0]!).add(b[1]!).mul(f).mul(n);
    const calls = [0, 1, 2, 3, 4, 5].map((k): Parameters<typeof fn> => {
      const [[a], [b], [c]] = vectors(3 + k).slice(k) as [[Tensor], [Tensor], [Tensor]];
      return [{ a, b: k === 3 ? [a, a] : [b, c] }, numbers(6, k), 2];
    });
    expect(both(fn, calls).plans).toBe(1);
  });

  it('replays random numbers, gradients of functions and second derivatives', () => {
    const loss = (x: Tensor): Tensor => x.mul(x).mul(x).sum();
    expect(both((x: Tensor) => [t.randn([4]), t.dropout(x), t.rand([2])], vectors(5)).plans).toBe(1);
    expect(both((x: Tensor) => grad(loss)(x), vectors(5)).plans).toBe(1);
    expect(both((x: Tensor) => grad((y: Tensor) => grad(loss)(y).sum())(x), vectors(5)).plans).toBe(1);
    expect(both((x: Tensor) => valueAndGrad(loss)(x), vectors(5)).plans).toBe(1);
  });

  it('replays an inner loop of gradient steps, as MAML has', () => {
    const w = t.tensor(numbers(6, 9), { requiresGrad: true });
    const inner = (x: Tensor): Tensor => {
      const task = (p: Tensor): Tensor => p.mul(x).square().sum();
      let fast: Tensor = w;
      for (let k = 0; k < 3; k++) fast = fast.sub(grad(task)(fast).mul(0.01));
      return grad(task(fast), w)[0]!;
    };
    expect(both(inner, vectors(6)).plans).toBe(1);
  });

  it('replays a hand-written training step with its optimizer', () => {
    const make = (): [(x: Tensor) => Tensor, () => unknown] => {
      t.manualSeed(1);
      const net = new nn.Sequential(new nn.Linear(6, 4), new nn.Tanh(), new nn.Linear(4, 1));
      const opt = new optim.Adam(net.namedParameters(), { lr: 0.01 });
      const step = (x: Tensor): Tensor => {
        opt.zeroGrad();
        const loss = net
          .forward(x.reshape([1, 6]))
          .square()
          .mean();
        loss.backward();
        opt.step();
        return loss.detach();
      };
      return [step, () => [valuesOf(net.parameters()), opt.stateDict()]];
    };
    const [[plain, plainState], [second, secondState]] = [make(), make()];
    const compiled = compile(second);
    const before = recordedPlans();
    for (const [x] of vectors(6)) {
      expect(compiled(x).item()).toBe(plain(x).item());
      expect(secondState()).toEqual(plainState());
    }
    expect(recordedPlans() - before).toBe(1);
  });

  it('works inside a scope, inside another compiled function, and inside a step', () => {
    const inner = compile((x: Tensor) => x.exp());
    // One of the outer function, and one of the inner where it is called alone.
    expect(both((x: Tensor) => t.scope(() => inner(x).sum()), vectors(5)).plans).toBe(2);
    const w = t.tensor([1], { requiresGrad: true });
    const step = t.trainStep((x: Tensor) => inner(x.mul(w)).sum(), new optim.SGD([w], { lr: 1e-3 }));
    for (const [x] of vectors(4)) step(x);
    expect(step.replayed).toBe(2);
    expect(w.grad!.item()).not.toBe(0);
  });

  it('keeps two functions apart that run in turns', () => {
    const [f, g] = [compile((x: Tensor) => x.exp().sum()), compile((x: Tensor) => x.sin().sum())];
    for (const [x] of vectors(6)) {
      expect(f(x).item()).toBe(x.exp().sum().item());
      expect(g(x).item()).toBe(x.sin().sum().item());
    }
  });

  it('gives results that later calls do not change', () => {
    const f = compile((x: Tensor) => x.mul(2));
    const results = vectors(5).map(([x]) => f(x));
    results.forEach((y, k) => expect(y.toFloat32Array()).toEqual(numbers(6, k).map((v) => v * 2)));
  });

  it('shows its program, profiles it, and gives its memory back', () => {
    const f = compile((x: Tensor) =>
      x
        .exp()
        .matmul(t.ones([6, 6]))
        .sum(),
    );
    expect(f.plan()).toMatch(/no plan yet/i);
    for (const [x] of vectors(4)) f(x);
    expect(f.replayed).toBe(2);
    expect(f.plan()).toMatch(/tensor\[6\][\s\S]*exp[\s\S]*matmul[\s\S]*sum/);
    expect(f.profile({ repeats: 2 }).rows.map(({ kernel }) => kernel)).toContain('matmul');
    const used = t.backend.info().heapUsed;
    f.dispose();
    expect(t.backend.info().heapUsed).toBeLessThan(used);
  });

  it('stays eager where there is no memory for a program', () => {
    const seen: string[] = [];
    const spy = vi.spyOn(process, 'emitWarning').mockImplementation((text) => void seen.push(String(text)));
    const f = compile((x: Tensor) => x.mul(2).sum());
    const [[x]] = vectors(1) as [[Tensor]];
    f(x);
    const full = vi.spyOn(Storage, 'onHeap').mockImplementation(() => {
      throw new t.OutOfMemoryError('heap: full');
    });
    const second = f(x).item();
    full.mockRestore();
    spy.mockRestore();
    expect([second, f(x).item(), f.replayed]).toEqual([x.mul(2).sum().item(), second, 0]);
    expect(seen.join()).toMatch(/no memory for a program \(heap: full\)/);
  });

  it.skipIf(t.backend.name === 'reference')('follows a change of the number of threads, and back', () => {
    const f = compile((x: Tensor) => x.matmul(x).sum());
    const x = t.tensor(numbers(96 * 96, 1), { shape: [96, 96] });
    const saved = t.backend.threads;
    const before = recordedPlans();
    const results = new Set<number>();
    try {
      for (const n of [1, 2, 1, 2]) {
        t.backend.threads = n;
        for (let k = 0; k < 3; k++) results.add(f(x).item());
        expect(f.plan()).toContain(`, ${n} thread${n === 1 ? '' : 's'}:`);
      }
    } finally {
      t.backend.threads = saved;
    }
    expect(results.size).toBe(1);
    expect(recordedPlans() - before).toBe(2);
  });

  it('follows a switch of the engine, and back', () => {
    const f = compile((x: Tensor) => x.mul(2).sum());
    const engine = t.backend.name;
    const [[x]] = vectors(1) as [[Tensor]];
    const expected = x.mul(2).sum().item();
    try {
      for (const name of [engine, 'reference', engine, 'wasm', engine] as const) {
        t.backend.use(name);
        for (let k = 0; k < 3; k++) expect(f(x).item()).toBeCloseTo(expected, 4);
      }
    } finally {
      t.backend.use(engine);
    }
  });

  it.each([
    ['a graph in the result', (x: Tensor) => x.mul(t.tensor([1], { requiresGrad: true })), /carries a graph/],
    ['values that are read', (x: Tensor) => x.mul(x.sum().item()), /values are read/],
    ['arguments that are read', (x: Tensor) => t.tensor(x.toArray() as number[]), /values are read/],
    ['random numbers outside tensors', (x: Tensor) => (t.randperm(3), x.mul(2)), /drawn outside tensors/],
  ] as const)('stays eager for %s, and says so once', (_name, fn, reason) => {
    const seen: string[] = [];
    const spy = vi.spyOn(process, 'emitWarning').mockImplementation((text) => void seen.push(String(text)));
    expect(both(fn as (x: Tensor) => unknown, vectors(5)).plans).toBe(0);
    spy.mockRestore();
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatch(reason);
    expect(seen[0]).toMatch(/compile: every call stays eager/);
  });

  it('stays eager without a word when THALWEG_REPLAY is off', () => {
    const before = recordedPlans();
    const f = withReplay('off', () => compile((x: Tensor) => noGrad(() => x.mul(2))));
    for (const [x] of vectors(4)) f(x);
    expect(recordedPlans()).toBe(before);
  });
});
