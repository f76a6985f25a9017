// A replayed trainStep is the eager one to the bit: losses, parameters, statistics, optimizer state and random numbers, in
// every situation that may change what a step does.
import { expect, it, vi } from 'vitest';
import * as t from '../../src/index.js';
import { nn, optim, trainStep, type Tensor } from '../../src/index.js';
import type { StepOptions, TrainStep } from '../../src/train/step.js';
import { describeReplay, labels, numbers, Twins, valuesOf, type Program } from './support.js';

type Batch = [x: Float32Array | Tensor, y: Int32Array];

class Net extends nn.Module {
  conv = new nn.Conv2d(1, 4, 3, { padding: 1 });
  norm = new nn.BatchNorm2d(4);
  drop = new nn.Dropout(0.3);
  head = new nn.Linear(64, 5);
  override forward(x: Tensor): Tensor {
    const h = t.maxPool2d(t.relu(this.norm.forward(this.conv.forward(x))), 2);
    return this.head.forward(this.drop.forward(h.flatten(1)));
  }
}

interface Trained extends Program {
  step: TrainStep<Batch>;
  net: Net;
  opt: optim.Optimizer;
}

type Make = (net: Net) => optim.Optimizer;
const adam: Make = (net) => new optim.Adam(net.namedParameters(), { lr: 0.01 });

function trained(make: Make = adam, options: StepOptions = {}): Trained {
  const net = new Net();
  const opt = make(net);
  const step = trainStep(
    (x: Float32Array | Tensor, y: Int32Array) =>
      t.crossEntropy(
        net.forward(x instanceof Float32Array ? t.tensor(x, { shape: [y.length, 1, 8, 8] }) : x),
        y,
      ),
    opt,
    options,
  );
  const state = (): unknown => [
    valuesOf(net.parameters()),
    valuesOf(net.buffers()),
    valuesOf([...net.parameters()].map((p) => p.grad)),
    opt.stateDict(),
    [step.skipped, step.gradNorm],
  ];
  return { net, opt, step, state };
}

const batch = (seed: number, n = 6): Batch => [numbers(n * 64, seed), labels(n, 5, seed)];
const batches = (count: number, from = 0, n = 6): Batch[] =>
  Array.from({ length: count }, (_, k) => batch(from + k, n));

