// Adam and its closest kin: one kernel, whose scalars say where the bias corrections and the decay stand.
import { Optimizer, type Facts, type Update } from './optimizer.js';
import {
  betas,
  choice,
  flag,
  learningRate,
  number,
  type BaseOptions,
  type Betas,
  type Fields,
  type ParamsOrGroups,
  type Resolved,
} from './options.js';

interface MomentOptions extends BaseOptions {
  /** Decay rates of the two moments ([0.9, 0.999]). */
  betas?: Betas;
  /** Added to the root, after the bias correction (1e-8). */
  eps?: number;
  /** L2 penalty: `weightDecay θ` is added to the gradient (0). AdamW: `θ` is multiplied by `1 - lr weightDecay` (0.01). */
  weightDecay?: number;
  /** Ascends (false). */
  maximize?: boolean;
}

export interface AdamOptions extends MomentOptions {
  /** Divides by the largest second moment so far, as `AMSGrad` with variant 'torch' (false). */
  amsgrad?: boolean;
}

export interface AMSGradOptions extends MomentOptions {
  /** Of which quantity the maximum is taken, and what is corrected; see {@link AMSGrad}. */
  variant?: 'torch' | 'paper' | 'corrected';
}

const VARIANTS = ['torch', 'paper', 'corrected'] as const;
const STATES = ['expAvg', 'expAvgSq', 'maxExpAvgSq'];

const common = (weightDecay: number, eps = 1e-8): Fields<MomentOptions> => ({
  lr: learningRate(1e-3),
  betas: betas(0.9, 0.999),
  eps: number({ min: 0 }, eps),
  weightDecay: number({ min: 0 }, weightDecay),
  maximize: flag(false),
});

/** The launch of `adamStep`; `max` is the variant of AMSGrad, or null for none. */
function adamUpdate(
  { lr, betas: [b1, b2], eps, weightDecay, maximize }: Resolved<MomentOptions>,
  t: number,
  max: (typeof VARIANTS)[number] | null,
  decoupled = false,
): Update {
  const bc1 = max === 'paper' ? 1 : 1 - b1 ** t;
  const bc2 = max === 'paper' ? 1 : 1 - b2 ** t;
  const [inner, outer] = max === 'corrected' ? [1 / bc2, 1] : [1, 1 / Math.sqrt(bc2)];
  const [l2, decay] = decoupled ? [0, 1 - lr * weightDecay] : [weightDecay, 1];
  return {
    kernel: 'adamStep',
    states: ['expAvg', 'expAvgSq', max ? 'maxExpAvgSq' : null],
    cells: [lr / bc1, l2, maximize ? -1 : 1, 1 - b1, b2, 1 - b2, eps, decay, inner, outer],
  };
}

const adam: Facts<AdamOptions> = {
  name: 'Adam',
  fields: () => ({ ...common(0), amsgrad: flag(false) }),
  states: STATES,
  update: (o, t) => adamUpdate(o, t, o.amsgrad ? 'torch' : null),
};

/**
 * Adam: `m += (1 - b1)(g - m); v = b2 v + (1 - b2) g²; θ -= lr (m / bc1) / (√(v / bc2) + eps)`, `bc = 1 - b^t`.
 *
 * Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015. As torch and optax; Keras and tfjs use eps 1e-7.
 * The bias corrections are computed in double. Sources that write `lr √bc2 / bc1 · m / (√v + eps)` have another eps.
 * @example
 * const opt = new optim.Adam(model.namedParameters(), { lr: 1e-3 });
 */
export class Adam extends Optimizer<AdamOptions> {
  constructor(params: ParamsOrGroups<AdamOptions>, options: AdamOptions = {}) {
    super(adam, params, options);
  }
}

const adamw: Facts<AdamOptions> = {
  name: 'AdamW',
  fields: () => ({ ...common(1e-2), amsgrad: flag(false) }),
  states: STATES,
  update: (o, t) => adamUpdate(o, t, o.amsgrad ? 'torch' : null, true),
};

/**
 * Adam with decoupled weight decay: `θ *= 1 - lr weightDecay`, then Adam's update.
 *
 * Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019. As torch, which couples the decay to `lr`
 * (the paper only to its schedule). optax adds the decay to the update instead, and its default is 1e-4.
 * @example
 * const opt = new optim.AdamW(optim.paramGroups(model, { noDecay: 'auto' }), { lr: 3e-4, weightDecay: 0.1 });
 */
export class AdamW extends Optimizer<AdamOptions> {
  constructor(params: ParamsOrGroups<AdamOptions>, options: AdamOptions = {}) {
    super(adamw, params, options);
  }
}

const amsgrad: Facts<AMSGradOptions> = {
  name: 'AMSGrad',
  fields: ({ variant }) => ({
    ...common(0, variant === 'paper' ? 0 : 1e-8),
    variant: choice(VARIANTS, 'torch'),
  }),
  states: STATES,
  update: (o, t) => adamUpdate(o, t, o.variant),
};

/**
 * Adam that divides by the largest second moment so far, `vmax`. Three algorithms share the name:
 *
 * - torch: `vmax = max(vmax, v); θ -= lr (m / bc1) / (√(vmax / bc2) + eps)`; also Keras;
 * - paper: `vmax = max(vmax, v); θ -= lr m / (√vmax + eps)`, eps 0 by default; its step size `lr / √t` is a schedule
 *   (`{ at: (s) => ({ lr: lr / Math.sqrt(s + 1) }) }`), and its projection is the caller's, after the step;
 * - corrected: `vmax = max(vmax, v / bc2); θ -= lr (m / bc1) / (√vmax + eps)`; optax's default.
 *
 * Where the denominator is 0, nothing moves. Reddi, Kale and Kumar, "On the Convergence of Adam and Beyond", ICLR 2018,
 * algorithm 2.
 * @example
 * const opt = new optim.AMSGrad(model.namedParameters(), { lr: 1e-3, variant: 'corrected' });
 */
export class AMSGrad extends Optimizer<AMSGradOptions> {
  constructor(params: ParamsOrGroups<AMSGradOptions>, options: AMSGradOptions = {}) {
    super(amsgrad, params, options);
  }
}

export { adam as adamFacts, adamw as adamwFacts, amsgrad as amsgradFacts };
