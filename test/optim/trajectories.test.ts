// Optimizers on test functions, with gradients by our own tape, in double precision; and the problems on which Adam does
// not converge but AMSGrad does.
import { describe, expect, it } from 'vitest';
import * as thalweg from '../../src/index.js';
import type { Tensor } from '../../src/index.js';
import { inDouble } from '../../src/kernels/launch.js';
import { SWATS } from '../../src/optim/index.js';
import { build, golden, ownOptions, RULES, valuesOf, type Options, type RuleName } from './support.js';

interface Trajectory {
  kind: 'trajectory';
  name: string;
  function: keyof typeof FUNCTIONS;
  functionOptions: { center?: number[]; matrix?: number[][]; slope?: number[] };
  start: number[];
  optimizer: RuleName;
  variant: string;
  options: Options;
  threshold: number;
  firstBelow: number | null;
  samples: { step: number; point: number[]; f: number; tolerance?: number }[];
  spread: Record<string, number | null>;
  switchStep?: number | null;
  lambda?: number | null;
}

interface Online {
  kind: 'online';
  name: string;
  big: number;
  small: number;
  period: number;
  amsgrad: boolean;
  beta1: number;
  beta2: number;
  lr: number;
  lrDecay: 'inverseSqrt' | 'none';
  eps: number;
  biasCorrection: boolean;
  start: number;
  results: { step: number; x: number; regret: number }[];
}

const all = golden<Trajectory | Online>('trajectories');
const trajectories = all.filter((c): c is Trajectory => c.kind === 'trajectory' && c.optimizer in RULES);
const online = all.filter((c): c is Online => c.kind === 'online');

const square = (t: Tensor): Tensor => t.square();
const xy = (p: Tensor): [Tensor, Tensor] => [p.narrow(0, 0, 1), p.narrow(0, 1, 1)];

const FUNCTIONS = {
  parabola: (p: Tensor, { center }: Trajectory['functionOptions']) => square(p.sub(center!)).sum(),
  rosenbrock: (p: Tensor) => {
    const [x, y] = xy(p);
    return square(x.neg().add(1))
      .add(square(y.sub(square(x))).mul(100))
      .sum();
  },
  beale: (p: Tensor) => {
    const [x, y] = xy(p);
    const term = (k: number, c: number): Tensor => square(x.mul(y.pow(k)).sub(x).add(c));
    return term(1, 1.5).add(term(2, 2.25)).add(term(3, 2.625)).sum();
  },
  himmelblau: (p: Tensor) => {
    const [x, y] = xy(p);
    return square(square(x).add(y).sub(11))
      .add(square(x.add(square(y)).sub(7)))
      .sum();
  },
  quadratic: (p: Tensor, { matrix, center }: Trajectory['functionOptions']) => {
    const d = p.sub(center!);
    return d.mul(thalweg.tensor(matrix!).matmul(d)).sum().mul(0.5);
  },
  linear: (p: Tensor, { slope }: Trajectory['functionOptions']) => p.mul(slope!).sum(),
};

/** No sample beyond this step is compared: the long runs repeat what the short ones show. */
const LAST = 3000;
/** Samples with a larger tolerance are of chaotic stretches. */
const CHAOTIC = 1e-6;

function follow(c: Trajectory): void {
  const p = thalweg.tensor(c.start, { requiresGrad: true });
  const opt = build(c.optimizer, [p], ownOptions(c.optimizer, c.variant, c.options));
  const samples = c.samples.filter(({ step, tolerance }) => step <= LAST && (tolerance ?? 1) <= CHAOTIC);
  // A linear function has no least value, and no step was recorded for it.
  const exact =
    c.function !== 'linear' &&
    c.spread['noisyFirstBelow'] === c.firstBelow &&
    c.spread['referenceFirstBelow'] === c.firstBelow;
  const last = samples.at(-1)!.step;
  const visit = (step: number): void => {
    const f = FUNCTIONS[c.function](p, c.functionOptions);
    const sample = samples.find((s) => s.step === step);
    sample?.point.forEach((e, k) => {
      const off = Math.abs(valuesOf(p)[k]! - e);
      expect(off, `${c.name}, step ${step}, coordinate ${k}`).toBeLessThanOrEqual(sample.tolerance!);
    });
    if (exact && f.item() < c.threshold !== (step === c.firstBelow))
      expect.fail(`${c.name}: f = ${f.item()} at step ${step}, but first below at ${c.firstBelow}`);
    if (step === last) return;
    opt.zeroGrad();
    f.backward();
    opt.step();
  };
  for (let step = 0; step <= last; step++) thalweg.scope(() => visit(step));
  if (!(opt instanceof SWATS)) return;
  expect(opt.switchStep).toBe(c.switchStep);
  if (c.lambda) expect(opt.switchedLr).toBeCloseTo(c.lambda, 12);
}

