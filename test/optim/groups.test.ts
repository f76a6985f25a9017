// Groups, names and shared parameters: k groups are k optimizers, and what must not be accepted is refused in a sentence.
import { describe, expect, it } from 'vitest';
import { tensor, type Tensor } from '../../src/index.js';
import { inDouble } from '../../src/kernels/launch.js';
import { Adam, AMSGrad, SGD, type Optimizer } from '../../src/optim/index.js';
import {
  bitsOf,
  build,
  CONFIGURATIONS,
  parameters,
  randomGrads,
  run,
  valuesOf,
  type RuleName,
} from './support.js';

const zeros = (...shape: number[]): Tensor =>
  tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), { shape, requiresGrad: true });

describe('Groups', () => {
  const separable = CONFIGURATIONS.filter(([, rule]) => rule !== 'SWATS');
  it.each(separable)('of %s are to the bit as many optimizers', (_title, rule, options) => {
    const [together, apart] = [parameters(1), parameters(1)];
    const other = { ...options, lr: 0.002 };
    const one = build(
      rule,
      [{ params: together.slice(0, 2) }, { params: together.slice(2), ...other }],
      options,
    );
    const two = [build(rule, apart.slice(0, 2), options), build(rule, apart.slice(2), other)];
    for (let k = 0; k < 10; k++) {
      randomGrads(together, k);
      randomGrads(apart, k);
      one.step();
      for (const opt of two) opt.step();
    }
    expect(bitsOf(together)).toEqual(bitsOf(apart));
  });

  it('of SWATS with scope "group" are to the bit as many optimizers', () => {
    const [together, apart] = [parameters(1), parameters(1)];
    const options = { lr: 0.01, betas: [0.9, 0.9], relTol: 0.3 };
    const one = build('SWATS', [{ params: together.slice(0, 2) }, { params: together.slice(2) }], {
      ...options,
      scope: 'group',
    });
    const two = [build('SWATS', apart.slice(0, 2), options), build('SWATS', apart.slice(2), options)];
    for (let k = 0; k < 30; k++) {
      randomGrads(together, k);
      randomGrads(apart, k);
      one.step();
      for (const opt of two) opt.step();
    }
    expect(bitsOf(together)).toEqual(bitsOf(apart));
  });

  it('can be added later and edited between steps', () => {
    const [a, b] = [zeros(2), zeros(2)];
    const opt = new SGD([['a', a]], { lr: 1 });
    opt.addGroup({ params: [['b', b]], lr: 0.5 });
    const give = (): void => [a, b].forEach((p) => (p.grad = tensor([1, 1])));
    give();
    opt.step();
    expect([valuesOf(a), valuesOf(b)]).toEqual([
      [-1, -1],
      [-0.5, -0.5],
    ]);
    opt.groups[1]!.lr = 0.25;
    opt.groups[0]!.maximize = true;
    opt.step();
    expect([valuesOf(a), valuesOf(b)]).toEqual([
      [0, 0],
      [-0.75, -0.75],
    ]);
  });

  it('have base rates of their own for the bounds of AdaBound, which a later group does not miss', () => {
    const opt = build('AdaBound', [{ params: [zeros(1)] }], { lr: 0.01 });
    opt.addGroup({ params: [zeros(1)], lr: 0.5 } as never);
    opt.groups[0]!.lr = 0.001;
    expect(opt.groups.map((g) => (g as unknown as { baseLr: number }).baseLr)).toEqual([0.01, 0.5]);
  });

  it('lend parameters to another optimizer and take them back', () => {
    const [p, q] = [zeros(3), zeros(3)];
    const [one, two] = [new SGD([p], { lr: 1 }), new SGD([p, q], { lr: 10 })];
    for (const opt of [one, two, one, two, one]) {
      for (const t of [p, q]) t.grad = tensor([1, 2, 3]);
      opt.step();
      expect(p.grad!.toArray()).toEqual([1, 2, 3]);
    }
    expect(p.toArray()).toEqual([-23, -46, -69]);
    expect(q.toArray()).toEqual([-20, -40, -60]);
  });

  it('share memory: one run of parameters, one of gradients, each at a cache line', () => {
    const params = parameters(2);
    const opt = new Adam(params);
    randomGrads(params, 1);
    const lines = (of: (p: Tensor) => number): number[] => params.map((p) => (of(p) - of(params[0]!)) / 64);
    expect(lines((p) => p.storage.offset)).toEqual([0, 1, 2, 4]);
    expect(lines((p) => p.grad!.storage.offset)).toEqual([0, 1, 2, 4]);
    expect(params[0]!.storage.offset % 64).toBe(0);
    opt.step();
  });
});

