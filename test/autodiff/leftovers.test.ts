// What a sweep gives back early must not have been needed: random graphs, whose tensors share memory and are used many times,
// have the same gradients in a scope that keeps all until its end.
import { describe, expect, it } from 'vitest';
import * as t from '../../src/index.js';
import type { Tensor } from '../../src/index.js';
import { spendGraph } from '../../src/autodiff/backward.js';
import { openScope } from '../../src/memory/arena.js';
import { watched } from '../../src/memory/watcher.js';
import { Recorder, type Entry } from '../../src/replay/recorder.js';
import { generator, seedOf, SEED } from '../support/random.js';

type Random = () => number;

const STEPS: ((x: Tensor, y: Tensor, random: Random) => Tensor)[] = [
  (x, y) => x.add(y),
  (x, y) => x.mul(y),
  (x) => x.reshape([6, 4]).reshape([4, 6]),
  (x) => x.reshape([24]).reshape([4, 6]),
  (x) => x.transpose().reshape([4, 6]),
  (x) => x.tanh(),
  (x) => x.relu(),
  (x) => x.gelu(),
  (x) => x.sigmoid(),
  (x) => t.logSoftmax(x, 1),
  (x) => t.batchNorm(x, { training: true }),
  (x) => x.sub(x.mean(1, { keepdim: true })),
  (x, y) => x.sub(y),
  (x, y) => t.concat([x.narrow(0, 0, 2), y.narrow(0, 1, 2)], 0),
  (x) => t.concat([x.narrow(1, 3, 3), x.narrow(1, 0, 3)], 1),
  (x, y) => x.matmul(y.transpose()).softmax(-1).matmul(y),
  (x) => x.add(x),
  (x) => x,
];

/** A scalar of two leaves, and a tensor on the way to it. */
function graph(leaves: Tensor[], random: Random): { loss: Tensor; inner: Tensor } {
  const pool = [...leaves];
  const pick = (): Tensor => pool[Math.floor(random() * pool.length)]!;
  for (let k = 0; k < 14; k++) pool.push(STEPS[Math.floor(random() * STEPS.length)]!(pick(), pick(), random));
  const inner = pick().mul(1.5);
  return { loss: inner.add(pick()).square().mean().add(leaves[0]!.sum()), inner };
}

const leavesOf = (random: Random): Tensor[] =>
  [0, 1].map(() =>
    t.tensor(
      Array.from({ length: 24 }, () => random() - 0.5),
      { shape: [4, 6], requiresGrad: true },
    ),
  );

type Way = (loss: Tensor, leaves: Tensor[], inner: Tensor) => void;
const grads = (leaves: Tensor[]): unknown => leaves.map((x) => x.grad?.toArray() ?? null);

function gradients(way: Way, seed: number, hoards: boolean): unknown {
  const random = generator(seed);
  const leaves = leavesOf(random);
  const scope = openScope();
  scope.hoards = hoards;
  scope.letsGoFrom = 0;
  try {
    const { loss, inner } = graph(leaves, random);
    way(loss, leaves, inner);
    return grads(leaves);
  } finally {
    scope.end();
  }
}

const ways: [string, Way][] = [
  ['one backward pass', (loss) => loss.backward()],
  ['the last use of a graph', (loss) => spendGraph(loss)],
  [
    'two passes through one graph',
    (loss) => {
      loss.backward({ retainGraph: true });
      loss.backward();
    },
  ],
  [
    'gradients by tensors on the way',
    (loss, [a, b], inner) => {
      const found = t.grad(loss, [a!, inner, b!], { allowUnused: true, retainGraph: true });
      found.forEach((g, k) => g?.mul(k + 1));
      a!.grad = found[0]!;
      b!.grad = found[1]!;
    },
  ],
  [
    'a second derivative',
    (loss, [a, b]) => {
      const [g] = t.grad(loss, [a!], { createGraph: true });
      g!.square().sum().add(b!.sum()).backward();
    },
  ],
];

describe(`early frees (seed ${SEED})`, () => {
  it.each(ways)('do not change the gradients of %s', (name, way) => {
    for (let k = 0; k < 60; k++) {
      const seed = seedOf(`${name} ${k}`);
      expect(gradients(way, seed, false)).toEqual(gradients(way, seed, true));
    }
  });

  it('let a slope take the place of the gradient that it gets; a recorder tells them apart', () => {
    const [x, w] = [t.ones([8, 32]), t.full([16, 32], 0.1)];
    w.requiresGrad = true;
    const scope = openScope();
    const places: number[][] = [];
    class Places extends Recorder {
      override launched(kernel: string, args: readonly number[]): void {
        if (kernel.endsWith('Grad')) places.push(args.slice(0, 2));
        super.launched(kernel, args);
      }
    }
    const recorder = new Places([], scope);
    watched(recorder, () => spendGraph(t.linear(x, w).mul(2).relu().tanh().mul(3).mean()));
    scope.end();
    const slopes = recorder.entries.filter(({ kernel }) => kernel.endsWith('Grad'));
    expect(slopes.map(({ kernel }) => kernel)).toEqual(['tanhGrad', 'reluGrad']);
    for (const [to, from] of places) expect(to).toBe(from);
    const [{ owners: first }, { owners: second }] = slopes as [Entry, Entry];
    expect(first[0]).not.toBe(first[1]);
    expect(second[1]).toBe(first[0]);
    expect(second[0]).not.toBe(first[0]);
  });

  it('spare what the caller can still see: gradients given, results, tensors of the forward pass', () => {
    const x = t.tensor([1, 2, 3, 4], { requiresGrad: true });
    t.scope(() => {
      const [seed, before] = [t.ones([2, 2]).mul(3), x.mul(2)];
      const y = before.reshape([2, 2]);
      y.backward({ gradient: seed, retainGraph: true });
      const [g] = t.grad(y, [before], { gradOutputs: seed });
      // What is made now would take the place of what was given back wrongly.
      for (let k = 0; k < 8; k++) t.ones([4]).mul(k);
      expect([seed.toArray(), y.toArray(), g!.toArray()]).toEqual([
        [
          [3, 3],
          [3, 3],
        ],
        [
          [2, 4],
          [6, 8],
        ],
        [3, 3, 3, 3],
      ]);
    });
    expect(x.grad!.toArray()).toEqual([6, 6, 6, 6]);
  });
});
