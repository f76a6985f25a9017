// A recurrent layer goes through time in spans; over several of them its gradients must be those of its cells one by one.
import { afterAll, describe, expect, it } from 'vitest';
import { backend, grad, manualSeed, mul, rand, randn, sum, type Tensor } from '../../src/index.js';
import { inDouble } from '../../src/kernels/launch.js';
import { gru, lstm } from '../../src/ops/index.js';

const TIME = 5;
const [INPUTS, HIDDEN] = [3, 2];

const cells = [
  { name: 'lstm', blocks: 4, run: lstm as (...xs: unknown[]) => Tensor[], states: 2 },
  { name: 'gru', blocks: 3, run: gru as (...xs: unknown[]) => Tensor[], states: 1 },
];

const threads = backend.threads;
afterAll(() => {
  backend.threads = threads;
});

describe.each(cells)('$name', ({ blocks, run, states }) => {
  it('has the same bits for any number of threads, be they more than its rows are worth', () => {
    const [time, batch, inputs, hidden] = [3, 13, 40, 50];
    const shapes = [
      [time, batch, inputs],
      [blocks * hidden, inputs],
      [blocks * hidden, hidden],
      ...Array.from({ length: states }, () => [batch, hidden]),
    ];
    const bits = (n: number): Float32Array[] => {
      backend.threads = n;
      manualSeed(7);
      const xs = shapes.map((shape) => randn(shape).mul(0.3));
      for (const x of xs) x.requiresGrad = true;
      const outs = run(...xs);
      const loss = outs.map((y) => sum(mul(y, y))).reduce((a, b) => a.add(b));
      return [...outs, ...grad(loss, xs)].map((t) => t.toFloat32Array());
    };
    const alone = bits(1);
    for (const n of [2, 3, 8]) expect(bits(n)).toEqual(alone);
  });

  it.each([
    // Two steps a span and one left over; a step a span.
    { batch: 100, reverse: false },
    { batch: 100, reverse: true },
    { batch: 300, reverse: false },
    { batch: 300, reverse: true },
  ])('differentiates $batch rows, reverse $reverse', ({ batch, reverse }) => {
    inDouble(() => {
      manualSeed(7);
      const wide = blocks * HIDDEN;
      const shapes = [
        [TIME, batch, INPUTS],
        [wide, INPUTS],
        [wide, HIDDEN],
      ];
      for (let k = 0; k < states; k++) shapes.push([batch, HIDDEN]);
      shapes.push([wide], [wide]);
      const xs = shapes.map((shape) => rand(shape));
      for (const x of xs) x.requiresGrad = true;
      const [biasX, biasH] = xs.slice(-2);
      const weighted = (): Tensor => {
        manualSeed(8);
        const outs = run(...xs.slice(0, -2), { biasX, biasH, reverse });
        return outs.map((y) => sum(mul(y, rand(y.shape)))).reduce((a, b) => a.add(b));
      };
      const fused = grad(weighted(), xs);
      const inOps = grad(weighted(), xs, { createGraph: true });
      fused.forEach((g, k) => {
        const want = inOps[k]!.toArray() as unknown;
        const [a, b] = [g.toArray(), want].map((v) => (v as number[]).flat(9));
        a!.forEach((value, at) => expect(value).toBeCloseTo(b![at]!, 9));
      });
    });
  });
});
