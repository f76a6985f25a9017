// Stochastic gradient descent, plain or with momentum.
import { rangeError } from '../tensor/errors.js';
import { Optimizer, type Facts } from './optimizer.js';
import { choice, flag, learningRate, number, type BaseOptions, type ParamsOrGroups } from './options.js';

export interface SGDOptions extends BaseOptions {
  /** Fraction of the velocity that is kept (0: no velocity). */
  momentum?: number;
  /** Share of the gradient that does not enter the velocity (0); torch only. */
  dampening?: number;
  /** Looks ahead along the velocity (false); needs momentum and no dampening. */
  nesterov?: boolean;
  /** L2 penalty: `weightDecay θ` is added to the gradient (0). */
  weightDecay?: number;
  /** Ascends (false). */
  maximize?: boolean;
  /** Where the learning rate stands: outside the velocity ('torch'), or inside ('classical'). */
  variant?: 'torch' | 'classical';
}

const facts: Facts<SGDOptions> = {
  name: 'SGD',
  fields: () => ({
    lr: learningRate(1e-3),
    momentum: number({ min: 0 }, 0),
    dampening: number({}, 0),
    nesterov: flag(false),
    weightDecay: number({ min: 0 }, 0),
    maximize: flag(false),
    variant: choice(['torch', 'classical'], 'torch'),
  }),
  check(where, { nesterov, momentum, dampening, variant }) {
    if (nesterov && (momentum === 0 || dampening !== 0))
      throw rangeError(
        where,
        `nesterov needs momentum > 0 and dampening 0, got momentum ${momentum} and dampening ${dampening}`,
      );
    if (variant === 'classical' && dampening !== 0)
      throw rangeError(where, `the classical variant has no dampening, got ${dampening}`);
  },
  states: ['momentumBuffer', 'velocity'],
  update({ lr, momentum: mu, dampening, nesterov, weightDecay, maximize, variant }, t) {
    const shared = [weightDecay, maximize ? -1 : 1];
    if (mu === 0) return { kernel: 'sgdStep', states: [], cells: [lr, ...shared] };
    if (variant === 'classical') {
      const ahead = nesterov ? [-lr, mu] : [0, 1];
      return { kernel: 'momentumStep', states: ['velocity'], cells: [-1, ...shared, mu, -lr, ...ahead] };
    }
    // torch's first buffer is the gradient itself, not dampened.
    const share = t === 1 ? 1 : 1 - dampening;
    const ahead = nesterov ? [1, mu] : [0, 1];
    return {
      kernel: 'momentumStep',
      states: ['momentumBuffer'],
      cells: [lr, ...shared, mu, share, ...ahead],
    };
  },
};

/**
 * Gradient descent with momentum `mu`, gradient `g`, dampening `tau`:
 *
 * - torch: `b = g` first, then `b = mu b + (1 - tau) g`; `θ -= lr b`, with Nesterov `θ -= lr (g + mu b)`;
 * - classical: `v = mu v - lr g; θ += v`, with Nesterov `θ += mu v - lr g` (Polyak 1964; Sutskever et al., ICML 2013).
 *
 * They agree while the learning rate is constant. When it drops, the classical velocity still carries the old rate.
 * optax and tfjs compute the torch form without dampening.
 * @example
 * const opt = new optim.SGD(model.namedParameters(), { lr: 0.1, momentum: 0.9, weightDecay: 5e-4 });
 */
export class SGD extends Optimizer<SGDOptions> {
  constructor(params: ParamsOrGroups<SGDOptions>, options: SGDOptions = {}) {
    super(facts, params, options);
  }
}

export { facts as sgdFacts };
