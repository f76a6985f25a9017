// Values that a step lets go of: whoever asks for them gets the same ones again, a recording does not see it, and nothing
// is computed from what has changed.
import { describe, expect, it, vi } from 'vitest';
import * as t from '../../src/index.js';
import type { Tensor } from '../../src/index.js';
import { currentScope, openScope } from '../../src/memory/arena.js';
import { watched } from '../../src/memory/watcher.js';
import { Recorder } from '../../src/replay/recorder.js';
import { numbers, Twins, valuesOf, withReplay, type Program } from '../replay/support.js';

const SHAPE = [16, 4, 512];
const SIZE = 16 * 4 * 512;
const GONE = -2;

const leaf = (seed: number): Tensor => t.tensor(numbers(SIZE, seed), { shape: SHAPE, requiresGrad: true });

/** Runs `fn` in a scope that lets go of whatever it may. */
function inThriftyScope<T>(fn: () => T): T {
  const scope = openScope();
  scope.letsGoFrom = 0;
  try {
    return fn();
  } finally {
    scope.end();
  }
}

const norm = (x: Tensor): Tensor => t.batchNorm(x, { training: true });

describe('values that are let go', () => {
  it('come back when they are read, one through the other, and stay', () => {
    const w = leaf(1);
    const expected = t.scope(() => norm(w.mul(2)).add(w).toArray());
    inThriftyScope(() => {
      const inner = norm(w.mul(2));
      const sum = inner.add(w);
      expect(inner.storage.offset).toBe(GONE);
      sum.relu();
      expect(sum.storage.offset).toBe(GONE);
      // What takes their place must not be theirs.
      for (let k = 0; k < 4; k++) w.mul(k);
      expect(sum.toArray()).toEqual(expected);
      expect(inner.storage.offset).toBeGreaterThan(0);
      const place = sum.storage.offset;
      sum.relu();
      expect(sum.storage.offset).toBe(place);
    });
  });

  it('are none that a gradient rule needs, before or after', () => {
    const w = leaf(1);
    inThriftyScope(() => {
      const [first, second] = [w.add(1), w.add(2)];
      first.mul(w);
      first.relu();
      expect(first.storage.offset).toBeGreaterThan(0);
      second.relu();
      expect(second.storage.offset).toBe(GONE);
      second.mul(w);
      second.relu();
      expect(second.storage.offset).toBeGreaterThan(0);
    });
  });

  it('are none where the scope keeps all, or of tensors that outlive it', () => {
    const w = leaf(1);
    const scope = openScope();
    const x = w.add(1);
    x.relu();
    expect(x.storage.offset).toBeGreaterThan(0);
    scope.end();
    inThriftyScope(() => {
      const kept = w.add(1).keep();
      kept.relu();
      expect(kept.storage.offset).toBeGreaterThan(0);
      const late = w.add(1);
      late.relu();
      expect(late.keep().toArray()).toEqual(kept.toArray());
    });
  });

  it('are not computed from inputs that have changed in place', () => {
    const w = leaf(1);
    inThriftyScope(() => {
      const x = w.add(1);
      x.relu();
      t.nn.init.zeros(w);
      expect(() => x.toArray()).toThrow(
        /add: its result, shape \[16, 4, 512\], is computed anew, but an input was changed in place; call keep\(\)/,
      );
      expect(() => x.mul(2)).toThrow(/keep\(\)/);
    });
  });

  it('do not come back when the scope has ended', () => {
    const w = leaf(1);
    const x = inThriftyScope(() => {
      const sum = w.add(1);
      sum.relu();
      return sum;
    });
    expect(() => x.toArray()).toThrow(t.ScopeError);
    expect(() => x.add(1)).toThrow(t.ScopeError);
  });
});

