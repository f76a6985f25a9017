// THALWEG_REPLAY=check finds a plan that computes something else than the eager call, and names the kernel.
import { afterEach, describe, expect, it } from 'vitest';
import * as t from '../../src/index.js';
import { compile, nn, noGrad, optim, trainStep, type Tensor } from '../../src/index.js';
import type { Launch } from '../../src/replay/graph.js';
import { PASSES } from '../../src/replay/passes/index.js';
import type { Draft } from '../../src/replay/uses.js';
import type { StepOptions, TrainStep } from '../../src/train/step.js';
import { labels, numbers, valuesOf, withReplay } from './support.js';

const passes: Record<string, (draft: Draft) => Draft> = PASSES;
afterEach(() => {
  delete passes['broken'];
});

/** A last pass that changes a number of the first launch of a kernel that meets the condition. */
function breakPlans(
  kernel: string,
  arg: number,
  value: number,
  which: (launch: Launch) => boolean = () => true,
): void {
  passes['broken'] = (draft) => {
    const at = draft.launches.findIndex((one) => one?.kernel === kernel && which(one));
    const launch = draft.launches[at];
    if (launch) draft.replace(at, { ...launch, args: launch.args.with(arg, value) });
    return draft;
  };
}

interface Trained {
  step: TrainStep<[Float32Array, Int32Array]>;
  net: nn.Sequential;
}

function trained(options: StepOptions = {}): Trained {
  t.manualSeed(1);
  const net = new nn.Sequential(
    new nn.Linear(8, 16),
    new nn.BatchNorm1d(16),
    new nn.GELU(),
    new nn.Linear(16, 4),
  );
  const opt = new optim.Adam(net.namedParameters(), { lr: 0.01 });
  const loss = (x: Float32Array, y: Int32Array): Tensor =>
    t.crossEntropy(net.forward(t.tensor(x, { shape: [6, 8] })), y);
  return { net, step: withReplay('check', () => trainStep(loss, opt, options)) };
}

const run = ({ step }: Trained, calls = 3): void => {
  for (let k = 0; k < calls; k++) step(numbers(48, k), labels(6, 4, k));
};

describe(`the check of replays on ${t.backend.name}`, () => {
  it('is silent where the plan is right', () => {
    const one = trained();
    run(one, 6);
    expect(one.step.replayed).toBe(4);
  });

  it('names a forward kernel', () => {
    // The product's inner length.
    breakPlans('matmul', 8, 7);
    const one = trained();
    run(one, 2);
    expect(() => run(one, 1)).toThrow(
      /^trainStep: a replay differs from the eager call: instruction \d+, matmul 6x16x7 NT \+bias: %\d+ is .* at element 0, the eager one .* \(\d+ of 96 differ\)$/,
    );
  });

  it('names a kernel whose copy to the gradient was left out', () => {
    breakPlans('matmul', 8, 5, ({ args }) => args[9] === 1 && args[10] === 0);
    const one = trained();
    run(one, 2);
    expect(() => run(one, 1)).toThrow(/instruction \d+, matmul \d+x\d+x5 TN.*: [%@]/);
  });

  it.each([{}, { clipNorm: 0.5 }] as StepOptions[])('names a kernel of the update, with %o', (options) => {
    breakPlans('adamStep', 6, 16);
    const one = trained(options);
    run(one, 2);
    expect(() => run(one, 1)).toThrow(/instruction \d+, adamStep 16: @0\.weight…3\.bias is/);
  });

  it('names a kernel of the first part that only matters in the second', () => {
    const statistics = (launch: Launch): boolean => launch.kernel === 'blend';
    breakPlans('blend', 2, 0.3, statistics);
    const one = trained({ clipNorm: 1 });
    run(one, 2);
    expect(() => run(one, 1)).toThrow(/instruction \d+, blend 16 0\.3 1/);
  });

  it('leaves the eager results in place', () => {
    const [eager, broken] = [trained(), trained()];
    run(eager, 3);
    breakPlans('adamStep', 6, 16);
    run(broken, 2);
    expect(() => broken.step(numbers(48, 2), labels(6, 4, 2))).toThrow('adamStep');
    expect(valuesOf(broken.net.parameters())).toEqual(valuesOf(eager.net.parameters()));
  });

  it('finds a wrong result of a compiled function', () => {
    breakPlans('square', 2, 2);
    const f = withReplay('check', () => compile((x: Tensor) => noGrad(() => x.square().mul(2))));
    const x = t.tensor([1, 2, 3]);
    f(x);
    f(x);
    expect(() => f(x)).toThrow(/^compile: .* instruction 0, square 2: %\d+ is/);
  });

  it('checks arguments that lie in an enclosing scope against a plan of ordinary ones', () => {
    const f = withReplay('check', () => compile((x: Tensor, y: Tensor) => noGrad(() => x.sub(y).exp())));
    const [x, y] = [t.tensor([1, 2, 3]), t.tensor([3, 2, 4])];
    for (let k = 0; k < 3; k++) f(x, y);
    const inner = t.scope(() => f(x.mul(1), y.mul(2)).toArray());
    expect(inner).toEqual(x.sub(y.mul(2)).exp().toArray());
  });
});
