// What each rule must do whatever the numbers: first steps by hand, limits in which one rule is another, symmetries.
import { describe, expect, it } from 'vitest';
import { tensor, type Tensor } from '../../src/index.js';
import { inDouble } from '../../src/kernels/launch.js';
import { AdaBound, Adam, AdamW, AMSGrad, RMSProp, SGD } from '../../src/optim/index.js';
import {
  bitsOf,
  build,
  CONFIGURATIONS,
  parameters,
  randomGrads,
  run,
  valuesOf,
  type Options,
  type RuleName,
} from './support.js';

const leaf = (...values: number[]): Tensor => tensor(values, { requiresGrad: true });

/** Where `rule` brings a parameter from 0 in one step with gradient `g`. */
function firstStep(rule: RuleName, options: Options, g = -3): number {
  return inDouble(() => {
    const p = leaf(0);
    const opt = build(rule, [p], options);
    p.grad = tensor([g]);
    opt.step();
    return p.item();
  });
}

describe('The first step', () => {
  it.each([
    ['of SGD is lr g', 'SGD', { lr: 0.1 }, 0.3],
    ['of SGD with dampened momentum is not dampened', 'SGD', { lr: 0.1, momentum: 0.9, dampening: 0.5 }, 0.3],
    ['of Nesterov momentum looks ahead', 'SGD', { lr: 0.1, momentum: 0.9, nesterov: true }, 0.57],
    [
      'of classical Nesterov momentum too',
      'SGD',
      { lr: 0.1, momentum: 0.9, nesterov: true, variant: 'classical' },
      0.57,
    ],
    ['of Adagrad is lr', 'Adagrad', { lr: 0.1, eps: 0 }, 0.1],
    ['of RMSProp is ten times lr', 'RMSProp', { lr: 0.1, eps: 0 }, 1],
    ['of classical RMSProp is lr', 'RMSProp', { lr: 0.1, variant: 'classical' }, 0.1],
    ['of Adam is lr', 'Adam', { lr: 0.1, eps: 0 }, 0.1],
    [
      'of the AMSGrad of the paper has no correction',
      'AMSGrad',
      { lr: 0.1, variant: 'paper' },
      (0.1 * 0.1) / Math.sqrt(1e-3),
    ],
    ['of SWATS is lr', 'SWATS', { lr: 0.1, eps: 0 }, 0.1],
  ] as [string, RuleName, Options, number][])('%s', (_title, rule, options, want) =>
    expect(firstStep(rule, options)).toBeCloseTo(want, 12),
  );

  it('of tiny gradients is halved by an eps of their size, outside the root', () =>
    expect(firstStep('Adam', { lr: 1, eps: 1e-8 }, -1e-8)).toBeCloseTo(0.5, 10));

  it.each(CONFIGURATIONS)('of %s does not move where the gradient is 0', (_title, rule, options) =>
    expect(firstStep(rule, options, 0)).toBe(0),
  );
});

