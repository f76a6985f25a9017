// What replay needs, held from the start: a step is the same list of launches every time, with the same arguments; what
// changes lies in staged cells; and running the list again gives what the step gave, to the bit.
import { describe, expect, it } from 'vitest';
import * as t from '../../src/index.js';
import type { Tensor } from '../../src/index.js';
import { launch, recordLaunches } from '../../src/kernels/launch.js';
import { isPointer } from '../../src/kernels/row.js';
import { table } from '../../src/kernels/table.js';
import { heap } from '../../src/memory/heap.js';
import * as optim from '../../src/optim/index.js';
import { trainStep } from '../../src/train/step.js';

function model(): {
  step: (x: Float32Array, y: Int32Array) => number;
  parameters: Tensor[];
  statistics: Tensor;
} {
  t.manualSeed(3);
  const scaled = (shape: number[]): Tensor => t.tensor(t.randn(shape).mul(0.3), { requiresGrad: true });
  const [conv, gamma, beta, dense] = [
    scaled([4, 1, 3, 3]),
    t.ones([4], { requiresGrad: true }),
    t.zeros([4], { requiresGrad: true }),
    scaled([5, 64]),
  ];
  const statistics = t.zeros([4]);
  const loss = (x: Float32Array, y: Int32Array): Tensor => {
    const h = t.conv2d(t.tensor(x, { shape: [8, 1, 8, 8] }), conv, null, { padding: 1 });
    const n = t.batchNorm(h, { weight: gamma, bias: beta, runningMean: statistics, training: true });
    const d = t.dropout(t.maxPool2d(t.relu(n), 2).flatten(1), { p: 0.3 });
    return t.crossEntropy(t.linear(d, dense), y);
  };
  const parameters = [conv, gamma, beta, dense];
  const lr = t.schedule.oneCycle({ maxLr: 0.01, totalSteps: 100 });
  return { step: trainStep(loss, new optim.Adam(parameters, { lr })), parameters, statistics };
}

const batch = (seed: number): [Float32Array, Int32Array] => [
  Float32Array.from({ length: 8 * 64 }, (_, k) => Math.sin(k * (seed + 1))),
  Int32Array.from({ length: 8 }, (_, k) => (k + seed) % 5),
];

describe(`a training step on ${t.backend.name}`, () => {
  it('makes the same launches with the same arguments in every step', () => {
    const { step } = model();
    for (let k = 0; k < 3; k++) step(...batch(k));
    const [, first] = recordLaunches(() => step(...batch(3)));
    const [, second] = recordLaunches(() => step(...batch(4)));
    expect(first.length).toBeGreaterThan(20);
    expect(second).toEqual(first);
  });

  it('is what its launches make of the staged inputs, to the bit', () => {
    const { step, parameters, statistics } = model();
    for (let k = 0; k < 3; k++) step(...batch(k));
    const snapshot = heap.u32.slice();
    const [, launches] = recordLaunches(() => step(...batch(3)));
    const after = [...parameters, statistics].map((p) => p.toFloat32Array());
    // Back to the bytes before the step, except what was staged: pointers that some launch reads and none wrote.
    const written = new Set<number>();
    const staged: number[] = [];
    for (const { kernel, args } of launches)
      [...table[kernel].sig].forEach((letter, k) => {
        if (!isPointer(letter)) return;
        if ('ijfr'.includes(letter) && !written.has(args[k]!)) staged.push(args[k]!);
        else if ('ojup'.includes(letter)) written.add(args[k]!);
      });
    const inputs = staged
      .filter((at) => at !== 0)
      .map((at) => [at / 4, heap.u32.slice(at / 4, at / 4 + 8 * 64)] as const);
    const own = new Set([...parameters, statistics].map((p) => p.storage.address()));
    heap.u32.set(snapshot);
    for (const [at, words] of inputs) if (!own.has(at * 4)) heap.u32.set(words, at);
    for (const { kernel, args } of launches) launch(kernel, ...args);
    [...parameters, statistics].forEach((p, k) => expect(p.toFloat32Array()).toEqual(after[k]));
  });

  it('gives the same bits on every run', () => {
    const run = (): Float32Array[] => {
      const { step, parameters } = model();
      for (let k = 0; k < 5; k++) step(...batch(k));
      return parameters.map((p) => p.toFloat32Array());
    };
    expect(run()).toEqual(run());
  });
});