describe('products', () => {
  const [x, w] = [
    t.tensor(numbers(64 * 32, 1), { shape: [64, 32] }),
    t.tensor(numbers(32 * 16, 2), { shape: [16, 32], requiresGrad: true }),
  ];
  const image = t.tensor(numbers(2 * 3 * 64, 3), { shape: [2, 3, 8, 8] });
  const filter = t.tensor(numbers(4 * 3 * 9, 4), { shape: [4, 3, 3, 3], requiresGrad: true });
  const products: [string, () => Tensor][] = [
    ['linear', () => t.linear(x, w)],
    ['conv2d', () => t.conv2d(image, filter)],
  ];

  it.each(products)('%s: kept where steps stay eager', (_name, product) => {
    inThriftyScope(() => {
      const y = product();
      y.relu();
      expect(y.storage.offset).toBeGreaterThan(0);
    });
  });

  it.each(products)('%s: let go while a recorder looks, which sees one launch', (_name, product) => {
    const expected = Array.from(product().toFloat32Array());
    inThriftyScope(() => {
      const recorder = new Recorder([], currentScope()!);
      watched(recorder, () => {
        const y = product();
        const positive = y.relu();
        expect(y.storage.offset).toBe(GONE);
        const sum = y.add(positive);
        expect(y.storage.offset).toBeGreaterThan(0);
        const [made, used, added, ...others] = recorder.entries;
        expect([used!.kernel, added!.kernel, ...others]).toEqual(['relu', 'add']);
        expect(used!.owners[1]).toBe(made!.owners[0]);
        expect(added!.owners.slice(1, 3)).toEqual([made!.owners[0], used!.owners[0]]);
        expect(Array.from(y.storage.peek())).toEqual(expected);
        expect(Array.from(sum.storage.peek())).toEqual(expected.map((n) => Math.fround(n + Math.max(n, 0))));
      });
    });
  });
});

/** A step that asks for what was let go. */
function program(): Program {
  const [w, v] = [leaf(1), t.tensor(numbers(32 * 512, 2), { shape: [32, 512], requiresGrad: true })];
  const sgd = new t.optim.SGD([w, v], { lr: 0.1 });
  const step = t.trainStep((x: Tensor) => {
    const product = t.linear(w.mul(x), v);
    const inner = norm(w.mul(x));
    const [a, b] = [inner.relu(), inner.sigmoid()];
    const sum = a.add(b);
    const c = sum.relu();
    return c.add(inner).mul(sum).mean().add(product.relu().add(product).mean());
  }, sgd);
  return { step, state: () => valuesOf([w, w.grad, v]) };
}

describe.each(['on', 'check'] as const)('a recorded step that asks for them, replay %s', (mode) => {
  const batches = Array.from({ length: 5 }, (_, k): [Tensor] => [
    t.tensor(numbers(SIZE, k), { shape: SHAPE }),
  ]);

  it('equals the eager one', () => {
    expect(new Twins(program, mode).run(...batches)).toBe(3);
  });
});

describe('a plan', () => {
  it('has no launch twice because of them', () => {
    const { step } = withReplay('on', program);
    const x = t.tensor(numbers(SIZE, 1), { shape: SHAPE });
    for (let k = 0; k < 3; k++) step(x);
    expect(step.plan().match(/batchNorm /g)).toHaveLength(1);
    expect(step.plan().match(/ NT /g)).toHaveLength(1);
  });

  it('is not made of a step that copies them', () => {
    const w = leaf(1);
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    try {
      const step = withReplay('on', () =>
        t.trainStep(
          (x: Tensor) => {
            const sum = w.add(x);
            const y = sum.relu();
            return y.mul(t.tensor(sum)).mean();
          },
          new t.optim.SGD([w], { lr: 0.1 }),
        ),
      );
      const x = t.tensor(numbers(SIZE, 1), { shape: SHAPE });
      for (let k = 0; k < 4; k++) step(x);
      expect(step.replayed).toBe(0);
      expect(warn).toHaveBeenCalledOnce();
    } finally {
      warn.mockRestore();
    }
  });
});
