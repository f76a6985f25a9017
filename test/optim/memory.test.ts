// Memory of optimizers: flat over long runs, and a step is as few launches as it can be.
import { describe, expect, it, vi } from 'vitest';
import { heap } from '../../src/memory/heap.js';
import * as door from '../../src/kernels/launch.js';
import { scope, tensor, type Tensor } from '../../src/index.js';
import { Adam, SGD } from '../../src/optim/index.js';
import { build, CONFIGURATIONS, parameters, randomGrads, run } from './support.js';

vi.mock('../../src/kernels/launch.js', async (original) => {
  const actual = await original<typeof import('../../src/kernels/launch.js')>();
  return { ...actual, launch: vi.fn(actual.launch) };
});

/** Names of the update kernels that `step` launches. */
function launches(step: () => void): string[] {
  vi.mocked(door.launch).mockClear();
  step();
  return vi.mocked(door.launch).mock.calls.map(([name]) => name);
}

describe('A step', () => {
  it.each(CONFIGURATIONS.filter(([title]) => title !== 'SWATS by tensor'))(
    'of %s is one launch a group',
    (_title, rule, options) => {
      const params = parameters(1);
      const opt = build(rule, [{ params: params.slice(0, 2) }, { params: params.slice(2) }], options);
      run(opt, params, 2);
      randomGrads(params, 1);
      expect(launches(() => opt.step())).toHaveLength(2);
    },
  );

  it('is one launch for each stretch of parameters with gradients and equal step counts', () => {
    const params = parameters(1, [[1], [2], [3], [4], [5]]);
    const opt = new Adam(params);
    const steps = (...without: number[]): number => {
      randomGrads(params, 1);
      for (const i of without) params[i]!.grad = null;
      return launches(() => opt.step()).length;
    };
    expect(steps()).toBe(1);
    expect(steps(2)).toBe(2);
    expect(steps()).toBe(3);
    expect(steps(0, 1, 3, 4)).toBe(1);
    expect(steps()).toBe(1);
    expect(steps(0, 1, 2, 3, 4)).toBe(0);
  });

  it('does without launches for parameters without elements', () => {
    const empty = tensor(new Float32Array(0), { shape: [0, 3], requiresGrad: true });
    const opt = new SGD([empty]);
    empty.grad = tensor(new Float32Array(0), { shape: [0, 3] });
    expect(launches(() => opt.step())).toEqual([]);
    expect(opt.gradNorm()).toBe(0);
    expect(opt.stateDict().state['0']!.step).toBe(1);
  });
});

describe('Memory', () => {
  it('stays the same over 10,000 training steps', () => {
    const [w, b] = [tensor([[0.5, -0.5]], { requiresGrad: true }), tensor([0.1], { requiresGrad: true })] as [
      Tensor,
      Tensor,
    ];
    const opt = new Adam([w, b], { lr: 1e-3, amsgrad: true });
    const x = tensor([[1], [2]]);
    const step = (): void => {
      opt.zeroGrad();
      w.matmul(x).add(b).sub(3).square().sum().backward();
      opt.scaleGrads(1 / Math.max(1, opt.gradNorm()));
      opt.step();
    };
    for (let k = 0; k < 10; k++) step();
    const before = [heap.used, heap.capacity];
    for (let k = 0; k < 10_000; k++) step();
    expect([heap.used, heap.capacity]).toEqual(before);
    expect(opt.stepCount).toBe(10_010);
  });

  it('is not lost when a parameter was made in a scope, or its gradient has a graph', () => {
    const opt = scope(() => {
      const made = tensor([1, 2]).mul(2).detach();
      made.requiresGrad = true;
      return { made: new SGD([made], { lr: 1 }) };
    }).made;
    const param = opt.groups[0]!.params[0]!;
    param.pow(3).sum().backward({ createGraph: true });
    opt.step();
    expect(param.toArray()).toEqual([2 - 12, 4 - 48]);
  });
});
