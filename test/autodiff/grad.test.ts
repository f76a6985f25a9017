// Gradients: of tensors, of functions, nested, through scopes; what must throw, and the graph's life.
import { describe, expect, it } from 'vitest';
import * as t from '../../src/index.js';
import type { Tensor } from '../../src/index.js';

const close = (got: Tensor, want: number[], digits = 4): void => {
  const values = [...got.toFloat32Array()];
  expect(values.length).toBe(want.length);
  values.forEach((v, k) => expect(v).toBeCloseTo(want[k]!, digits));
};

describe('backward', () => {
  it('sums into the leaves and into nothing else', () => {
    const x = t.tensor([1, 2, 3], { requiresGrad: true });
    const y = x.mul(x);
    y.sum().backward();
    close(x.grad!, [2, 4, 6]);
    expect(y.grad).toBe(null);
    x.mul(3).sum().backward();
    close(x.grad!, [5, 7, 9]);
    x.grad = null;
    expect(x.grad).toBe(null);
  });

  it('makes no graph from plain numbers and arrays', () => {
    const y = t.add([1, 2], new Float32Array([3, 4])).mul(2);
    expect(y.requiresGrad).toBe(false);
    expect(y.node).toBe(null);
  });

  it('makes no graph inside noGrad, and none from detached tensors', () => {
    const x = t.tensor([1], { requiresGrad: true });
    expect(t.noGrad(() => x.mul(2)).requiresGrad).toBe(false);
    expect(x.detach().mul(2).requiresGrad).toBe(false);
    expect(x.mul(2).requiresGrad).toBe(true);
  });

  it('undoes broadcasting', () => {
    const a = t.tensor([[1], [2]], { requiresGrad: true });
    const b = t.tensor([1, 2, 3], { requiresGrad: true });
    a.mul(b).sum().backward();
    close(a.grad!, [6, 6]);
    expect(a.grad!.shape).toEqual([2, 1]);
    close(b.grad!, [3, 3, 3]);
  });

  it('frees the graph, and says how to keep it', () => {
    const x = t.tensor([2], { requiresGrad: true });
    const y = x.mul(x);
    y.backward();
    expect(() => y.backward()).toThrow(
      /graph of mul was freed by an earlier backward pass; pass retainGraph: true/,
    );
    const z = x.mul(x);
    z.backward({ retainGraph: true });
    z.backward();
    close(x.grad!, [12]);
  });

  it('takes a gradient for an output that is no scalar, and checks it', () => {
    const x = t.tensor([1, 2], { requiresGrad: true });
    x.mul(x).backward({ gradient: [1, 10] });
    close(x.grad!, [2, 40]);
    expect(() => x.mul(2).backward()).toThrow(
      /only a scalar needs no gradient, got shape \[2\]; pass one, or reduce/,
    );
    expect(() => x.mul(2).backward({ gradient: [1] })).toThrow(/gradient \[1\] does not fit output \[2\]/);
    expect(() => t.tensor([1]).backward()).toThrow(/does not depend on any tensor with requiresGrad/);
    expect(() => x.sum().backward({ retain: true } as never)).toThrow(
      /unknown option "retain"; did you mean "retainGraph"/,
    );
  });

  it('refuses a graph whose parameters were changed in place since', () => {
    const w = t.tensor([1, 2], { requiresGrad: true });
    const y = w.mul(w).sum();
    w.storage.values()[0] = 9;
    w.storage.touch();
    expect(() => y.backward()).toThrow(
      /an input of mul, shape \[2\], was changed in place after the forward pass/,
    );
  });

  it('copies an assigned gradient and checks its shape', () => {
    const x = t.tensor([1, 2], { requiresGrad: true });
    const g = t.tensor([5, 6]);
    x.grad = g;
    g.storage.values()[0] = 0;
    close(x.grad, [5, 6]);
    expect(() => (x.grad = t.tensor([1]))).toThrow(/shape \[1\] does not fit a tensor of shape \[2\]/);
  });

  it('with createGraph leaves gradients that can be differentiated', () => {
    const x = t.tensor([3], { requiresGrad: true });
    x.mul(x).mul(x).sum().backward({ createGraph: true });
    const [second] = t.grad(x.grad!.sum(), x);
    close(second!, [18]);
  });

  it('adds to a gradient with a graph, also where an optimizer holds the gradients', () => {
    const x = t.tensor([3], { requiresGrad: true });
    new t.optim.SGD([x], { lr: 0.1 });
    x.mul(x).sum().backward({ createGraph: true });
    x.mul(x).sum().backward();
    close(x.grad!, [12]);
  });

  it('goes through a graph as deep as a long loop', () => {
    const x = t.tensor([1], { requiresGrad: true });
    let y: Tensor = x;
    for (let k = 0; k < 20_000; k++) y = y.add(1);
    y.backward();
    close(x.grad!, [1]);
  });
});

