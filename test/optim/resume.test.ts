// Saving and loading: a run that is resumed from its state goes on to the bit as if it had not been interrupted, and a
// state that does not fit changes nothing.
import { describe, expect, it } from 'vitest';
import { schedule, tensor, type Tensor } from '../../src/index.js';
import { SWATS, type Optimizer, type OptimizerState } from '../../src/optim/index.js';
import {
  bitsOf,
  build,
  CONFIGURATIONS,
  named,
  parameters,
  randomGrads,
  run,
  type Options,
  type RuleName,
} from './support.js';

const STEPS = 20;

/** The state as a file would hold it: typed arrays copied, all else through JSON. */
function throughFile(state: OptimizerState): OptimizerState {
  const arrays: Float32Array[] = [];
  const text = JSON.stringify(state, (_key, value: unknown) =>
    value instanceof Float32Array ? { array: arrays.push(value.slice()) - 1 } : value,
  );
  return JSON.parse(text, (_key, value: unknown) =>
    typeof value === 'object' && value !== null && 'array' in value ? arrays[value.array as number] : value,
  ) as OptimizerState;
}

/** Copies of parameters, as a checkpoint has them. */
const copies = (params: readonly Tensor[]): Tensor[] => params.map((p) => tensor(p, { requiresGrad: true }));

function expectSameAtEverySplit(rule: RuleName, options: Options): void {
  const straight = parameters(11);
  run(build(rule, named(straight), options), straight, STEPS);
  for (let split = 0; split <= STEPS; split++) {
    const params = parameters(11);
    const first = build(rule, named(params), options);
    run(first, params, split);
    const resumed = copies(params);
    const second = build(rule, named(resumed), options);
    second.loadStateDict(throughFile(first.stateDict()));
    run(second, resumed, STEPS - split, split);
    expect(bitsOf(resumed), `split after step ${split}`).toEqual(bitsOf(straight));
  }
}

describe('A resumed run', () => {
  it.each(CONFIGURATIONS)('of %s is the uninterrupted one, wherever it is split', (_title, rule, options) =>
    expectSameAtEverySplit(rule, options),
  );

  const SCHEDULES: [string, schedule.Schedule][] = [
    ['a warm-up', schedule.warmup({ lr: 0.01, warmupSteps: 12 })],
    ['a cycle', schedule.cyclic({ baseLr: 1e-3, maxLr: 1e-2, stepSizeUp: 4 })],
    ['one cycle', schedule.oneCycle({ maxLr: 1e-2, totalSteps: STEPS })],
    ['warm restarts', schedule.warmRestarts({ lr: 1e-2, T0: 3, TMult: 2 })],
  ];
  it.each(SCHEDULES)('in the middle of %s is the uninterrupted one', (_title, lr) => {
    expectSameAtEverySplit('SGD', { lr, momentum: 0.9 });
    expectSameAtEverySplit('AdaBound', { lr, baseLr: 1e-3 });
    expectSameAtEverySplit('SWATS', { lr, switchAt: 6 });
  });

  it('keeps own step counts of parameters that lacked gradients', () => {
    const skip = (params: readonly Tensor[], k: number): void => {
      randomGrads(params, k);
      if (k % 3 === 0) params[1]!.grad = null;
    };
    const straight = parameters(5);
    const whole = build('Adam', named(straight));
    const params = parameters(5);
    const first = build('Adam', named(params));
    for (let k = 0; k < 10; k++) {
      skip(straight, k);
      whole.step();
      if (k >= 5) continue;
      skip(params, k);
      first.step();
    }
    const resumed = copies(params);
    const second = build('Adam', named(resumed));
    second.loadStateDict(first.stateDict());
    for (let k = 5; k < 10; k++) {
      skip(resumed, k);
      second.step();
    }
    expect(bitsOf(resumed)).toEqual(bitsOf(straight));
    expect(second.stateDict()).toEqual(whole.stateDict());
  });

  it('takes edited options from the state', () => {
    const params = parameters(2);
    const opt = build('Adam', named(params), { lr: 0.1 });
    Object.assign(opt.groups[0]!, { lr: 0.025, betas: [0.5, 0.75] });
    const again = build('Adam', named(params), { lr: 0.1 });
    again.loadStateDict(throughFile(opt.stateDict()));
    expect(again.groups[0]).toMatchObject({ lr: 0.025, betas: [0.5, 0.75] });
  });

  it('keeps its own schedule and goes on at the saved position', () => {
    const lr = schedule.linear({ lr: 1, startFactor: 1, endFactor: 0, totalIters: 10 });
    const params = parameters(2);
    const opt = build('SGD', named(params), { lr });
    run(opt, params, 4);
    const again = build('SGD', named(params), { lr });
    again.loadStateDict(throughFile(opt.stateDict()));
    expect(again.stepCount).toBe(4);
    expect(again.lr).toEqual([lr.at(4).lr]);
    expect(again.groups[0]!.lr).toBe(lr);
  });
});