describeReplay(`a replayed step on ${t.backend.name} equals the eager one`, () => {
  it('from the third call on, with convolution, batch norm, dropout, pooling and Adam', () => {
    const twins = new Twins(trained);
    expect(twins.run(...batches(2))).toBe(0);
    expect(twins.run(...batches(6, 2))).toBe(6);
  });

  const rules: Record<string, Make> = {
    SGD: (net) => new optim.SGD(net.parameters(), { lr: 0.1 }),
    momentum: (net) => new optim.SGD(net.parameters(), { lr: 0.05, momentum: 0.9, dampening: 0.1 }),
    Adagrad: (net) => new optim.Adagrad(net.parameters(), { lr: 0.05 }),
    RMSProp: (net) => new optim.RMSProp(net.parameters(), { lr: 0.01, momentum: 0.5, centered: true }),
    AMSGrad: (net) => new optim.AMSGrad(net.parameters(), { lr: 0.01 }),
    AdamW: (net) => new optim.AdamW(optim.paramGroups(net, { noDecay: 'auto' }), { lr: 0.01 }),
    AdaBound: (net) => new optim.AdaBound(net.parameters(), { lr: 0.01 }),
    Lion: (net) => new optim.Lion(net.parameters(), { lr: 0.01 }),
    // Large betas and a loose tolerance make it switch within the run.
    SWATS: (net) => new optim.SWATS(net.parameters(), { lr: 0.01 }),
  };
  it.each(Object.keys(rules))('with %s', (name) => {
    const twins = new Twins(() => trained(rules[name]));
    expect(twins.run(...batches(12))).toBeGreaterThan(5);
  });

  it('when the learning rate is changed by hand, by a schedule and by a loaded state', () => {
    const lr = t.schedule.oneCycle({ maxLr: 0.01, totalSteps: 20 });
    const twins = new Twins(() => trained((net) => new optim.Adam(net.namedParameters(), { lr })));
    expect(twins.run(...batches(5))).toBe(3);
    twins.both(({ opt }) => (opt.groups[0]!.lr = 0.002));
    expect(twins.run(...batches(2))).toBe(2);
    twins.both(({ opt, net }) => {
      const state = opt.stateDict();
      const values = net.stateDict();
      opt.loadStateDict({ ...state, steps: 50 });
      net.loadStateDict(Object.fromEntries(Object.entries(values).map(([k, v]) => [k, v.mul(0.5)])));
    });
    expect(twins.run(...batches(2))).toBe(2);
  });

  it('when a parameter is frozen and thawed between steps', () => {
    const twins = new Twins(trained);
    expect(twins.run(...batches(4))).toBe(2);
    twins.both(({ net }) => void net.conv.requiresGrad_(false));
    expect(twins.run(...batches(4))).toBe(2);
    twins.both(({ net }) => void net.conv.requiresGrad_(true));
    // Its step count fell behind, so the update is cut in two now: another program.
    expect(twins.run(...batches(4))).toBe(2);
  });

  it('when the model switches between training and evaluation', () => {
    const twins = new Twins(trained);
    twins.run(...batches(3));
    twins.both(({ net }) => void net.eval());
    expect(twins.run(...batches(4))).toBe(2);
    twins.both(({ net }) => void net.train());
    expect(twins.run(...batches(2))).toBe(2);
  });

  it('when shapes change, with a bounded number of plans', () => {
    const twins = new Twins(trained);
    for (let n = 2; n < 14; n++) expect(twins.run(...batches(3, n, n))).toBe(1);
    // The last shape's plan is there, the first one's is gone.
    expect(twins.run(batch(1, 13))).toBe(1);
    expect(twins.run(batch(1, 2))).toBe(0);
  });

  it('when groups are added', () => {
    const twins = new Twins(() =>
      trained((net) => new optim.Adam([...net.conv.parameters(), ...net.norm.parameters()])),
    );
    // The others' gradients are there from the second call on, and are added to.
    expect(twins.run(...batches(4))).toBe(1);
    twins.both(({ opt, net }) => opt.addGroup({ params: net.head.parameters(), lr: 0.1 }));
    expect(twins.run(...batches(4))).toBe(2);
  });

  it('when gradients are cleared, set or read between steps', () => {
    const twins = new Twins(trained);
    twins.run(...batches(3));
    twins.both(({ opt }) => opt.zeroGrad());
    expect(twins.run(...batches(1))).toBe(1);
    twins.both(({ net }) => (net.head.weight.grad = t.ones([5, 64])));
    expect(twins.run(...batches(1))).toBe(1);
    twins.both(({ opt }) => opt.gradNorm());
  });

  it('when eager steps of the same optimizer come in between', () => {
    const twins = new Twins(trained);
    twins.run(...batches(3));
    twins.both(({ net, opt }) => {
      opt.zeroGrad();
      t.crossEntropy(net.forward(t.tensor(batch(9)[0], { shape: [6, 1, 8, 8] })), batch(9)[1]).backward();
      opt.step();
    });
    expect(twins.run(...batches(3))).toBe(3);
  });

  it.each([
    ['clipping', { clipNorm: 0.5 }],
    ['clipping that never clips', { clipNorm: 1e6 }],
    ['skipping', { onNonFinite: 'skip' }],
    ['throwing', { onNonFinite: 'throw' }],
    ['micro-batches', { accumulate: 3 }],
    ['all together', { accumulate: 2, clipNorm: 0.1, onNonFinite: 'skip' }],
  ] as [string, StepOptions][])('with %s', (_name, options) => {
    const twins = new Twins(() => trained(adam, options));
    expect(twins.run(...batches(14))).toBeGreaterThanOrEqual(8);
  });

  it('when a batch makes the loss NaN: skipped alike, and nothing changed', () => {
    const twins = new Twins(() => trained(adam, { onNonFinite: 'skip', clipNorm: 1 }));
    twins.run(...batches(4));
    const bad = batch(1);
    (bad[0] as Float32Array)[7] = NaN;
    const before = valuesOf(twins.replayed.net.parameters());
    expect(twins.run(bad)).toBe(1);
    expect(valuesOf(twins.replayed.net.parameters())).toEqual(before);
    expect(twins.run(...batches(2))).toBe(2);
  });

  it('when the first batches make the loss NaN: what is recorded of them serves no others', () => {
    const twins = new Twins(() => trained(adam, { onNonFinite: 'skip' }));
    const bad = batch(1);
    (bad[0] as Float32Array)[7] = NaN;
    expect(twins.run(bad, bad, bad)).toBe(0);
    expect(twins.run(...batches(4))).toBe(2);
  });

  it('when the norm is wanted now and then', () => {
    const twins = new Twins(trained);
    twins.run(...batches(3));
    twins.both(({ step }) => (step.measureNorm = true));
    expect(twins.run(...batches(4))).toBe(2);
    twins.both(({ step }) => (step.measureNorm = false));
    expect(twins.run(...batches(2))).toBe(2);
  });

  it('with batches as tensors: ordinary, kept, and of an enclosing scope', () => {
    const twins = new Twins(trained);
    const whole = (seed: number): Tensor => t.tensor(batch(seed)[0] as Float32Array, { shape: [6, 1, 8, 8] });
    expect(twins.run(...[0, 1, 2, 3].map((k): Batch => [whole(k), batch(k)[1]]))).toBe(2);
    twins.both(({ step }) => t.scope(() => [1, 2].map((k) => step(whole(k).mul(2), batch(k)[1]))));
    twins.both(({ step }) => step(whole(7).keep(), batch(7)[1]));
    expect(twins.replayed.step.replayed).toBe(5);
  });

  it('when labels out of range come: the same error, and the step goes on', () => {
    const twins = new Twins(trained);
    twins.run(...batches(3));
    const [x, y] = batch(1);
    const { step, net } = twins.replayed;
    const before = valuesOf(net.parameters());
    const wrong = y.map((v, k) => (k === 4 ? 9 : v));
    expect(() => step(x, wrong)).toThrow(/crossEntropy: target 9 at position 4/);
    expect(valuesOf(net.parameters())).toEqual(before);
    expect(twins.run(...batches(2))).toBe(2);
  });
});