describe('Every rule', () => {
  it.each(CONFIGURATIONS)('%s leaves parameters alone at rate 0', (_title, rule, options) => {
    const params = parameters(4);
    const before = bitsOf(params);
    run(build(rule, params, { ...options, lr: 0 }), params, 8);
    expect(bitsOf(params)).toEqual(before);
  });

  it.each(CONFIGURATIONS)('%s ascends f as it descends -f', (_title, rule, options) => {
    const [up, down] = [parameters(4), parameters(4)];
    const [ascent, descent] = [build(rule, up, { ...options, maximize: true }), build(rule, down, options)];
    for (let k = 0; k < 10; k++) {
      randomGrads(up, k);
      randomGrads(down, k);
      descent.scaleGrads(-1);
      ascent.step();
      descent.step();
    }
    expect(up.map(valuesOf)).toEqual(down.map(valuesOf));
  });

  it.each(CONFIGURATIONS)('%s mirrors parameters when everything is mirrored', (_title, rule, options) => {
    const [a, b] = [parameters(4), parameters(4)];
    for (const p of b) p.storage.values().forEach((v, k, all) => (all[k] = -v));
    const [one, two] = [build(rule, a, options), build(rule, b, options)];
    for (let k = 0; k < 10; k++) {
      randomGrads(a, k);
      randomGrads(b, k);
      two.scaleGrads(-1);
      one.step();
      two.step();
    }
    expect(a.map(valuesOf)).toEqual(b.map((p) => valuesOf(p).map((v) => 0 - v)));
  });

  const adaptive: [RuleName, Options][] = [
    ['Adam', { eps: 0 }],
    ['AMSGrad', { eps: 0, variant: 'corrected' }],
    ['AMSGrad', { variant: 'paper' }],
    ['Adagrad', { variant: 'classical' }],
    ['RMSProp', { eps: 0, momentum: 0.5 }],
    ['RMSProp', { eps: 0, centered: true }],
    ['AdaBound', { eps: 0, finalLr: 1, gamma: 1e-7 }],
  ];
  it.each(adaptive)('%s %o does not depend on the scale of gradients without eps', (rule, options) => {
    const [a, b] = [parameters(4), parameters(4)];
    const [one, two] = [build(rule, a, options), build(rule, b, options)];
    for (let k = 0; k < 10; k++) {
      randomGrads(a, k);
      randomGrads(b, k);
      two.scaleGrads(64);
      one.step();
      two.step();
    }
    expect(bitsOf(a)).toEqual(bitsOf(b));
  });

  it.each(CONFIGURATIONS)(
    '%s skips a parameter without gradient, but not one with a gradient of 0',
    (_t, rule, options) => {
      const [p, q] = [leaf(1), leaf(1)];
      const opt = build(
        rule,
        [
          ['p', p],
          ['q', q],
        ],
        { ...options, weightDecay: 0.5 },
      );
      for (const t of [p, q]) t.grad = tensor([1]);
      opt.step();
      const [before, was] = [opt.stateDict().state, [p.item(), q.item()]];
      p.grad = null;
      q.grad = tensor([0]);
      opt.step();
      const after = opt.stateDict().state;
      expect([after['p'], p.item()]).toEqual([before['p'], was[0]]);
      expect(after['q']!.step).toBe(2);
      expect(q.item()).not.toBe(was[1]);
    },
  );

  it.each(CONFIGURATIONS)(
    '%s skips a frozen parameter and goes on when it is thawed',
    (_title, rule, options) => {
      const [p, q] = [leaf(1), leaf(1)];
      const opt = build(rule, [p, q], options);
      const give = (): void => [p, q].forEach((t) => (t.grad = tensor([1])));
      p.requiresGrad = false;
      give();
      opt.step();
      expect(p.item()).toBe(1);
      expect(q.item()).not.toBe(1);
      p.requiresGrad = true;
      give();
      opt.step();
      expect(p.item()).not.toBe(1);
    },
  );

  it('counts steps beyond 2^24', () => {
    const p = leaf(1);
    const opt = new Adam([['p', p]], { lr: 1e-3 });
    p.grad = tensor([1]);
    opt.step();
    const state = opt.stateDict();
    state.state['p']!.step = state.steps = 2 ** 24;
    opt.loadStateDict(state);
    opt.step();
    opt.step();
    expect([opt.stateDict().state['p']!.step, opt.stepCount]).toEqual([2 ** 24 + 2, 2 ** 24 + 2]);
  });
});