describe('A state', () => {
  it('finds parameters by name when groups and parameters stand in another order', () => {
    const params = parameters(9);
    const [a, b, c, d] = named(params) as [never, never, never, never];
    const opt = build('AdamW', [{ params: [a, b] }, { params: [c, d], lr: 0.5, weightDecay: 0 }]);
    run(opt, params, 3);
    const others = copies(params);
    const [e, f, g, h] = named(others) as [never, never, never, never];
    const again = build('AdamW', [{ params: [h, g] }, { params: [f, e] }]);
    again.loadStateDict(opt.stateDict());
    expect(again.groups.map(({ lr, names }) => [lr, names])).toEqual([
      [0.5, ['d', 'c']],
      [1e-3, ['b', 'a']],
    ]);
    run(opt, params, 5, 3);
    run(again, others, 5, 3);
    expect(bitsOf(others)).toEqual(bitsOf(params));
  });

  it('holds plain JSON and typed arrays of the parameter shapes only', () => {
    const params = parameters(4);
    const opt = build('AMSGrad', named(params), { lr: schedule.constant({ lr: 1e-3 }) });
    run(opt, params, 2);
    const state = opt.stateDict();
    expect(Object.keys(state.state)).toEqual(['a', 'b', 'c', 'd']);
    expect(Object.keys(state.state['a']!.arrays)).toEqual(['expAvg', 'expAvgSq', 'maxExpAvgSq']);
    expect(state.state['a']!.shape).toEqual([3, 5]);
    expect(state.state['a']!.arrays['expAvg']).toBeInstanceOf(Float32Array);
    expect(state.groups[0]!.options['lr']).toMatchObject({ schedule: 'constant' });
    state.state['a']!.arrays['expAvg']!.fill(7);
    expect(opt.stateDict().state['a']!.arrays['expAvg']).not.toContain(7);
  });

  it('is refused as a whole, with names and shapes, when it does not fit', () => {
    const make = (): [Optimizer, Tensor[]] => {
      const params = parameters(6);
      return [build('Adam', named(params), { lr: 0.1 }), params];
    };
    const [source, sourceParams] = make();
    run(source, sourceParams, 3);
    const spoil = (change: (state: OptimizerState) => void): OptimizerState => {
      const state = source.stateDict();
      change(state);
      return state;
    };
    const cases: [OptimizerState, RegExp][] = [
      [spoil((s) => delete s.state['b']), /Adam\.loadStateDict: .*missing "b"/],
      [spoil((s) => (s.state['zz'] = s.state['a']!)), /unexpected "zz"/],
      [spoil((s) => (s.state['d']!.shape = [6])), /"d" has shape \[1, 2, 3\], its state \[6\]/],
      [spoil((s) => (s.state['d']!.arrays['expAvg'] = new Float32Array(5))), /expAvg of "d" has 5 values/],
      [spoil((s) => delete s.state['d']!.arrays['expAvgSq']), /state of "d" lacks expAvgSq/],
      [
        spoil((s) => (s.state['d']!.arrays['expAvgs'] = new Float32Array(6))),
        /state of "d" has an unexpected expAvgs; known: expAvg, /,
      ],
      [spoil((s) => (s.state['d']!.arrays['expAvg'] = [0] as never)), /must be a Float32Array/],
      [spoil((s) => (s.state['d']!.step = -1)), /step of "d" must be an integer >= 0, got -1/],
      [spoil((s) => (s.optimizer = 'SGD')), /state is one of "SGD", not of "Adam"/],
      [spoil((s) => (s.version = 2 as never)), /version 2 is not known/],
      [spoil((s) => (s.steps = 0.5)), /steps must be an integer/],
      [spoil((s) => (s.groups[0]!.options['eps'] = -1)), /eps must be a finite number >= 0, got -1/],
      [spoil((s) => (s.groups[0]!.options['epsilon'] = 1)), /unknown option "epsilon"/],
    ];
    for (const [state, message] of cases) {
      const [opt, params] = make();
      run(opt, params, 1);
      const before = [opt.stateDict(), bitsOf(params)];
      expect(() => opt.loadStateDict(state)).toThrow(message);
      expect([opt.stateDict(), bitsOf(params)]).toEqual(before);
    }
  });

  it('of SWATS must have been saved with the same scope', () => {
    const params = parameters(6);
    const byTensor = build('SWATS', named(params), { scope: 'tensor' }) as SWATS;
    run(byTensor, params, 2);
    const state = { ...byTensor.stateDict() };
    state.groups = state.groups.map((g) => ({ ...g, options: { ...g.options, scope: 'global' } }));
    const global = new SWATS(named(params));
    expect(() => global.loadStateDict(state)).toThrow(/another scope/);
  });
});