describe('A schedule', () => {
  it('is read with the number of steps taken, first with 0', () => {
    const seen: number[] = [];
    const lr = { name: 'spy', options: {}, at: (s: number) => ({ lr: seen.push(s) }) };
    const opt = new SGD([zeros(1)], { lr });
    for (let k = 0; k < 3; k++) opt.step();
    expect(seen).toEqual([0, 1, 2]);
  });

  it('replaces momentum and the first beta where it gives one', () => {
    const lr = { name: 'fixed', options: {}, at: () => ({ lr: 0.01, momentum: 0.5 }) };
    const cases: [RuleName, object, object][] = [
      ['SGD', { lr, momentum: 0.9 }, { lr: 0.01, momentum: 0.5 }],
      ['SGD', { lr }, { lr: 0.01, momentum: 0.5 }],
      ['Adam', { lr }, { lr: 0.01, betas: [0.5, 0.999] }],
    ];
    for (const [rule, scheduled, fixed] of cases) {
      const [a, b] = [parameters(3), parameters(3)];
      run(build(rule, a, { ...scheduled }), a, 5);
      run(build(rule, b, { ...fixed }), b, 5);
      expect(bitsOf(a)).toEqual(bitsOf(b));
    }
  });
});

const t = zeros(2);
const make = (params: unknown, options: object = {}): Optimizer => build('Adam', params, { ...options });

