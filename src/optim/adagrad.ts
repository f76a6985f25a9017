// Adagrad: each coordinate's step shrinks with the sum of its squared gradients.
import { Optimizer, type Facts } from './optimizer.js';
import { choice, flag, learningRate, number, type BaseOptions, type ParamsOrGroups } from './options.js';

export interface AdagradOptions extends BaseOptions {
  /** The rate of step `t` is `lr / (1 + (t - 1) lrDecay)` (0). */
  lrDecay?: number;
  /** Added to the root (1e-10; classical: 0). */
  eps?: number;
  /** What the sums start from (0). */
  initialAccumulatorValue?: number;
  /** L2 penalty: `weightDecay θ` is added to the gradient (0). */
  weightDecay?: number;
  /** Ascends (false). */
  maximize?: boolean;
  /** 'classical' has no eps: where the sum is 0, nothing moves. */
  variant?: 'torch' | 'classical';
}

const facts: Facts<AdagradOptions> = {
  name: 'Adagrad',
  fields: ({ variant }) => ({
    lr: learningRate(1e-2),
    lrDecay: number({ min: 0 }, 0),
    eps: number({ min: 0 }, variant === 'classical' ? 0 : 1e-10),
    initialAccumulatorValue: number({ min: 0 }, 0),
    weightDecay: number({ min: 0 }, 0),
    maximize: flag(false),
    variant: choice(['torch', 'classical'], 'torch'),
  }),
  states: ['sum'],
  initial: ({ initialAccumulatorValue }) => ({ sum: initialAccumulatorValue }),
  update: ({ lr, lrDecay, weightDecay, maximize, eps }, t) => ({
    kernel: 'adagradStep',
    states: ['sum'],
    cells: [lr / (1 + (t - 1) * lrDecay), weightDecay, maximize ? -1 : 1, eps],
  }),
};

/**
 * Adagrad: `s += g²; θ -= lr g / (√s + eps)`. The sum includes the present gradient.
 *
 * Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", JMLR 2011.
 * As torch; optax, Keras and tfjs start the sum at 0.1, and optax and tfjs put an eps of 1e-7 inside the root.
 * @example
 * const opt = new optim.Adagrad(model.namedParameters(), { lr: 0.1 });
 */
export class Adagrad extends Optimizer<AdagradOptions> {
  constructor(params: ParamsOrGroups<AdagradOptions>, options: AdagradOptions = {}) {
    super(facts, params, options);
  }
}

export { facts as adagradFacts };
