// RMSProp: the gradient over a running root of its mean square.
import { rangeError } from '../tensor/errors.js';
import { Optimizer, type Facts } from './optimizer.js';
import { choice, flag, learningRate, number, type BaseOptions, type ParamsOrGroups } from './options.js';

export interface RMSPropOptions extends BaseOptions {
  /** Decay rate of the mean square (0.99). */
  alpha?: number;
  /** Added to the root (1e-8; classical: 0). */
  eps?: number;
  /** Fraction of the velocity that is kept (0: no velocity). */
  momentum?: number;
  /** Divides by the standard deviation instead of the root mean square (false). */
  centered?: boolean;
  /** L2 penalty: `weightDecay θ` is added to the gradient (0). */
  weightDecay?: number;
  /** Ascends (false). */
  maximize?: boolean;
  /** What the mean square starts from: 0 ('torch'), or the first squared gradient, without eps ('classical'). */
  variant?: 'torch' | 'classical';
}

const facts: Facts<RMSPropOptions> = {
  name: 'RMSProp',
  fields: ({ variant }) => ({
    lr: learningRate(1e-2),
    alpha: number({ min: 0, below: 1 }, 0.99),
    eps: number({ min: 0 }, variant === 'classical' ? 0 : 1e-8),
    momentum: number({ min: 0 }, 0),
    centered: flag(false),
    weightDecay: number({ min: 0 }, 0),
    maximize: flag(false),
    variant: choice(['torch', 'classical'], 'torch'),
  }),
  check(where, { variant, centered }) {
    if (variant === 'classical' && centered)
      throw rangeError(where, 'the classical variant has no centered form');
  },
  states: ['squareAvg', 'variance', 'gradAvg', 'momentumBuffer'],
  update({ lr, alpha, eps, momentum, centered, weightDecay, maximize, variant }, t) {
    // v1 = g0² is an average that forgets all it had.
    const a = variant === 'classical' && t === 1 ? 0 : alpha;
    const weight = centered ? a * (1 - a) : 1 - a;
    return {
      kernel: 'rmspropStep',
      states: [
        centered ? 'variance' : 'squareAvg',
        centered ? 'gradAvg' : null,
        momentum > 0 ? 'momentumBuffer' : null,
      ],
      cells: [lr, weightDecay, maximize ? -1 : 1, a, weight, 1 - a, eps, momentum],
    };
  },
};

/**
 * RMSProp: `v = a v + (1 - a) g²; θ -= lr g / (√v + eps)`; with momentum `b = mu b + g / (√v + eps); θ -= lr b`.
 *
 * - torch: `v` starts at 0, so the first step is `lr / √(1 - a)`, ten times `lr` by default;
 * - classical: `v` starts at the first squared gradient and eps is 0, so the first step is `lr sign(g)`.
 *
 * Tieleman and Hinton, "Lecture 6.5", Coursera 2012. optax and tfjs put eps inside the root and use a = 0.9; tfjs and
 * TensorFlow put `lr` inside the velocity. Centred, the variance itself is averaged, `v = a v + a (1 - a) (g - m)²;
 * m += (1 - a) (g - m)`: equal to torch's `v - m²` in exact arithmetic, but it cannot cancel below zero, as that does in
 * float32 for steady gradients.
 * @example
 * const opt = new optim.RMSProp(model.namedParameters(), { lr: 1e-3, alpha: 0.9 });
 */
export class RMSProp extends Optimizer<RMSPropOptions> {
  constructor(params: ParamsOrGroups<RMSPropOptions>, options: RMSPropOptions = {}) {
    super(facts, params, options);
  }
}

export { facts as rmspropFacts };