describe('In its limit', () => {
  it('momentum that starts from a high rate keeps it in the classical form only', () => {
    const run = (variant: 'torch' | 'classical'): number =>
      inDouble(() => {
        const p = leaf(0);
        const opt = new SGD([p], { lr: 0.1, momentum: 0.9, variant });
        for (let k = 0; k < 20; k++) {
          if (k === 10) opt.groups[0]!.lr = 0.01;
          p.grad = tensor([1]);
          opt.step();
        }
        return p.item();
      });
    expect(run('torch')).toBeCloseTo(-4.934, 3);
    expect(run('classical')).toBeCloseTo(-8.37, 2);
  });

  it('Adam without first moment is RMSProp with bias correction', () =>
    inDouble(() => {
      const [a, b] = [parameters(8), parameters(8)];
      const adam = new Adam(a, { lr: 0.01, betas: [0, 0.9], eps: 1e-3 });
      const rms = new RMSProp(b, { alpha: 0.9 });
      for (let t = 1; t <= 20; t++) {
        const root = Math.sqrt(1 - 0.9 ** t);
        Object.assign(rms.groups[0]!, { lr: 0.01 * root, eps: 1e-3 * root });
        randomGrads(a, t);
        randomGrads(b, t);
        adam.step();
        rms.step();
      }
      a.forEach((p, i) => valuesOf(p).forEach((v, k) => expect(v).toBeCloseTo(valuesOf(b[i]!)[k]!, 12)));
    }));

  it('AdaBound with closed bounds is SGD on the average of gradients', () =>
    inDouble(() => {
      const p = leaf(1);
      const opt = new AdaBound([p], { lr: 0.5, finalLr: 0.125, gamma: 1e15, betas: [0.9, 0.99] });
      let [m, want] = [0, 1];
      for (let k = 0; k < 20; k++) {
        const g = Math.sin(k + 1);
        m += 0.1 * (g - m);
        want -= 0.125 * m;
        p.grad = tensor([g]);
        opt.step();
      }
      expect(p.item()).toBeCloseTo(want, 12);
    }));

  it('AMSGrad is Adam while the second moment does not fall', () => {
    const [a, b] = [parameters(8), parameters(8)];
    const [one, two] = [new AMSGrad(a, { lr: 0.01 }), new Adam(b, { lr: 0.01 })];
    for (let k = 1; k <= 10; k++) {
      for (const p of [...a, ...b]) p.grad = tensor(new Float32Array(p.size).fill(k), { shape: p.shape });
      one.step();
      two.step();
    }
    expect(bitsOf(a)).toEqual(bitsOf(b));
  });

  it('AdamW decays by lr times the decay, and L2 does not where the gradient is constant', () => {
    const [w, l2] = [leaf(2), leaf(2)];
    const [one, two] = [
      new AdamW([w], { lr: 0.5, weightDecay: 0.5 }),
      new Adam([l2], { lr: 0.5, weightDecay: 0.5 }),
    ];
    for (const p of [w, l2]) p.grad = tensor([0]);
    one.step();
    two.step();
    expect(w.item()).toBe(1.5);
    expect(l2.item()).toBeCloseTo(1.5, 6);
    one.step();
    expect(w.item()).toBe(1.125);
  });

  it('a base rate of 0 leaves the bounds of AdaBound finite', () => {
    const p = leaf(1);
    const opt = new AdaBound([p], { lr: 0 });
    opt.groups[0]!.lr = 0.01;
    p.grad = tensor([1]);
    opt.step();
    expect(p.item()).toBeCloseTo(0.99, 6);
  });

  it.each([3.3, 0.7])(
    'centred RMSProp stays a number for a steady gradient of %d, where E[g²] - E[g]² does not',
    (g) => {
      const path = (): number[] => {
        const p = leaf(0);
        const opt = new RMSProp([p], { lr: 0.01, alpha: 0.9, centered: true, eps: 1e-3 });
        return Array.from({ length: 300 }, () => {
          p.grad = tensor([g]);
          opt.step();
          return p.item();
        });
      };
      const exact = inDouble(path);
      path().forEach((v, k) => expect(Math.abs(v - exact[k]!) / Math.abs(exact[k]!)).toBeLessThan(5e-3));
    },
  );
});
