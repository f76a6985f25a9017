// functionalCall: a module as a function of its parameters, differentiated to second order.
import { expect, it } from 'vitest';
import { grad, nn, tensor, type Tensor, valueAndGrad } from '../../src/index.js';
import { inDouble } from '../../src/kernels/launch.js';

class Net extends nn.Module<[Tensor]> {
  hidden = new nn.Linear(2, 3);
  out = new nn.Linear(3, 1);
  override forward(x: Tensor): Tensor {
    return this.out(this.hidden(x).tanh());
  }
}

type Params = Record<string, Tensor>;
const own = (module: nn.Module): Params => Object.fromEntries(module.namedParameters());
const data = (): { x: Tensor; y: Tensor } => ({
  x: tensor([
    [0.5, -1],
    [1.5, 0.25],
  ]),
  y: tensor([[0.3], [-0.7]]),
});
const lossOf = (net: Net, p: Params, { x, y } = data()): Tensor =>
  nn.functionalCall(net, p, x).sub(y).square().mean();

it('computes with the given tensors and leaves the module as it was', () => {
  const net = new Net();
  const { x } = data();
  const before = net(x).toArray();
  const zero = { 'out.weight': tensor([[0, 0, 0]]), 'out.bias': tensor([7]) };
  expect(nn.functionalCall(net, zero, x).toArray()).toEqual([[7], [7]]);
  expect(net(x).toArray()).toEqual(before);
  expect(() => nn.functionalCall(net, zero, tensor([1]))).toThrow(/Linear\(2, 3\)/);
  expect(net(x).toArray()).toEqual(before);
});

it('replaces a shared parameter wherever it stands', () => {
  const tied = new nn.Sequential(new nn.Linear(1, 1, { bias: false }), new nn.Linear(1, 1, { bias: false }));
  (tied.at(1) as nn.Linear).weight = (tied.at(0) as nn.Linear).weight;
  expect(nn.functionalCall(tied, { '0.weight': tensor([[3]]) }, tensor([[2]])).item()).toBe(18);
});

it('gives the gradients that backward gives', () => {
  const net = new Net();
  const [value, gradient] = valueAndGrad((p: Params) => lossOf(net, p))(own(net));
  const { x, y } = data();
  const loss = net(x).sub(y).square().mean();
  loss.backward();
  expect(value.item()).toBeCloseTo(loss.item(), 6);
  for (const [name, p] of net.namedParameters())
    gradient[name]!.toFloat32Array().forEach((g, k) =>
      expect(g).toBeCloseTo(p.grad!.toFloat32Array()[k]!, 5),
    );
});

it('carries the meta-gradient of MAML through an inner step, to second order', () => {
  inDouble(() => {
    const net = new Net();
    const params = own(net);
    const adapted = (p: Params): Params => {
      const g = grad((q: Params) => lossOf(net, q))(p);
      return Object.fromEntries(Object.entries(p).map(([name, t]) => [name, t.sub(g[name]!.mul(0.1))]));
    };
    const query = { x: tensor([[-1, 0.5]]), y: tensor([[1]]) };
    const meta = (p: Params): Tensor => lossOf(net, adapted(p), query);
    const gradient = grad(meta)(params);
    const moved = (eps: number): number =>
      meta(
        Object.fromEntries(
          Object.entries(params).map(([name, t]) => [name, t.detach().add(eps)] as [string, Tensor]),
        ),
      ).item();
    const numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
    const analytic = Object.values(gradient).reduce((sum, g) => sum + g.sum().item(), 0);
    expect(Math.abs(analytic - numeric)).toBeLessThan(1e-8);
  });
});

it('refuses names that the module lacks and shapes that do not fit', () => {
  const net = new Net();
  const { x } = data();
  expect(() => nn.functionalCall(net, { 'out.weigth': x }, x)).toThrow(
    /functionalCall: unknown parameter "out\.weigth"; did you mean "out\.weight"/,
  );
  expect(() => nn.functionalCall(net, { 'out.bias': tensor([1, 2]) }, x)).toThrow(
    /"out\.bias" has shape \[1\] in the module and \[2\] here/,
  );
  expect(() => nn.functionalCall((() => x) as never, {})).toThrow(/functionalCall: expected a Module/);
});