describeReplay('a step that cannot be replayed', () => {
  const warnings = (): { calls: string[]; done: () => void } => {
    const calls: string[] = [];
    const spy = vi.spyOn(process, 'emitWarning').mockImplementation((text) => void calls.push(String(text)));
    return { calls, done: () => spy.mockRestore() };
  };
  const w = (): Tensor => t.tensor([1, -2, 3], { requiresGrad: true });

  it('says once which line reads a value, and stays eager', () => {
    const seen = warnings();
    const p = w();
    const step = trainStep(
      (x: Tensor) => {
        const loss = p.mul(x).square().sum();
        return loss.item() > 1e9 ? loss.mul(0) : loss;
      },
      new optim.SGD([p], { lr: 0.01 }),
    );
    for (let k = 0; k < 5; k++) step(t.tensor([1, 2, 3]));
    seen.done();
    expect(step.replayed).toBe(0);
    expect(seen.calls).toHaveLength(1);
    expect(seen.calls[0]).toMatch(
      /trainStep: every call stays eager: values are read \(at .*step\.test\.ts:\d+:\d+\)/,
    );
  });

  it('notices a number that changes from call to call', () => {
    const seen = warnings();
    const p = w();
    let beta = 0;
    const step = trainStep(
      (x: Tensor) =>
        p
          .mul(x)
          .sum()
          .mul((beta += 0.1)),
      new optim.SGD([p], { lr: 0.01 }),
    );
    for (let k = 0; k < 30; k++) step(t.tensor([1, 2, 3]));
    seen.done();
    expect(step.replayed).toBe(0);
    expect(seen.calls.join()).toMatch(
      /1 numbers that JavaScript made inside the function were others; pass them as an argument/,
    );
  });

  it('notices, at the latest at the next look, a number that changed after the recording', () => {
    const seen = warnings();
    const p = w();
    let beta = 1;
    const step = trainStep((x: Tensor) => p.mul(x).sum().mul(beta), new optim.SGD([p], { lr: 1e-6 }));
    for (let k = 0; k < 10; k++) step(t.tensor([1, 2, 3]));
    beta = 0.5;
    for (let k = 0; k < 1100; k++) step(t.tensor([1, 2, 3]));
    seen.done();
    expect(seen.calls.join()).toMatch(/1 numbers that JavaScript made inside the function were others/);
    const now = step.replayed;
    step(t.tensor([1, 2, 3]));
    expect(step.replayed).toBe(now);
  });

  it('takes a number among the arguments as what it is', () => {
    const twins = new Twins(() => {
      const p = w();
      const step = trainStep(
        (x: Tensor, beta: number) => p.mul(x).sum().mul(beta),
        new optim.SGD([p], { lr: 0.01 }),
      );
      return { step, state: () => valuesOf([p]) };
    });
    const x = t.tensor([1, 2, 3]);
    expect(twins.run([x, 1], [x, 1], [x, 1], [x, 2], [x, 1], [x, 2], [x, 2])).toBe(3);
  });

  it('passes an exception on, and records again', () => {
    const p = w();
    let fail = false;
    const step = trainStep(
      (x: Tensor) => {
        if (fail) throw new Error('mine');
        return p.mul(x).sum();
      },
      new optim.SGD([p], { lr: 0.01 }),
    );
    const x = t.tensor([1, 2, 3]);
    step(x);
    fail = true;
    expect(() => step(x)).toThrow('mine');
    fail = false;
    step(x);
    step(x);
    expect(step.replayed).toBe(1);
  });
});
