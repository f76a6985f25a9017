// Every optimizer on given gradients, against torch and independent references: parameters and all state, in double
// precision and in float32 on the engine in use.
import { describe, expect, it } from 'vitest';
import * as thalweg from '../../src/index.js';
import { inDouble } from '../../src/kernels/launch.js';
import type { Optimizer, OptimizerState } from '../../src/optim/index.js';
import { build, golden, ownOptions, RULES, valuesOf, type Options, type RuleName } from './support.js';

type Arrays = (number[] | number | null)[];
interface Case {
  name: string;
  optimizer: string;
  variant: string;
  options: Options;
  params: { name: string; shape: number[]; init: number[]; options?: Options }[];
  steps: { grads: (number[] | null)[]; lr?: number }[];
  expected: { step: number; params: number[][]; state: Record<string, Arrays | number | string | null> }[];
  float32Error: number;
}

const cases = golden<Case>('optimizers').filter((c) => c.optimizer in RULES);

/** `scale`: largest magnitude that the quantity had before, since sums that cancel keep the rounding of their parts. */
type Close = (actual: number, expected: number, scale: number) => boolean;
const inFloat64: Close = (a, e) =>
  Math.abs(a - e) <= Math.min(1e-12 * Math.max(1, Math.abs(e)), 1e-9 * Math.abs(e) + 1e-15);
const inFloat32 =
  (error: number): Close =>
  (a, e, scale) =>
    Math.abs(a - e) <= Math.max(2e-6, 4 * error) * Math.max(1, Math.abs(e), scale);

function make(c: Case): { opt: Optimizer; params: thalweg.Tensor[] } {
  const params = c.params.map((p) => thalweg.tensor(p.init, { shape: p.shape, requiresGrad: true }));
  const pairs = c.params.map((p, i) => [p.name, params[i]!] as const);
  const options = ownOptions(c.optimizer, c.variant, c.options);
  const groups = c.params.map((p, i) => ({
    params: [pairs[i]!],
    ...p.options,
  }));
  const split = c.params.some((p) => p.options);
  return { opt: build(c.optimizer as RuleName, split ? groups : pairs, options), params };
}

/** State as the golden file names it. */
function stateOf(c: Case, dict: OptimizerState, key: string): Arrays | number | string | null {
  const states = c.params.map((p) => dict.state[p.name]!);
  const arrays = (name: string): Arrays =>
    states.map((s) => (s.arrays[name] ? Array.from(s.arrays[name]) : null));
  if (c.optimizer === 'SWATS') {
    const judge = (
      dict.extra as { switchStep: number | null; switchedLr: number | null; average: number }[]
    )[0]!;
    const sgd = judge.switchStep !== null;
    const facts: Record<string, Arrays | number | string | null> = {
      step: dict.steps,
      phase: sgd ? 'sgd' : 'adam',
      switchStep: judge.switchStep,
      lambda: judge.switchedLr,
      gammaAvg: judge.average,
    };
    if (key in facts) return facts[key]!;
    return (key === 'momentumBuffer') === sgd ? arrays(key) : states.map(() => null);
  }
  if (key === 'step') return states.map((s) => (s.step > 0 ? s.step : null));
  // torch keeps E[g²] where we keep the variance.
  if (key === 'squareAvg' && c.options['centered']) {
    const [variance, mean] = [arrays('variance'), arrays('gradAvg')] as number[][][];
    return variance!.map((v, i) => v && v.map((x, j) => x + mean![i]![j]! ** 2));
  }
  return arrays(key);
}

/** For messages. */
let at = '';

/** Compares lists of lists, remembering in `scales` how large each number has been. */
function compare(
  what: string,
  actual: unknown,
  expected: unknown,
  close: Close,
  scales: Map<string, number>,
): void {
  if (Array.isArray(expected)) {
    const list = actual as unknown[];
    expect(list, what).toHaveLength(expected.length);
    expected.forEach((e, k) => compare(`${what}[${k}]`, list[k], e, close, scales));
  } else if (typeof expected === 'number' && typeof actual === 'number') {
    const scale = Math.max(scales.get(what) ?? 0, Math.abs(expected));
    scales.set(what, scale);
    expect(close(actual, expected, scale), `${at}, ${what}: ${actual} for ${expected}`).toBe(true);
  } else expect(actual, what).toBe(expected);
}

function check(c: Case, close: Close): void {
  const { opt, params } = make(c);
  const scales = new Map<string, number>();
  c.steps.forEach(({ grads, lr }, k) => {
    if (lr !== undefined) for (const group of opt.groups) group.lr = lr;
    params.forEach((p, i) => {
      const g = grads[i];
      p.grad = g ? thalweg.tensor(g, { shape: p.shape }) : null;
    });
    opt.step();
    const want = c.expected.find(({ step }) => step === k + 1);
    if (!want) return;
    at = `after step ${k + 1}`;
    compare(`${c.name}: params`, params.map(valuesOf), want.params, close, scales);
    const dict = opt.stateDict();
    for (const [key, value] of Object.entries(want.state))
      compare(`${c.name}: ${key}`, stateOf(c, dict, key), value, close, scales);
  });
}

describe('Golden optimizer runs', () => {
  it('cover every optimizer', () =>
    expect(new Set(cases.map((c) => c.optimizer))).toEqual(new Set(Object.keys(RULES))));

  it.each(cases.map((c) => [c.name, c] as const))('%s agrees in double precision', (_name, c) =>
    inDouble(() => check(c, inFloat64)),
  );

  it.each(cases.map((c) => [c.name, c] as const))(
    `%s agrees in float32 on the ${thalweg.backend.name} engine`,
    (_name, c) => check(c, inFloat32(c.float32Error)),
  );
});