describe('What cannot work', () => {
  const computed = tensor([1], { requiresGrad: true }).mul(2);
  const cases: [title: string, call: () => unknown, message: RegExp][] = [
    ['an empty list', () => make([]), /^optim\.Adam: params holds no tensors$/],
    ['an empty group', () => make([{ params: [] }]), /params holds no tensors/],
    ['a bare tensor', () => make(t), /got a Tensor; put the tensor into an array/],
    ['a model', () => make({ parameters: () => [] }), /pass model\.parameters\(\)/],
    ['a number', () => make([3]), /parameter "0" must be a Tensor, got 3/],
    ['a name alone', () => make(['w']), /parameter "0" must be a Tensor, got "w"/],
    [
      'a tensor twice',
      () =>
        make([
          ['a', t],
          ['b', t],
        ]),
      /parameter "b" is the same tensor as parameter "a"/,
    ],
    ['a tensor and its alias', () => make([t, t.detach()]), /"1" is the same tensor as parameter "0"/],
    ['a tensor in two groups', () => make([{ params: [t] }, { params: [t] }]), /same tensor/],
    [
      'a name twice',
      () =>
        make([
          ['a', t],
          ['a', zeros(1)],
        ]),
      /two parameters are named "a"/,
    ],
    [
      'a computed tensor',
      () => make([computed]),
      /was computed from other tensors; optimize those, or its detach\(\)/,
    ],
    ['parameters beside groups', () => make([t, { params: [zeros(1)] }]), /mixes parameters and groups/],
    [
      'an unknown option',
      () => make([t], { weigthDecay: 1 }),
      /unknown option "weigthDecay"; did you mean "weightDecay"\?/,
    ],
    [
      'an unknown option of a group',
      () => make([{ params: [t], beta: 1 }]),
      /unknown option "beta"; did you mean "betas"\?/,
    ],
    [
      'a rate that is NaN',
      () => make([t], { lr: NaN }),
      /^optim\.Adam: lr must be a finite number >= 0, got NaN$/,
    ],
    ['a negative rate', () => make([t], { lr: -1 }), /lr must be a finite number >= 0, got -1/],
    [
      'a negative rate of a group',
      () => make([{ params: [t] }, { params: [zeros(1)], lr: -1 }]),
      /groups\[1\]: lr must be/,
    ],
    ['a rate that is no schedule', () => make([t], { lr: {} }), /lr must be a schedule/],
    [
      'a beta of 1',
      () => make([t], { betas: [0.9, 1] }),
      /betas\[1\] must be a finite number >= 0 and < 1, got 1/,
    ],
    ['one beta', () => make([t], { betas: [0.9] }), /betas must be two numbers/],
    ['a negative eps', () => make([t], { eps: -1 }), /eps must be/],
    ['negative decay', () => make([t], { weightDecay: -1 }), /weightDecay must be/],
    ['a flag that is a number', () => make([t], { maximize: 1 }), /maximize must be true or false, got 1/],
    [
      'Nesterov without momentum',
      () => build('SGD', [t], { nesterov: true }),
      /nesterov needs momentum > 0 and dampening 0/,
    ],
    [
      'classical dampening',
      () => build('SGD', [t], { variant: 'classical', dampening: 0.1 }),
      /has no dampening/,
    ],
    [
      'an unknown variant',
      () => build('AMSGrad', [t], { variant: 'tf' }),
      /variant must be one of "torch", "paper", "corrected", got "tf"/,
    ],
    [
      'classical centred RMSProp',
      () => build('RMSProp', [t], { variant: 'classical', centered: true }),
      /has no centered form/,
    ],
    [
      'bounds that never close',
      () => build('AdaBound', [t], { gamma: 0 }),
      /gamma must be a finite number > 0/,
    ],
    ['an unknown scope', () => build('SWATS', [t], { scope: 'layer' }), /scope must be one of/],
    [
      'a factor that is NaN',
      () => make([zeros(1)]).scaleGrads(NaN),
      /Adam\.scaleGrads: factor must be a finite number/,
    ],
  ];
  it.each(cases)('is refused: %s', (_title, call, message) => expect(call).toThrow(message));

  it('does not take parameters from where they are', () => {
    const p = zeros(2);
    expect(() => make([p, 3])).toThrow();
    expect(() => make([{ params: [p] }, { params: [zeros(1)], lr: -1 }])).toThrow();
    expect([p.storage.offset, p.gradSlot]).toEqual([-1, null]);
  });

  it('does not change a single group when another was edited badly', () => {
    const [p, q] = [zeros(1), zeros(1)];
    const opt = new AMSGrad([{ params: [p] }, { params: [q] }], { lr: 1 });
    for (const x of [p, q]) x.grad = tensor([1]);
    opt.groups[1]!.lr = NaN;
    expect(() => opt.step()).toThrow(/AMSGrad\.groups\[1\]: lr must be/);
    expect([p.toArray(), q.toArray(), opt.stepCount]).toEqual([[0], [0], 0]);
    opt.groups[1]!.lr = 0;
    opt.step();
    expect([p.toArray(), q.toArray(), opt.stepCount]).toEqual([[-1], [0], 1]);
  });

  it('throws where a misspelt option is set', () => {
    const opt = make([zeros(1)]);
    expect(() => ((opt.groups[0] as unknown as Record<string, number>)['weightDecya'] = 1)).toThrow(
      TypeError,
    );
  });

  it('is a step in another precision than the optimizer was made in', () => {
    const opt = make([zeros(1)]);
    expect(() => inDouble(() => opt.step())).toThrow(/made in single precision and is used in double/);
  });
});
