// Golden cases as optimizers of ours, and small helpers that all optimizer tests share.
import { readFileSync } from 'node:fs';
import * as thalweg from '../../src/index.js';
import * as optim from '../../src/optim/index.js';
import type { Tensor } from '../../src/index.js';
import { generator } from '../support/random.js';

export type Options = Record<string, unknown>;
type Build = new (params: never, options: never) => optim.Optimizer;

/** Every optimizer of the namespace by name. */
export const RULES = {
  SGD: optim.SGD,
  Adagrad: optim.Adagrad,
  RMSProp: optim.RMSProp,
  Adam: optim.Adam,
  AdamW: optim.AdamW,
  AMSGrad: optim.AMSGrad,
  AdaBound: optim.AdaBound,
  AMSBound: optim.AMSBound,
  Lion: optim.Lion,
  SWATS: optim.SWATS,
} as const;
export type RuleName = keyof typeof RULES;

/** An optimizer by name. */
export const build = (rule: RuleName, params: unknown, options: Options = {}): optim.Optimizer =>
  new (RULES[rule] as unknown as Build)(params as never, options as never);

/** One configuration of each optimizer and variant, for properties that all must have. */
export const CONFIGURATIONS: [title: string, rule: RuleName, options: Options][] = [
  ['SGD', 'SGD', { lr: 0.05, weightDecay: 0.01 }],
  ['SGD with momentum and dampening', 'SGD', { lr: 0.05, momentum: 0.9, dampening: 0.3 }],
  ['SGD with Nesterov momentum', 'SGD', { lr: 0.02, momentum: 0.8, nesterov: true, weightDecay: 0.01 }],
  ['classical SGD', 'SGD', { lr: 0.05, momentum: 0.9, variant: 'classical' }],
  ['Adagrad', 'Adagrad', { lr: 0.1, lrDecay: 0.01, initialAccumulatorValue: 0.1 }],
  ['classical Adagrad', 'Adagrad', { lr: 0.1, variant: 'classical' }],
  ['RMSProp', 'RMSProp', { lr: 0.01, alpha: 0.9 }],
  ['centred RMSProp with momentum', 'RMSProp', { lr: 0.01, alpha: 0.9, momentum: 0.5, centered: true }],
  ['classical RMSProp', 'RMSProp', { lr: 0.01, alpha: 0.9, variant: 'classical' }],
  ['Adam', 'Adam', { lr: 0.01, weightDecay: 0.1 }],
  ['AdamW with amsgrad', 'AdamW', { lr: 0.01, weightDecay: 0.1, amsgrad: true }],
  ['AMSGrad', 'AMSGrad', { lr: 0.01 }],
  ['AMSGrad of the paper', 'AMSGrad', { lr: 0.01, variant: 'paper' }],
  ['corrected AMSGrad', 'AMSGrad', { lr: 0.01, variant: 'corrected', betas: [0.8, 0.95] }],
  ['AdaBound', 'AdaBound', { lr: 0.01, finalLr: 0.05, gamma: 0.1 }],
  ['AMSBound', 'AMSBound', { lr: 0.01, finalLr: 0.05, gamma: 0.1, weightDecay: 0.01 }],
  ['Lion', 'Lion', { lr: 0.01, weightDecay: 0.1 }],
  ['SWATS', 'SWATS', { lr: 0.01, betas: [0.9, 0.9], switchAt: 5 }],
  ['SWATS by tensor', 'SWATS', { lr: 0.01, betas: [0.9, 0.9], scope: 'tensor', relTol: 0.3 }],
];

/** A golden case's names for our options. */
export function ownOptions(rule: string, variant: string, given: Options): Options {
  const { beta1, beta2, amsgrad, amsbound: _a, requirePositive: _r, ...rest } = given;
  if (beta1 !== undefined) rest['betas'] = [beta1, beta2];
  if (rule === 'Adam' || rule === 'AdamW') rest['amsgrad'] = amsgrad;
  if (rule === 'AMSGrad' || rule === 'SGD') rest['variant'] = variant;
  if (variant === 'noEps' || variant === 'firstGradSquared') rest['variant'] = 'classical';
  return rest;
}

/** The cases of a golden file. */
export function golden<T>(file: string): T[] {
  const text = readFileSync(new URL(`../golden/${file}.json`, import.meta.url), 'utf8');
  return JSON.parse(text) as T[];
}

/** The values in the precision they have. */
export const valuesOf = (t: Tensor): number[] => Array.from(t.storage.values());

/** Random parameters of odd shapes, the same for the same seed. */
export function parameters(
  seed: number,
  shapes: readonly (readonly number[])[] = [[3, 5], [], [17], [1, 2, 3]],
): Tensor[] {
  const random = generator(seed);
  return shapes.map((shape) => {
    const n = shape.reduce((a, b) => a * b, 1);
    const values = Float32Array.from({ length: n }, () => 4 * random() - 2);
    return thalweg.tensor(values, { shape, requiresGrad: true });
  });
}

/** Gives every parameter a random gradient, the same for the same seed. */
export function randomGrads(params: readonly Tensor[], seed: number): void {
  const random = generator(seed);
  for (const p of params)
    p.grad = thalweg.tensor(
      Float32Array.from({ length: p.size }, () => 2 * random() - 1),
      { shape: p.shape },
    );
}

/** `count` steps with random gradients, numbered from `from`. */
export function run(opt: optim.Optimizer, params: readonly Tensor[], count: number, from = 0): void {
  for (let k = from; k < from + count; k++) {
    randomGrads(params, 1000 + k);
    opt.step();
  }
}

/** Names `a`, `b`, … for parameters. */
export const named = (params: readonly Tensor[]): [string, Tensor][] =>
  params.map((p, i) => [String.fromCharCode(97 + i), p]);

/** The bits of all values, for comparisons that tell -0 from 0. */
export const bitsOf = (params: readonly Tensor[]): number[][] =>
  params.map((p) => Array.from(new Uint32Array(p.toFloat32Array().buffer)));
