// Schedules that begin with a ramp. A ramp from 0 makes the first update a no-op, as usual; `noam` counts from 1.
import { rangeError } from '../tensor/errors.js';
import { halfCosine, mix } from './curve.js';
import { checkOrder, choice, number, period, rate, rateOrSchedule, span } from './fields.js';
import { define, type Schedule } from './schedule.js';

export interface WarmupOptions {
  /** The rate after the ramp; a schedule starts at its own step 0 when the ramp ends. */
  lr: number | Schedule;
  /** The length of the ramp. */
  warmupSteps: number;
  /** The first rate (0). */
  startLr?: number;
}

/**
 * Returns a straight line from `startLr` to `lr` in `warmupSteps`, then `lr`, or what the schedule `lr` says.
 * Momentum of that schedule is held at its first value during the ramp.
 *
 * Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017.
 * @example schedule.warmup({ warmupSteps: 500, lr: schedule.multiStep({ lr: 0.1, milestones: [30_000] }) })
 */
export const warmup = (options: WarmupOptions): Schedule<Required<WarmupOptions>> =>
  define<WarmupOptions>(
    'warmup',
    options,
    { lr: rateOrSchedule, warmupSteps: span(), startLr: rate(0) },
    ({ lr, warmupSteps, startLr }) => {
      const target = typeof lr === 'number' ? () => ({ lr }) : (s: number) => lr.at(s);
      return (s) => {
        if (s >= warmupSteps) return target(s - warmupSteps);
        const goal = target(0);
        return { ...goal, lr: mix(startLr, goal.lr, s / warmupSteps) };
      };
    },
  );

export interface WarmupCosineOptions {
  /** The rate at the end of the ramp. */
  lr: number;
  /** The length of the ramp. */
  warmupSteps: number;
  /** Steps until `etaMin`, the ramp included; more than `warmupSteps`. */
  totalSteps: number;
  /** The first rate (0). */
  startLr?: number;
  /** The last rate, which stays (0). */
  etaMin?: number;
}

/**
 * Returns a straight line from `startLr` to `lr` at `warmupSteps`, half a cosine to `etaMin` at `totalSteps`, then
 * `etaMin`.
 * @example schedule.warmupCosine({ lr: 6e-4, warmupSteps: 2000, totalSteps: 100_000, etaMin: 6e-5 })
 */
export const warmupCosine = (options: WarmupCosineOptions): Schedule<Required<WarmupCosineOptions>> =>
  define<WarmupCosineOptions>(
    'warmupCosine',
    options,
    { lr: rate(), warmupSteps: span(), totalSteps: period(), startLr: rate(0), etaMin: rate(0) },
    (o, where) => {
      checkOrder(where, o, 'etaMin', 'lr');
      const { warmupSteps: w, totalSteps: n } = o;
      if (w >= n) throw rangeError(where, `warmupSteps must be less than totalSteps, got ${w} and ${n}`);
      return (s) => {
        if (s < w) return { lr: mix(o.startLr, o.lr, s / w) };
        return { lr: mix(o.lr, o.etaMin, halfCosine(Math.min(1, (s - w) / (n - w)))) };
      };
    },
  );

export interface NoamOptions {
  /** The width of the model. */
  dModel: number;
  /** The step of the peak. */
  warmupSteps: number;
  /** Multiplies everything (1). */
  factor?: number;
}

/**
 * Returns `factor dModel^-1/2 min(k^-1/2, k warmupSteps^-3/2)` with `k = s + 1`.
 *
 * Vaswani et al., "Attention Is All You Need", 2017.
 * @example schedule.noam({ dModel: 512, warmupSteps: 4000 })
 */
export const noam = (options: NoamOptions): Schedule<Required<NoamOptions>> =>
  define<NoamOptions>(
    'noam',
    options,
    { dModel: number({ min: 1, integer: true }), warmupSteps: period(), factor: rate(1) },
    (o) => (s) => ({
      lr: (o.factor / Math.sqrt(o.dModel)) * Math.min((s + 1) ** -0.5, (s + 1) * o.warmupSteps ** -1.5),
    }),
  );

export interface InverseSqrtOptions {
  /** The rate at the end of the ramp. */
  lr: number;
  /** The length of the ramp, more than none: it sets the time scale of the decay. */
  warmupSteps: number;
}

/**
 * Returns `lr s / warmupSteps` up to `warmupSteps`, then `lr sqrt(warmupSteps / s)`: `noam` with its peak given.
 * @example schedule.inverseSqrt({ lr: 5e-4, warmupSteps: 4000 })
 */
export const inverseSqrt = (options: InverseSqrtOptions): Schedule<Required<InverseSqrtOptions>> =>
  define<InverseSqrtOptions>('inverseSqrt', options, { lr: rate(), warmupSteps: period() }, (o) => (s) => ({
    lr: o.lr * (s < o.warmupSteps ? s / o.warmupSteps : Math.sqrt(o.warmupSteps / s)),
  }));

const DECAYS = ['linear', 'cosine', 'sqrt'] as const;

/** What is left after the fraction `p` of the decay. */
const REMAINS: Record<(typeof DECAYS)[number], (p: number) => number> = {
  linear: (p) => 1 - p,
  cosine: (p) => 1 - halfCosine(p),
  sqrt: (p) => 1 - Math.sqrt(p),
};

export interface WsdOptions {
  /** The stable rate. */
  lr: number;
  /** The length of the ramp from 0; 0 for none. */
  warmupSteps: number;
  /** How long `lr` holds. */
  stableSteps: number;
  /** How long the decay takes; 0 drops to `etaMin` at once. */
  decaySteps: number;
  /** The curve of the decay ('linear'). */
  decayType?: (typeof DECAYS)[number];
  /** The last rate, which stays (0). */
  etaMin?: number;
}

/**
 * Returns warm-up, stable, decay: `lr s / warmupSteps`; `lr` for `stableSteps`; then with `p` the elapsed fraction of
 * `decaySteps`, `min + (lr - min) f(p)`, where f is `1 - p`, `(1 + cos(pi p)) / 2` or `1 - sqrt(p)`.
 *
 * Hu et al., "MiniCPM", 2024; the sqrt decay is from Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond
 * Fixed Training Durations", 2024.
 * @example schedule.wsd({ lr: 1e-3, warmupSteps: 500, stableSteps: 8000, decaySteps: 1500 })
 */
export const wsd = (options: WsdOptions): Schedule<Required<WsdOptions>> =>
  define<WsdOptions>(
    'wsd',
    options,
    {
      lr: rate(),
      warmupSteps: span(),
      stableSteps: span(),
      decaySteps: span(),
      decayType: choice(DECAYS, 'linear'),
      etaMin: rate(0),
    },
    (o, where) => {
      checkOrder(where, o, 'etaMin', 'lr');
      const decayFrom = o.warmupSteps + o.stableSteps;
      return (s) => {
        if (s < o.warmupSteps) return { lr: (o.lr * s) / o.warmupSteps };
        if (s < decayFrom) return { lr: o.lr };
        const remains =
          s < decayFrom + o.decaySteps ? REMAINS[o.decayType]((s - decayFrom) / o.decaySteps) : 0;
        return { lr: mix(o.etaMin, o.lr, remains) };
      };
    },
  );
