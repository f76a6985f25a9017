// The one-cycle policy: up to a large rate and down to a tiny one, once, while momentum moves against it.
import { rangeError } from '../tensor/errors.js';
import { halfCosine, mix } from './curve.js';
import { checkOrder, choice, flag, number, rate } from './fields.js';
import { define, type Schedule, type ScheduleValue } from './schedule.js';

const STRATEGIES = ['cos', 'linear'] as const;
const RELATIVE = ['initial', 'max'] as const;

export interface OneCycleOptions {
  /** The peak. */
  maxLr: number;
  /** The number of updates; from `totalSteps - 1` on the last value stays. */
  totalSteps: number;
  /** The fraction of the steps spent rising (0.3); at most 0.5 with `threePhase`. */
  pctStart?: number;
  /** The curve inside a phase ('cos'). */
  annealStrategy?: (typeof STRATEGIES)[number];
  /** The initial rate is `maxLr / divFactor` (25). */
  divFactor?: number;
  /** The last rate is the initial rate (or `maxLr`, see `finalRelativeTo`) divided by this (1e4). */
  finalDivFactor?: number;
  /** What `finalDivFactor` divides: 'initial' as in PyTorch (the default), or 'max' as in fastai. */
  finalRelativeTo?: (typeof RELATIVE)[number];
  /** Whether to fall back to the initial rate first, as long as it rose, and only then to the last (false). */
  threePhase?: boolean;
  /** Whether momentum moves too (true). */
  cycleMomentum?: boolean;
  /** Momentum at the peak (0.85). */
  baseMomentum?: number;
  /** Momentum at both ends (0.95). */
  maxMomentum?: number;
}

/**
 * Returns the one-cycle schedule of `N = totalSteps` updates: `max/div -> max -> last`, or with three phases
 * `max/div -> max -> max/div -> last`. Phases end at `pct N - 1`, (`2 pct N - 2`,) `N - 1`; a phase without any
 * length is skipped, so a `pctStart N <= 1` starts at the peak.
 *
 * Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates", 2017.
 * @example schedule.oneCycle({ maxLr: 0.1, totalSteps: epochs * batches })
 */
export function oneCycle(options: OneCycleOptions): Schedule<Required<OneCycleOptions>> {
  const fields = {
    maxLr: rate(),
    totalSteps: number({ min: 1, integer: true }),
    pctStart: number({ min: 0, max: 1 }, 0.3),
    annealStrategy: choice(STRATEGIES, 'cos'),
    divFactor: number({ above: 0 }, 25),
    finalDivFactor: number({ above: 0 }, 1e4),
    finalRelativeTo: choice(RELATIVE, 'initial'),
    threePhase: flag(false),
    cycleMomentum: flag(true),
    baseMomentum: number({ min: 0 }, 0.85),
    maxMomentum: number({ min: 0 }, 0.95),
  };
  return define<OneCycleOptions>('oneCycle', options, fields, (o, where) => {
    if (o.cycleMomentum) checkOrder(where, o, 'baseMomentum', 'maxMomentum');
    if (o.threePhase && o.pctStart > 0.5)
      throw rangeError(where, `pctStart must be at most 0.5 with threePhase, got ${o.pctStart}`);
    const phases = phasesOf(o);
    return (step) => valueAt(Math.min(step, o.totalSteps - 1), phases, o);
  });
}

interface Phase {
  end: number;
  from: Required<ScheduleValue>;
  to: Required<ScheduleValue>;
}

function phasesOf(o: Required<OneCycleOptions>): Phase[] {
  const [low, lr] = [o.maxLr / o.divFactor, o.maxLr];
  const initial = { lr: low, momentum: o.maxMomentum };
  const peak = { lr, momentum: o.baseMomentum };
  const final = { lr: (o.finalRelativeTo === 'max' ? lr : low) / o.finalDivFactor, momentum: o.maxMomentum };
  const rise = { end: Math.max(0, o.pctStart * o.totalSteps - 1), from: initial, to: peak };
  if (!o.threePhase) return [rise, { end: o.totalSteps - 1, from: peak, to: final }];
  const fall = { end: 2 * rise.end, from: peak, to: initial };
  return [rise, fall, { end: o.totalSteps - 1, from: initial, to: final }];
}

function valueAt(step: number, phases: Phase[], o: Required<OneCycleOptions>): ScheduleValue {
  const index = phases.findIndex((phase) => step <= phase.end);
  const { end, from, to } = phases[index]!;
  const begin = phases[index - 1]?.end ?? 0;
  const linear = end > begin ? (step - begin) / (end - begin) : 1;
  const p = o.annealStrategy === 'cos' ? halfCosine(linear) : linear;
  const lr = mix(from.lr, to.lr, p);
  return o.cycleMomentum ? { lr, momentum: mix(from.momentum, to.momentum, p) } : { lr };
}
