// How much a step needs at its peak: what the forward pass computed, little more backwards, and no more for its plan.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as t from '../../src/index.js';
import type { Tensor } from '../../src/index.js';
import { numbers, withReplay } from '../replay/support.js';

const LAYERS = 32;
const SIZE = 1 << 16;
/** Bytes of one layer's output. */
const LAYER = 4 * SIZE;

const used = (): number => t.backend.info().heapUsed;
const capacity = (): number => t.backend.info().heapBytes;

const chain = (x: Tensor, layers = LAYERS): Tensor =>
  Array.from({ length: layers }).reduce<Tensor>((y) => y.tanh(), x);

// Workers of the WASM engine start when they are worth it, and take memory on the heap.
const { threads } = t.backend;
beforeAll(() => void (t.backend.threads = 1));
afterAll(() => void (t.backend.threads = threads));

/** A step over layers that each have a large output, or a large weight, with what it needs at most as the update begins. */
function watchedStep(lossFn: (x: Tensor) => Tensor, params: Tensor[], first = () => {}) {
  const sgd = new t.optim.SGD(params, { lr: 1e-4 });
  let peak = 0;
  const before = used();
  const optimizer = {
    step() {
      first();
      peak = Math.max(peak, used() - before);
      sgd.step();
    },
    zeroGrad: () => sgd.zeroGrad(),
    gradNorm: () => sgd.gradNorm(),
    scaleGrads: (factor: number) => sgd.scaleGrads(factor),
  };
  return {
    step: t.trainStep(lossFn, optimizer),
    /** Since it was asked last. */
    peak: () => {
      const now = peak;
      peak = 0;
      return now;
    },
  };
}

describe('a backward pass', () => {
  it('needs little more memory than the forward pass left it', () => {
    const w = t.tensor(numbers(SIZE, 1), { requiresGrad: true });
    const before = used();
    const [forward, backward] = t.scope(() => {
      const loss = chain(w).sum();
      const after = used();
      loss.backward();
      return [after - before, used() - before];
    });
    expect(forward).toBeGreaterThan(LAYERS * LAYER);
    expect(backward! - forward!).toBeLessThan(0.3 * forward!);
  });

  it('needs little more for the gradient of a function, and for tensors', () => {
    const w = t.tensor(numbers(SIZE, 1), { requiresGrad: true });
    const before = used();
    const needed = t.scope(() => {
      t.grad(chain(w).sum(), w);
      return used() - before;
    });
    expect(needed).toBeLessThan(1.3 * LAYERS * LAYER + (1 << 20));
  });
});

