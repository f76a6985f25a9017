// AdaBound and AMSBound: Adam whose rates are clipped between bounds that close in on one rate.
import { Optimizer, type Facts } from './optimizer.js';
import {
  betas,
  flag,
  learningRate,
  number,
  type BaseOptions,
  type Betas,
  type ParamsOrGroups,
} from './options.js';

export interface AdaBoundOptions extends BaseOptions {
  /** The rate that the bounds close in on (0.1). */
  finalLr?: number;
  /** How fast the bounds close in (1e-3). */
  gamma?: number;
  /** Decay rates of the two moments ([0.9, 0.999]). */
  betas?: Betas;
  /** Added to the root, before the bias correction (1e-8). */
  eps?: number;
  /** L2 penalty: `weightDecay θ` is added to the gradient (0). */
  weightDecay?: number;
  /** Ascends (false). */
  maximize?: boolean;
  /** The `lr` for which the bounds are meant; they scale with `lr / baseLr` (`lr` at construction, of a schedule at step 0). */
  baseLr?: number;
}

const LR = 1e-3;

function initialLr({ lr }: AdaBoundOptions): number {
  if (typeof lr === 'object' && typeof lr?.at === 'function') return lr.at(0).lr;
  return typeof lr === 'number' ? lr : LR;
}

const factsOf = (name: string, max: boolean): Facts<AdaBoundOptions> => ({
  name,
  fields: (given) => ({
    lr: learningRate(LR),
    finalLr: number({ min: 0 }, 0.1),
    gamma: number({ above: 0 }, 1e-3),
    betas: betas(0.9, 0.999),
    eps: number({ min: 0 }, 1e-8),
    weightDecay: number({ min: 0 }, 0),
    maximize: flag(false),
    baseLr: number({ min: 0 }, initialLr(given)),
  }),
  states: ['expAvg', 'expAvgSq', 'maxExpAvgSq'],
  update({ lr, finalLr, gamma, betas: [b1, b2], eps, weightDecay, maximize, baseLr }, t) {
    const alpha = (lr * Math.sqrt(1 - b2 ** t)) / (1 - b1 ** t);
    // At a rate of 0 nothing moves, whatever the bounds were meant for.
    const final = finalLr * (baseLr > 0 ? lr / baseLr : lr > 0 ? 1 : 0);
    const [low, high] = [final * (1 - 1 / (gamma * t + 1)), final * (1 + 1 / (gamma * t))];
    return {
      kernel: 'adaboundStep',
      states: ['expAvg', 'expAvgSq', max ? 'maxExpAvgSq' : null],
      cells: [alpha, weightDecay, maximize ? -1 : 1, 1 - b1, b2, 1 - b2, eps, low, high],
    };
  },
});

const adabound = factsOf('AdaBound', false);
const amsbound = factsOf('AMSBound', true);

/**
 * Adam that turns into SGD: with `m`, `v` as in Adam, `θ -= clip(lr √bc2 / bc1 / (√v + eps), low, high) m`,
 * `low = f (1 - 1 / (gamma t + 1))`, `high = f (1 + 1 / (gamma t))`, `f = finalLr lr / baseLr`.
 *
 * Luo, Xiong, Liu and Sun, "Adaptive Gradient Methods with Dynamic Bound of Learning Rate", ICLR 2019, as in the authors'
 * code. There, base rates stand outside the state and miss groups that are added later; here each group has its own, and
 * a `baseLr` of 0 counts as a ratio of 1.
 * @example
 * const opt = new optim.AdaBound(model.namedParameters(), { lr: 1e-3, finalLr: 0.1 });
 */
export class AdaBound extends Optimizer<AdaBoundOptions> {
  constructor(params: ParamsOrGroups<AdaBoundOptions>, options: AdaBoundOptions = {}) {
    super(adabound, params, options);
  }
}

/**
 * {@link AdaBound} with the largest second moment so far in place of `v`.
 * @example
 * const opt = new optim.AMSBound(model.namedParameters(), { lr: 1e-3, finalLr: 0.1 });
 */
export class AMSBound extends Optimizer<AdaBoundOptions> {
  constructor(params: ParamsOrGroups<AdaBoundOptions>, options: AdaBoundOptions = {}) {
    super(amsbound, params, options);
  }
}

export { adabound as adaboundFacts };
