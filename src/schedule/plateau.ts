// Reduce on plateau: the one schedule with state, since it follows a metric and not the step.
import { checkNumber, checkOptions, describe, typeError } from '../tensor/errors.js';
import { checkOrder, choice, count, number, rate } from './fields.js';
import { define, type Schedule } from './schedule.js';

const MODES = ['min', 'max'] as const;
const THRESHOLDS = ['rel', 'abs'] as const;

export interface PlateauOptions {
  /** The rate before the first reduction. */
  lr: number;
  /** Whether the metric is better when lower or higher ('min'). */
  mode?: (typeof MODES)[number];
  /** The factor of a reduction, in (0, 1) (0.1). */
  factor?: number;
  /** Observations in a row without improvement that are borne; the next one reduces (10). */
  patience?: number;
  /** How much better counts as improvement (1e-4). */
  threshold?: number;
  /** Whether `threshold` is a fraction of the best metric's magnitude, or absolute ('rel'). */
  thresholdMode?: (typeof THRESHOLDS)[number];
  /** Observations after a reduction that are not counted as bad (0). */
  cooldown?: number;
  /** The lowest rate (0). */
  minLr?: number;
  /** Reductions by no more than this are not made (1e-8). */
  eps?: number;
}

/** All that a plateau schedule remembers: plain JSON. */
export interface PlateauState {
  lr: number;
  /** The best metric so far, or null before any. */
  best: number | null;
  /** Observations in a row without improvement. */
  bad: number;
  /** Observations of the cooldown that are left. */
  cooldown: number;
}

/** A schedule that is told the metric, say after each epoch; `at` gives the present rate whatever the step. */
export interface Plateau extends Schedule<Required<PlateauOptions>> {
  /** Takes in one metric and returns whether it reduced the rate. A metric that is not finite is no improvement. */
  observe(metric: number): boolean;
  /** Returns a copy of the state. */
  stateDict(): PlateauState;
  /** Continues from a state, with the options of this schedule. */
  loadStateDict(state: PlateauState): void;
}

/**
 * Returns a schedule that multiplies its rate by `factor` when more than `patience` observations in a row were no
 * better than the best by `threshold`. As in PyTorch, but a relative threshold is measured on `|best|`, so negative
 * metrics work.
 * @example
 * const s = schedule.plateau({ lr: 0.1, patience: 3 });
 * s.observe(validationLoss);
 */
export function plateau(options: PlateauOptions): Plateau {
  const fields = {
    lr: rate(),
    mode: choice(MODES, 'min'),
    factor: number({ above: 0, below: 1 }, 0.1),
    patience: count(10),
    threshold: number({ min: 0 }, 1e-4),
    thresholdMode: choice(THRESHOLDS, 'rel'),
    cooldown: count(0),
    minLr: rate(0),
    eps: number({ min: 0 }, 1e-8),
  };
  let state: PlateauState;
  const base = define<PlateauOptions>('plateau', options, fields, (o, where) => {
    checkOrder(where, o, 'minLr', 'lr');
    state = { lr: o.lr, best: null, bad: 0, cooldown: 0 };
    return () => ({ lr: state.lr });
  });
  return {
    ...base,
    observe: (metric) => {
      if (typeof metric !== 'number')
        throw typeError('schedule.plateau.observe', `metric must be a number, got ${describe(metric)}`);
      const before = state.lr;
      state = observed(state, metric, base.options);
      return state.lr !== before;
    },
    stateDict: () => ({ ...state }),
    loadStateDict: (dict) => {
      state = checkState('schedule.plateau.loadStateDict', dict);
    },
  };
}

function observed(old: PlateauState, metric: number, o: Readonly<Required<PlateauOptions>>): PlateauState {
  const better = improves(metric, old.best, o);
  const cooldown = Math.max(0, old.cooldown - 1);
  const bad = better || old.cooldown > 0 ? 0 : old.bad + 1;
  const best = better ? metric : old.best;
  if (bad <= o.patience) return { lr: old.lr, best, bad, cooldown };
  const reduced = Math.max(old.lr * o.factor, o.minLr);
  return { lr: old.lr - reduced > o.eps ? reduced : old.lr, best, bad: 0, cooldown: o.cooldown };
}

function improves(metric: number, best: number | null, o: Readonly<Required<PlateauOptions>>): boolean {
  if (!Number.isFinite(metric)) return false;
  if (best === null) return true;
  const margin = o.threshold * (o.thresholdMode === 'rel' ? Math.abs(best) : 1);
  return o.mode === 'min' ? metric < best - margin : metric > best + margin;
}

function checkState(where: string, state: PlateauState): PlateauState {
  checkOptions(where, state, ['lr', 'best', 'bad', 'cooldown']);
  return {
    lr: checkNumber(where, 'lr', state.lr, { min: 0 }),
    best: state.best === null ? null : checkNumber(where, 'best', state.best),
    bad: checkNumber(where, 'bad', state.bad, { min: 0, integer: true }),
    cooldown: checkNumber(where, 'cooldown', state.cooldown, { min: 0, integer: true }),
  };
}
