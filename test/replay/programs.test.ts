// Whole programs under replay: two models in turns, an adversarial pair, meta-learning, a switch of the engine in the
// middle, and memory over 10,000 steps.
import { describe, expect, it } from 'vitest';
import * as t from '../../src/index.js';
import { bceWithLogits, grad, mseLoss, nn, noGrad, optim, trainStep, type Tensor } from '../../src/index.js';
import { numbers, Twins, valuesOf, withReplay, type Program } from './support.js';

const mlp = (...sizes: number[]): nn.Sequential =>
  new nn.Sequential(
    ...sizes
      .slice(1)
      .flatMap((n, k) => [new nn.Linear(sizes[k]!, n), new nn.Tanh()])
      .slice(0, -1),
  );
const rows = (seed: number, n = 8, width = 4): Tensor =>
  t.tensor(numbers(n * width, seed), { shape: [n, width] });

describe(`replayed programs on ${t.backend.name}`, () => {
  it('two models that train in turns', () => {
    const twins = new Twins(() => {
      const [a, b] = [mlp(4, 8, 2), mlp(4, 16, 2)];
      const make = (net: nn.Sequential): Program['step'] =>
        trainStep(
          (x: Tensor, y: Tensor) => mseLoss(net.forward(x), y),
          new optim.Adam(net.parameters(), { lr: 0.01 }),
        );
      return { step: make(a), other: make(b), state: () => valuesOf([...a.parameters(), ...b.parameters()]) };
    });
    for (let k = 0; k < 8; k++) {
      twins.both(({ step }) => step(rows(k), rows(k, 8, 2)));
      twins.both(({ other }) => other(rows(k + 9), rows(k, 8, 2)));
    }
    expect(twins.replayed.step.replayed).toBe(6);
    expect(twins.replayed.other.replayed).toBe(6);
  });

  it('an adversarial pair: each step sees the other network, and its gradients', () => {
    const twins = new Twins(() => {
      const [make, judge] = [mlp(3, 8, 4), mlp(4, 8, 1)];
      const fake = (): Tensor => make.forward(t.randn([8, 3]));
      const goal = (n: number): Tensor => t.full([8, 1], n);
      const step = trainStep(
        (real: Tensor) =>
          bceWithLogits(judge.forward(real), goal(1)).add(
            bceWithLogits(judge.forward(noGrad(fake)), goal(0)),
          ),
        new optim.Adam(judge.parameters(), { lr: 0.01 }),
      );
      const other = trainStep(
        () => bceWithLogits(judge.forward(fake()), goal(1)),
        new optim.Adam(make.parameters(), { lr: 0.01 }),
      );
      return { step, other, state: () => valuesOf([...make.parameters(), ...judge.parameters()]) };
    });
    for (let k = 0; k < 8; k++) {
      twins.both(({ step }) => step(rows(k)));
      twins.both(({ other }) => other());
    }
    expect(twins.replayed.step.replayed).toBeGreaterThan(4);
    expect(twins.replayed.other.replayed).toBeGreaterThan(4);
  });

  it('MAML: an inner loop of gradient steps inside the loss', () => {
    const twins = new Twins(() => {
      const w = t.tensor(numbers(4, 2), { shape: [4, 1], requiresGrad: true });
      const task = (p: Tensor, x: Tensor, y: Tensor): Tensor => mseLoss(x.matmul(p), y);
      const step = trainStep(
        (x: Tensor, y: Tensor) => {
          let fast: Tensor = w;
          for (let k = 0; k < 2; k++) fast = fast.sub(grad((p: Tensor) => task(p, x, y))(fast).mul(0.1));
          return task(fast, x, y);
        },
        new optim.Adam([w], { lr: 0.01 }),
      );
      return { step, state: () => valuesOf([w]) };
    });
    const batches = [0, 1, 2, 3, 4, 5].map((k): [Tensor, Tensor] => [rows(k), rows(k, 8, 1)]);
    expect(twins.run(...batches)).toBe(4);
  });

  it('the engine is switched while plans exist, and back', () => {
    const engine = t.backend.name;
    const other = engine === 'wasm' ? 'reference' : 'wasm';
    const twins = new Twins(() => {
      const net = mlp(4, 8, 2);
      const step = trainStep(
        (x: Tensor, y: Tensor) => mseLoss(net.forward(x), y),
        new optim.SGD(net.parameters()),
      );
      return { step, state: () => valuesOf(net.parameters()) };
    });
    const some = (): [Tensor, Tensor][] => [0, 1, 2, 3].map((k) => [rows(k), rows(k, 8, 2)]);
    try {
      expect(twins.run(...some())).toBe(2);
      t.backend.use(other);
      expect(twins.run(...some())).toBe(2);
      t.backend.use(engine);
      expect(twins.run(...some())).toBe(4);
    } finally {
      t.backend.use(engine);
    }
  });

  it('a batch that is computed in a loader’s scope', () => {
    const net = mlp(4, 8, 2);
    const data = new t.data.ArrayDataset(rows(1, 64, 4), rows(2, 64, 2));
    const step = trainStep(
      (x: Tensor, y: Tensor) => mseLoss(net.forward(x), y),
      new optim.SGD(net.parameters()),
    );
    for (const [x, y] of new t.data.DataLoader(data, { batchSize: 8 })) step(x.mul(2), y as Tensor);
    expect(step.replayed).toBe(6);
  });
});

describe(`memory on ${t.backend.name}`, () => {
  it.each(['on', 'off'] as const)('is flat over 10,000 training steps with replay %s', (mode) => {
    t.manualSeed(1);
    const net = new nn.Sequential(
      new nn.Linear(16, 32),
      new nn.ReLU(),
      new nn.Dropout(0.1),
      new nn.Linear(32, 4),
    );
    const opt = new optim.Adam(net.parameters());
    const step = withReplay(mode, () =>
      trainStep(
        (x: Float32Array, y: Int32Array) => t.crossEntropy(net.forward(t.tensor(x, { shape: [8, 16] })), y),
        opt,
      ),
    );
    const [x, y] = [numbers(128, 1), Int32Array.of(0, 1, 2, 3, 0, 1, 2, 3)];
    for (let k = 0; k < 600; k++) step(x, y);
    global.gc?.();
    const before = [t.backend.info().heapBytes, t.backend.info().heapUsed];
    const arrays = process.memoryUsage().arrayBuffers;
    for (let k = 0; k < 10_000; k++) step(x, y);
    global.gc?.();
    expect([t.backend.info().heapBytes, t.backend.info().heapUsed]).toEqual(before);
    // Ordinary arrays wait for the collector; 10,000 steps make some 20 MB of them.
    expect(process.memoryUsage().arrayBuffers - arrays).toBeLessThan(32 << 20);
    expect(step.replayed).toBeGreaterThan(mode === 'on' ? 10_000 : -1);
  });
});
