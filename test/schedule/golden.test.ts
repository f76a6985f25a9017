// The recorded traces: PyTorch 2.13's closed forms, and those that PyTorch lacks.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import * as schedule from '../../src/schedule/index.js';
import { expectClose, momenta, rates } from './trace.js';

interface Case {
  name: string;
  schedule: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  options: any;
  steps: number[];
  lr: number[];
  momentum?: number[];
}

const cases = JSON.parse(
  readFileSync(new URL('../golden/schedules.json', import.meta.url), 'utf8'),
) as Case[];

const withLr = ({ baseLr, ...rest }: Case['options']) => ({ lr: baseLr, ...rest });

const ours: Record<string, (options: Case['options']) => schedule.Schedule> = {
  CyclicLR: (o) => schedule.cyclic({ ...o, mode: o.mode === 'exp_range' ? 'expRange' : o.mode }),
  CosineAnnealingWarmRestarts: (o) => schedule.warmRestarts(withLr(o)),
  OneCycleLR: (o) => schedule.oneCycle(o),
  StepLR: (o) => schedule.step(withLr(o)),
  MultiStepLR: (o) => schedule.multiStep(withLr(o)),
  ExponentialLR: (o) => schedule.exponential(withLr(o)),
  PolynomialLR: (o) => schedule.polynomial(withLr(o)),
  LinearLR: (o) => schedule.linear(withLr(o)),
  ConstantLR: (o) => schedule.constant(withLr(o)),
  CosineAnnealingLR: (o) => schedule.cosine(withLr(o)),
  WarmupCosineLR: (o) => schedule.warmupCosine(withLr(o)),
  NoamLR: (o) => schedule.noam(o),
  InverseSqrtLR: (o) => schedule.inverseSqrt(withLr(o)),
  WSDLR: ({ minLr, ...o }) => schedule.wsd({ ...withLr(o), etaMin: minLr }),
};

describe('the golden traces', () => {
  test('there are 36 of them, over 14 schedules', () => {
    expect(cases).toHaveLength(36);
    expect(new Set(cases.map((c) => c.schedule))).toEqual(new Set(Object.keys(ours)));
  });

  test.each(cases)('$name agrees in rate and momentum', (c) => {
    const s = ours[c.schedule]!(c.options);
    expectClose(rates(s, c.steps), c.lr);
    if (c.momentum) expectClose(momenta(s, c.steps), c.momentum);
    else expect(new Set(momenta(s, c.steps))).toEqual(new Set([undefined]));
  });
});