describe('grad of tensors', () => {
  it('returns a gradient for each input and touches no .grad', () => {
    const [a, b] = [t.tensor([2], { requiresGrad: true }), t.tensor([5], { requiresGrad: true })];
    const [ga, gb] = t.grad(a.mul(b), [a, b]);
    close(ga!, [5]);
    close(gb!, [2]);
    expect(a.grad).toBe(null);
  });

  it('differentiates by tensors in the middle of a graph', () => {
    const x = t.tensor([2], { requiresGrad: true });
    const y = x.mul(3);
    const [g] = t.grad(y.mul(y), y);
    close(g!, [12]);
  });

  it('does not mind that the graph above the wanted tensor was freed', () => {
    const x = t.tensor([2], { requiresGrad: true });
    const y = x.mul(3);
    const z = y.mul(y);
    y.backward();
    const [g] = t.grad(z, y);
    close(g!, [12]);
    expect(() => t.grad(y.mul(2), x)).toThrow(/graph of mul was freed/);
  });

  it('says which input is not reached', () => {
    const [a, b] = [t.tensor([2], { requiresGrad: true }), t.tensor([[5]], { requiresGrad: true })];
    expect(() => t.grad(a.mul(2), [a, b])).toThrow(
      /do not depend on input 1 of shape \[1, 1\]; pass allowUnused: true/,
    );
    expect(t.grad(a.mul(2), [a, b], { allowUnused: true })[1]).toBe(null);
    expect(() => t.grad(a.mul(2), t.tensor([1]))).toThrow(
      /input 0 of shape \[1\] does not require a gradient/,
    );
  });
});

describe('grad of functions', () => {
  it('nests to third order', () => {
    const f = (x: Tensor): Tensor => x.pow(4).sum();
    const third = t.grad((x: Tensor) =>
      t
        .grad((y: Tensor) => t.grad(f)(y).sum())(x)
        .sum(),
    );
    close(third(t.tensor([2])), [48]);
  });

  it('does not confuse perturbations: d/dx x d/dy (x + y) at y = x is 1', () => {
    const f = (x: Tensor): Tensor => x.mul(t.grad((y: Tensor) => x.add(y).sum())(x)).sum();
    close(t.grad(f)(t.tensor([3])), [1]);
  });

  it('gives gradients in the shape of the argument: arrays and objects of tensors', () => {
    const f = ({ w, b }: { w: Tensor; b: Tensor }, x: number[]): Tensor => w.mul(x).add(b).sum();
    const [value, g] = t.valueAndGrad(f)({ w: t.tensor([1, 2]), b: t.tensor(0.5) }, [3, 4]);
    expect(value.item()).toBeCloseTo(12, 5);
    close(g.w, [3, 4]);
    close(g.b, [2]);
  });

  it('gives zeros for an argument that the value does not depend on', () => {
    close(t.grad((_x: Tensor) => t.tensor(1))(t.tensor([1, 2])), [0, 0]);
  });

  it('refuses functions that return no scalar', () => {
    expect(() => t.grad((x: Tensor) => x)(t.tensor([1, 2]))).toThrow(
      /must return a scalar, got shape \[2\]; use jacobian/,
    );
    expect(() => t.grad((() => 3) as unknown as (x: Tensor) => Tensor)(t.tensor([1]))).toThrow(
      /expected a Tensor, got 3/,
    );
  });

  it('leaves results that outlive it and no step memory', () => {
    const before = t.backend.info().heapUsed;
    const results = Array.from({ length: 50 }, (_, k) =>
      t.grad((x: Tensor) => x.mul(x).sum())(t.tensor([k])),
    );
    results.forEach((g, k) => close(g, [2 * k]));
    for (let k = 0; k < 1000; k++) t.grad((x: Tensor) => x.mul(x).sum())(t.rand([1000]));
    expect(t.backend.info().heapUsed - before).toBeLessThanOrEqual(4 << 20);
  });

  it('hvp, jacobian and hessian agree with the derivatives by hand', () => {
    const f = (x: Tensor): Tensor => x.mul(x).mul(x).sum();
    close(t.hvp(f, [1, 2], [1, 1]), [6, 12]);
    close(t.hessian(f, t.tensor([1, 2])), [6, 0, 0, 12]);
    const j = t.jacobian((x: Tensor) => t.stack([x.sum(), x.mul(x).sum()]), [1, 2]);
    expect(j.shape).toEqual([2, 2]);
    close(j, [1, 1, 2, 4]);
  });
});

describe('gradcheck', () => {
  it('accepts right gradients and finds wrong ones', () => {
    expect(t.gradcheck((x) => x.tanh().mul(x), [[0.3, -0.7]])).toBe(true);
    // The product with a detached copy has half the gradient of a square.
    expect(() => t.gradcheck((x) => x.mul(x.detach()), [[0.3, -0.7]])).toThrow(
      /gradcheck: derivative of order 1 differs/,
    );
    const wrongSecond = (x: Tensor): Tensor =>
      x
        .mul(x)
        .mul(t.ones(x.shape))
        .add(x.detach().square().mul(x).sub(x.square().mul(x.detach())));
    expect(() => t.gradcheck(wrongSecond, [[0.3, -0.7]])).toThrow(
      /gradcheck: derivative of order [12] differs/,
    );
  });
});