describe('Trajectories', () => {
  it('cover every optimizer but AdamW and Lion, which have golden runs', () => {
    const rules = Object.keys(RULES).filter((rule) => rule !== 'AdamW' && rule !== 'Lion');
    expect(new Set(trajectories.map((c) => c.optimizer))).toEqual(new Set(rules));
  });

  it.each(trajectories.map((c) => [c.name, c] as const))('%s is the recorded one', (_name, c) =>
    inDouble(() => follow(c)),
  );
});

/**
 * Plays a problem for `steps` steps and returns x and the regret after each of `record`. The step size is a schedule; the
 * clipping to [-1, 1] is ours. Without bias correction Adam's is undone through the options, which are edited each step.
 */
function play(c: Online, record: readonly number[]): { x: number; regret: number }[] {
  const x = thalweg.tensor([c.start], { requiresGrad: true });
  const decay = (t: number): number => (c.lrDecay === 'inverseSqrt' ? c.lr / Math.sqrt(t) : c.lr);
  const lr = { name: 'decay', options: {}, at: (s: number) => ({ lr: decay(s + 1) }) };
  const shared = { lr, betas: [c.beta1, c.beta2], eps: c.eps };
  const variant = c.biasCorrection ? 'torch' : 'paper';
  const opt = c.amsgrad ? build('AMSGrad', [x], { ...shared, variant }) : build('Adam', [x], shared);
  const group = opt.groups[0] as unknown as { lr: unknown; eps: number };
  const [big, small] = [thalweg.tensor([c.big]), thalweg.tensor([c.small])];
  const results: { x: number; regret: number }[] = [];
  const [values, last] = [x.storage.values(), Math.max(...record)];
  let regret = 0;
  for (let t = 1; t <= last; t++) {
    const g = t % c.period === 1 ? c.big : c.small;
    regret += g * values[0]! + g;
    x.grad = g === c.big ? big : small;
    if (!c.amsgrad && !c.biasCorrection) {
      const bc2 = Math.sqrt(1 - c.beta2 ** t);
      group.lr = (decay(t) * (1 - c.beta1 ** t)) / bc2;
      group.eps = c.eps / bc2;
    }
    opt.step();
    values[0] = Math.min(1, Math.max(-1, values[0]!));
    x.storage.touch();
    if (record.includes(t)) results.push({ x: values[0]!, regret });
  }
  return results;
}

describe('Problems on which Adam ends at the worst point', () => {
  it.each(online.map((c) => [c.name, c] as const))('%s has the recorded x and regret', (_name, c) =>
    inDouble(() => {
      const recorded = c.results.filter(({ step }) => step <= 1e5);
      const got = play(
        c,
        recorded.map(({ step }) => step),
      );
      recorded.forEach(({ step, x, regret }, k) => {
        expect(Math.abs(got[k]!.x - x), `x after ${step} steps`).toBeLessThanOrEqual(1e-6);
        expect(Math.abs(got[k]!.regret - regret) / regret, `regret after ${step} steps`).toBeLessThanOrEqual(
          1e-6,
        );
      });
    }),
  );

  // So many steps are too many for the reference engine. The limit of time is for a machine with much else to do.
  it.skipIf(thalweg.backend.name === 'reference')(
    'after 300,000 steps in float32 Adam is at +1, AMSGrad near -1 with regret that vanishes',
    { timeout: 600_000 },
    () => {
      const of = (kind: string): Online =>
        online.find(({ name }) => name === `online-1010-decaying/${kind}`)!;
      const [adam] = play(of('adam'), [3e5]);
      expect(adam!.x).toBeGreaterThan(0.99);
      const [early, late] = play(of('amsgrad'), [1e5, 3e5]);
      expect(late!.x).toBeLessThan(-0.99);
      expect(late!.regret / 3e5).toBeLessThan(0.07);
      expect(late!.regret / 3e5).toBeLessThan(early!.regret / 1e5);
    },
  );
});
