// The plain schedules: from a rate downwards (or anywhere) by one closed formula. `s` is the step.
import { halfCosine, mix } from './curve.js';
import { checkOrder, choice, milestones, number, period, rate, span } from './fields.js';
import { define, type Schedule } from './schedule.js';

/** Any factor > 0; above 1 the rate grows. */
const growth = (fallback?: number) => number({ above: 0 }, fallback);

export interface ConstantOptions {
  lr: number;
  /** The factor for the first `totalIters` steps (1). */
  factor?: number;
  /** How many steps `factor` holds (0). */
  totalIters?: number;
}

/**
 * Returns `lr` for ever, or `lr factor` for the first `totalIters` steps.
 * @example schedule.constant({ lr: 1e-3 })
 */
export const constant = (options: ConstantOptions): Schedule<Required<ConstantOptions>> =>
  define<ConstantOptions>(
    'constant',
    options,
    { lr: rate(), factor: rate(1), totalIters: span(0) },
    (o) => (s) => ({ lr: s < o.totalIters ? o.lr * o.factor : o.lr }),
  );

export interface StepOptions {
  lr: number;
  /** Steps between two drops, a whole number. */
  stepSize: number;
  /** The factor of a drop (0.1). */
  gamma?: number;
}

/**
 * Returns `lr gamma^floor(s / stepSize)`.
 * @example schedule.step({ lr: 0.1, stepSize: 30 })
 */
export const step = (options: StepOptions): Schedule<Required<StepOptions>> =>
  define<StepOptions>(
    'step',
    options,
    { lr: rate(), stepSize: number({ min: 1, integer: true }), gamma: growth(0.1) },
    (o) => (s) => ({ lr: o.lr * o.gamma ** Math.floor(s / o.stepSize) }),
  );

export interface MultiStepOptions {
  lr: number;
  /** The steps of the drops, increasing; the drop already holds at the milestone. */
  milestones: readonly number[];
  /** The factor of a drop (0.1). */
  gamma?: number;
}

/**
 * Returns `lr gamma^(number of milestones <= s)`.
 * @example schedule.multiStep({ lr: 0.1, milestones: [150, 225] })
 */
export const multiStep = (options: MultiStepOptions): Schedule<Required<MultiStepOptions>> =>
  define<MultiStepOptions>(
    'multiStep',
    options,
    { lr: rate(), milestones, gamma: growth(0.1) },
    (o) => (s) => ({
      lr: o.lr * o.gamma ** o.milestones.filter((m) => m <= s).length,
    }),
  );

export interface ExponentialOptions {
  lr: number;
  /** The factor of one step. */
  gamma: number;
}

/**
 * Returns `lr gamma^s`.
 * @example schedule.exponential({ lr: 0.1, gamma: 0.999 })
 */
export const exponential = (options: ExponentialOptions): Schedule<Required<ExponentialOptions>> =>
  define<ExponentialOptions>('exponential', options, { lr: rate(), gamma: growth() }, (o) => (s) => ({
    lr: o.lr * o.gamma ** s,
  }));

export interface PolynomialOptions {
  lr: number;
  /** Steps until `etaMin`, which stays from then on. */
  totalIters: number;
  /** The exponent (1: a straight line). */
  power?: number;
  /** The last rate (0). */
  etaMin?: number;
}

/**
 * Returns `min + (lr - min) (1 - s / totalIters)^power`.
 * @example schedule.polynomial({ lr: 0.01, totalIters: 10_000, power: 0.9 })
 */
export const polynomial = (options: PolynomialOptions): Schedule<Required<PolynomialOptions>> =>
  define<PolynomialOptions>(
    'polynomial',
    options,
    { lr: rate(), totalIters: period(), power: number({ above: 0 }, 1), etaMin: rate(0) },
    (o, where) => {
      checkOrder(where, o, 'etaMin', 'lr');
      return (s) => ({ lr: mix(o.etaMin, o.lr, Math.max(0, 1 - s / o.totalIters) ** o.power) });
    },
  );

export interface LinearOptions {
  lr: number;
  /** Steps until `lr endFactor`, which stays from then on. */
  totalIters: number;
  /** The first rate is `lr startFactor` (1/3). */
  startFactor?: number;
  /** The last rate is `lr endFactor` (1). */
  endFactor?: number;
}

/**
 * Returns `lr (startFactor + (endFactor - startFactor) s / totalIters)`.
 * @example schedule.linear({ lr: 5e-5, totalIters: 1000, startFactor: 1, endFactor: 0 })
 */
export const linear = (options: LinearOptions): Schedule<Required<LinearOptions>> =>
  define<LinearOptions>(
    'linear',
    options,
    { lr: rate(), totalIters: period(), startFactor: rate(1 / 3), endFactor: rate(1) },
    (o) => (s) => ({ lr: o.lr * mix(o.startFactor, o.endFactor, Math.min(1, s / o.totalIters)) }),
  );

const AFTER = ['rise', 'hold'] as const;

export interface CosineOptions {
  lr: number;
  /** Steps from `lr` to `etaMin`. */
  TMax: number;
  /** The lowest rate (0). */
  etaMin?: number;
  /** After `TMax`: 'rise' again with period `2 TMax`, as in PyTorch (the default), or 'hold' `etaMin`. */
  after?: (typeof AFTER)[number];
}

/**
 * Returns `min + (lr - min) (1 + cos(pi s / TMax)) / 2`, in closed form: no error adds up over the steps.
 *
 * Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, without restarts.
 * @example schedule.cosine({ lr: 0.1, TMax: 10_000, after: 'hold' })
 */
export const cosine = (options: CosineOptions): Schedule<Required<CosineOptions>> =>
  define<CosineOptions>(
    'cosine',
    options,
    { lr: rate(), TMax: period(), etaMin: rate(0), after: choice(AFTER, 'rise') },
    (o, where) => {
      checkOrder(where, o, 'etaMin', 'lr');
      // the remainder is exact, so the argument of the cosine stays small and full of digits
      const phase = (s: number) => (o.after === 'hold' ? Math.min(s, o.TMax) : s % (2 * o.TMax));
      return (s) => ({ lr: mix(o.lr, o.etaMin, halfCosine(phase(s) / o.TMax)) });
    },
  );
