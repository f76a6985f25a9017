// Gradients of slices, which the sweep joins: against the same slices taken by index, whose gradient is a scatter, to
// second order.
import { describe, expect, it } from 'vitest';
import * as t from '../../src/index.js';
import type { Tensor } from '../../src/index.js';

type Cut = (x: Tensor, dim: number, start: number, length: number) => Tensor;
type Uses = (x: Tensor, cut: Cut) => Tensor[];

const byIndex: Cut = (x, dim, start, length) =>
  t.indexSelect(
    x,
    dim,
    Array.from({ length }, (_, k) => start + k),
  );

const start = (): Tensor =>
  t.tensor(
    Array.from({ length: 24 }, (_, k) => Math.sin(k + 1)),
    { shape: [4, 6], requiresGrad: true },
  );

/** Σ k y³ over the results: every slice has a gradient and a curvature of its own. */
const score = (ys: Tensor[]): Tensor =>
  ys
    .map((y, k) =>
      y
        .mul(y)
        .mul(y)
        .mul(k + 1)
        .sum(),
    )
    .reduce((a, b) => a.add(b));

const cases: [string, Uses][] = [
  ['a split in equal parts', (x, cut) => [0, 2, 4].map((at) => cut(x, 1, at, 2))],
  ['parts in another order', (x, cut) => [cut(x, 0, 3, 1), cut(x, 0, 0, 2), cut(x, 0, 2, 1)]],
  ['overlapping slices', (x, cut) => [cut(x, 1, 0, 4), cut(x, 1, 2, 4), cut(x, 1, 1, 1)]],
  ['slices with gaps', (x, cut) => [cut(x, 1, 1, 1), cut(x, 1, 3, 2)]],
  ['one slice', (x, cut) => [cut(x, 0, 1, 2)]],
  ['an empty slice', (x, cut) => [cut(x, 1, 0, 3), cut(x, 1, 2, 0)]],
  ['slices along two dimensions', (x, cut) => [cut(x, 0, 0, 2), cut(x, 1, 0, 3), cut(x, 0, 2, 2)]],
  ['the whole, then slices', (x, cut) => [x, cut(x, 1, 0, 3), cut(x, 1, 3, 3)]],
  ['slices, then the whole', (x, cut) => [cut(x, 1, 0, 3), cut(x, 1, 3, 3), x]],
  ['the whole between slices', (x, cut) => [cut(x, 1, 0, 3), x, cut(x, 1, 3, 3)]],
  ['a slice of a slice', (x, cut) => [cut(cut(x, 1, 1, 4), 1, 2, 2), cut(x, 1, 0, 1)]],
];

describe.each(cases)('gradients of %s', (_name, uses) => {
  it.each([
    ['a leaf', (x: Tensor) => x],
    ['a computed tensor', (x: Tensor) => x.mul(2)],
  ])('of %s are those of slices by index, to second order', (_source, from) => {
    const run = (cut: Cut): Float32Array[] => {
      const x = start();
      const source = from(x);
      const [g, same] = t.grad(score(uses(source, cut)), [x, source], { createGraph: true }) as [
        Tensor,
        Tensor,
      ];
      const [second] = t.grad(g.mul(g).sum(), [x]) as [Tensor];
      return [g, same, second].map((v) => v.toFloat32Array());
    };
    const [got, want] = [run(t.narrow), run(byIndex)];
    got.forEach((g, i) => g.forEach((v, k) => expect(v).toBeCloseTo(want[i]![k]!, 4)));
  });

  it('are the same bits with and without a graph, and through backward', () => {
    const x = start();
    const [plain] = t.grad(score(uses(x, t.narrow)), [x]) as [Tensor];
    const [graph] = t.grad(score(uses(x, t.narrow)), [x], { createGraph: true }) as [Tensor];
    score(uses(x, t.narrow)).backward();
    expect(graph.toFloat32Array()).toEqual(plain.toFloat32Array());
    expect(x.grad!.toFloat32Array()).toEqual(plain.toFloat32Array());
  });
});

describe('a sum of slices', () => {
  it('has the gradient that padding and adding would give, to the bit', () => {
    const x = start();
    const weights = [0.1, 0.2, 0.3].map((w) => t.full([4, 2], w));
    const loss = weights
      .map((w, k) =>
        x
          .narrow(1, 2 * k, 2)
          .mul(w)
          .sum(),
      )
      .reduce((a, b) => a.add(b));
    loss.add(x.mul(0.7).sum()).backward();
    const want = Array.from({ length: 24 }, (_, k) => {
      const w = Math.fround([0.1, 0.2, 0.3][Math.floor((k % 6) / 2)]!);
      return Math.fround(Math.fround(0.7) + w);
    });
    expect([...x.grad!.toFloat32Array()]).toEqual(want);
  });
});
