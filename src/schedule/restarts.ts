// Warm restarts (SGDR): cosine cycles that begin again at the full rate, exactly at the restart.
import { rangeError } from '../tensor/errors.js';
import { halfCosine, mix } from './curve.js';
import { checkOrder, number, period, rate } from './fields.js';
import { define, type Schedule } from './schedule.js';

export interface WarmRestartsOptions {
  /** The rate at the start of every cycle. */
  lr: number;
  /** The length of the first cycle, in the unit of `step`: updates, or epochs if steps are fractions of epochs. */
  T0: number;
  /** Each cycle is this many times as long as the one before, >= 1 (1). Whole `T0` and `TMult` restart exactly. */
  TMult?: number;
  /** The rate that a cycle ends towards (0); whole steps stop short of it, since the restart takes its place. */
  etaMin?: number;
}

/** The least growth that keeps the sum of cycle starts short: 3e4 terms for steps up to 2^53. */
const SLOWEST = 1.001;

/** Where a step lies among the cycles. */
export interface RestartPosition {
  /** Cycles completed. */
  cycle: number;
  /** Time since the last restart, in `[0, Ti)`. */
  Tcur: number;
  /** The length of this cycle. */
  Ti: number;
}

/**
 * Returns the cycle that `step` falls into. Cycle starts are summed one by one: a logarithm would put some restarts
 * one cycle early, where the rate is the lowest instead of the highest.
 */
export function restartPosition(step: number, T0: number, TMult: number): RestartPosition {
  if (TMult === 1) {
    const Tcur = step % T0;
    return { cycle: Math.round((step - Tcur) / T0), Tcur, Ti: T0 };
  }
  let [cycle, start, Ti] = [0, 0, T0];
  for (; step >= start + Ti; Ti *= TMult) {
    start += Ti;
    cycle++;
  }
  return { cycle, Tcur: step - start, Ti };
}

/**
 * Returns the schedule `lr = min + (max - min) (1 + cos(pi Tcur / Ti)) / 2`; at a restart `Tcur = 0`, `Ti *= TMult`.
 *
 * Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017.
 * @example
 * const s = schedule.warmRestarts({ lr: 0.05, T0: 10, TMult: 2 }); // restarts at epochs 10, 30, 70, ...
 * s.at(epoch + batch / batches);
 */
export function warmRestarts(options: WarmRestartsOptions): Schedule<Required<WarmRestartsOptions>> {
  const fields = { lr: rate(), T0: period(), TMult: number({ min: 1 }, 1), etaMin: rate(0) };
  return define<WarmRestartsOptions>('warmRestarts', options, fields, (o, where) => {
    checkOrder(where, o, 'etaMin', 'lr');
    if (o.TMult > 1 && o.TMult < SLOWEST)
      throw rangeError(where, `TMult must be 1 or at least ${SLOWEST}, got ${o.TMult}`);
    return (step) => {
      const { Tcur, Ti } = restartPosition(step, o.T0, o.TMult);
      return { lr: mix(o.lr, o.etaMin, halfCosine(Tcur / Ti)) };
    };
  });
}