describe('a training step', () => {
  it('has given the graph back when the update begins', () => {
    const w = t.tensor(numbers(SIZE, 1), { requiresGrad: true });
    const x = t.tensor(numbers(SIZE, 2));
    const { step, peak } = withReplay('off', () =>
      watchedStep(
        (x) => chain(w.mul(x)).sum(),
        [w],
        // Fits where the graph was.
        () => void Array.from({ length: LAYERS - 4 }, () => w.mul(2)),
      ),
    );
    step(x);
    expect(peak()).toBeLessThan(1.7 * LAYERS * LAYER);
  });

  it('lets go of values that no gradient rule needs, and computes them again for those who ask', () => {
    const shape = [4, 8, SIZE / 32];
    const blocks = (x: Tensor, see: (inner: Tensor, sum: Tensor) => void): Tensor =>
      Array.from({ length: LAYERS }).reduce<Tensor>((y) => {
        const inner = t.batchNorm(y, { training: true });
        const sum = inner.add(y);
        const end = sum.relu();
        see(inner, sum);
        return end;
      }, x);
    const run = (see: (inner: Tensor, sum: Tensor) => void) => {
      const w = t.tensor(numbers(SIZE, 1), { shape, requiresGrad: true });
      const { step, peak } = watchedStep((x) => blocks(w.mul(x), see).sum(), [w]);
      const losses = [1, 2, 3].map((seed) => step(t.tensor(numbers(SIZE, seed), { shape })));
      return { peak: peak(), results: [losses, w.toArray()] };
    };
    const alone = withReplay('off', () => run(() => {}));
    // Of a block's three outputs one is needed.
    expect(alone.peak).toBeLessThan(1.7 * LAYERS * LAYER);
    const kept: unknown[] = [];
    const seen = withReplay('off', () => run((inner, sum) => void kept.push(sum.toArray(), inner.toArray())));
    expect(seen.peak).toBeGreaterThan(1.5 * alone.peak);
    expect(seen.results).toEqual(alone.results);
    expect(withReplay('on', () => run(() => {})).results).toEqual(alone.results);
  });

  it('has no two large gradients of parameters in step memory at once', () => {
    const weights = Array.from({ length: LAYERS }, (_, k) =>
      t.tensor(numbers(SIZE, k), { shape: [256, 256], requiresGrad: true }),
    );
    const { step, peak } = withReplay('off', () =>
      watchedStep((x) => weights.reduce<Tensor>((y, w) => t.linear(y, w), x).sum(), weights),
    );
    step(t.tensor(numbers(1024, 1), { shape: [4, 256] }));
    expect(peak()).toBeLessThan(LAYERS * LAYER * 0.5);
  });

  it('has no large gradient of a parameter in step memory that can be computed where it belongs', () => {
    const make = () => {
      const w = t.tensor(numbers(16 * SIZE, 1), { shape: [1024, 1024], requiresGrad: true });
      // Read twice in the second case: what comes first is there when the rest is added.
      const once = watchedStep((x) => t.linear(x, w).sum(), [w]);
      const twice = watchedStep((x) => t.linear(t.linear(x, w).tanh(), w).sum(), [w]);
      const x = t.tensor(numbers(4096, 2), { shape: [4, 1024] });
      const before = capacity();
      const losses = [once.step(x), once.step(x), once.step(x)];
      expect(capacity() - before).toBeLessThan(LAYER);
      losses.push(twice.step(x), twice.step(x), twice.step(x));
      return [losses, w.toArray(), w.grad!.toArray()];
    };
    expect(withReplay('off', make)).toEqual(withReplay('on', make));
  });

  it('puts its plan where the recorded calls were', () => {
    const w = t.tensor(numbers(SIZE, 1), { requiresGrad: true });
    const { step } = withReplay('on', () => watchedStep((x) => chain(w.mul(x)).sum(), [w]));
    const x = t.tensor(numbers(SIZE, 2));
    step(x);
    const before = capacity();
    for (let k = 0; k < 3; k++) step(x);
    expect(step.replayed).toBe(2);
    expect(capacity()).toBe(before);
  });

  // The reference engine would take minutes.
  it.skipIf(t.backend.name === 'reference')(
    'lends the plan to the calls that are looked at again, and finds its constants there afterwards',
    () => {
      const shift = numbers(SIZE, 5);
      const make = () => {
        const w = t.tensor(numbers(SIZE, 1), { requiresGrad: true });
        // A new array of the same numbers at every call is a constant of the plan.
        return watchedStep((x) => chain(w.mul(x).add(shift.slice()), 6).sum(), [w]);
      };
      const [replayed, eager] = [withReplay('on', make), withReplay('off', make)];
      const x = t.tensor(numbers(SIZE, 2));
      const losses = (step: (x: Tensor) => number, n: number): number[] =>
        Array.from({ length: n }, () => step(x));
      const start = losses(replayed.step, 4);
      const first = replayed.peak();
      expect([...start, ...losses(replayed.step, 1001)]).toEqual(losses(eager.step, 1005));
      expect(replayed.step.replayed).toBe(1002);
      const later = replayed.peak();
      expect(later).toBeGreaterThan(0);
      // The plan's program lies on the heap too.
      expect(later).toBeLessThan(first + 2 * LAYER);
    },
  );

  it('can be told to forget its plans in such a call', () => {
    const w = t.tensor([1, 2], { requiresGrad: true });
    let calls = 0;
    const step = withReplay('on', () =>
      t.trainStep(
        (x: Tensor) => {
          if (++calls === 3) step.dispose();
          return w.mul(x).add([3, 4]).sum();
        },
        new t.optim.SGD([w], { lr: 0 }),
      ),
    );
    const losses = Array.from({ length: 1010 }, () => step(t.tensor([1, 1])));
    expect(calls).toBeGreaterThan(3);
    expect(new Set(losses)).toEqual(new Set([10]));
  });

  it('says what became of a tensor that is read after the loss function', () => {
    const w = t.tensor([1, 2], { requiresGrad: true });
    let seen!: Tensor;
    const sgd = new t.optim.SGD([w], { lr: 0.1 });
    const optimizer = {
      step: () => void seen.toArray(),
      zeroGrad: () => sgd.zeroGrad(),
      gradNorm: () => sgd.gradNorm(),
      scaleGrads: (factor: number) => sgd.scaleGrads(factor),
    };
    const step = t.trainStep((x: Tensor) => (seen = w.mul(x)).square().sum(), optimizer);
    expect(() => step(t.tensor([3, 4]))).toThrow(t.ScopeError);
  });

  it('takes a gradient of before into its graph, and keeps it until it is read', () => {
    const make = (): (() => [number, unknown]) => {
      const w = t.tensor([1, 2], { requiresGrad: true });
      const sgd = new t.optim.SGD([w], { lr: 0.1 });
      let last: Tensor | null = null;
      const step = t.trainStep((x: Tensor) => {
        // The run of gradients itself, read by the rule of a product after w's gradient is known.
        const start = w.mul(x);
        const loss = (last ? start.mul(last.mul(start)) : start).square().sum();
        return loss;
      }, sgd);
      return () => {
        const loss = step(t.tensor([3, 4]));
        last = w.grad;
        return [loss, w.toArray()];
      };
    };
    const [a, b] = [withReplay('on', make), withReplay('off', make)];
    for (let k = 0; k < 4; k++) expect(a()).toEqual(b());
  });
});

describe('a parameter', () => {
  it('leaves nothing behind when an optimizer takes it into its run', () => {
    const before = [used(), process.memoryUsage().arrayBuffers];
    const layer = new t.nn.Linear(1024, 512);
    const values = layer.weight.toFloat32Array();
    const bytes = 4 * (values.length + 512);
    expect(used() - before[0]!).toBeLessThan(1.1 * bytes);
    const optimizer = new t.optim.SGD(layer.parameters(), { lr: 0.1 });
    // Parameters and gradients.
    expect(used() - before[0]!).toBeLessThan(2.1 * bytes);
    // The copy made here, and no other.
    expect(process.memoryUsage().arrayBuffers - before[1]!).toBeLessThan(1.5 * bytes);
    expect(layer.weight.toFloat32Array()).toEqual(values);
    expect(optimizer.groups[0]!.params).toHaveLength(2);
  });

  it('goes from the run of one optimizer to that of another, and both runs stay', () => {
    const w = t.randn([64]).keep();
    w.requiresGrad = true;
    const values = w.toArray();
    const [a, b] = [new t.optim.SGD([w], { lr: 1 }), new t.optim.SGD([w], { lr: 1 })];
    for (const optimizer of [b, a, b]) {
      w.grad = t.zeros([64]);
      optimizer.step();
      // Whatever was given back by mistake is overwritten.
      t.ones([4096]).mul(7);
      expect(w.toArray()).toEqual(values);
    }
  });
});
