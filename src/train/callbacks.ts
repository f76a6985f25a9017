// Callbacks for `fit`: stopping early with the best weights kept, and a line of progress.
import { checkChoice, checkNumber, checkOptions, describe, typeError } from '../tensor/errors.js';
import type { StateDict } from '../nn/state.js';
import type { Callback, EpochEvent, Run, StepEvent } from './events.js';
import { bar, Progress, type ProgressOptions, showCount, showDuration } from './progress.js';

const MONITORS = ['loss', 'validationLoss', 'validationAccuracy'] as const;
type Monitor = (typeof MONITORS)[number];

export interface EarlyStoppingOptions {
  /** What should get better: a name, or a function of the epoch (`validationLoss`). */
  monitor?: Monitor | ((event: EpochEvent) => number);
  /** A change smaller than this is none (0). */
  minDelta?: number;
  /** Epochs without getting better that are borne (0: the first one ends the training). */
  patience?: number;
  /** Which way is better; by default `max` for accuracy and `min` for everything else. */
  mode?: 'min' | 'max';
  /** Worse than this is never an improvement. */
  baseline?: number;
  /** Epochs before this one are not looked at (1). */
  startFromEpoch?: number;
  /** Whether the parameters and buffers of the best epoch are put back at the end, whatever the reason (true). */
  restoreBest?: boolean;
}

/** Module methods that keeping the best weights needs. */
interface Restorable {
  stateDict(): StateDict;
  loadStateDict(dict: StateDict): unknown;
}

const canRestore = (model: unknown): model is Restorable =>
  typeof (model as Partial<Restorable>).stateDict === 'function';

/**
 * Ends the training when a number has not become better for `patience` epochs, and puts the best weights back.
 * @example
 * const stopping = new train.EarlyStopping({ monitor: 'validationAccuracy', patience: 3 });
 * await train.fit(model, loader, { optimizer, epochs: 50, validation, callbacks: [stopping] });
 * stopping.bestEpoch;
 */
export class EarlyStopping implements Callback {
  /** The best value so far, and its epoch; NaN and 0 before the first. */
  best = NaN;
  bestEpoch = 0;
  private waited = 0;
  private weights: StateDict | null = null;
  private readonly monitor: Monitor | ((event: EpochEvent) => number);
  private readonly minDelta: number;
  private readonly patience: number;
  private readonly sign: 1 | -1;
  private readonly baseline: number | null;
  private readonly startFrom: number;
  private readonly restoreBest: boolean;

  constructor(options: EarlyStoppingOptions = {}) {
    const where = 'EarlyStopping';
    checkOptions(where, options, [
      'monitor',
      'minDelta',
      'patience',
      'mode',
      'baseline',
      'startFromEpoch',
      'restoreBest',
    ]);
    const { monitor = 'validationLoss', restoreBest = true, baseline } = options;
    this.monitor = typeof monitor === 'function' ? monitor : checkChoice(where, 'monitor', monitor, MONITORS);
    this.minDelta = checkNumber(where, 'minDelta', options.minDelta ?? 0, { min: 0 });
    this.patience = checkNumber(where, 'patience', options.patience ?? 0, { min: 0, integer: true });
    const mode = options.mode ?? (monitor === 'validationAccuracy' ? 'max' : 'min');
    this.sign = checkChoice(where, 'mode', mode, ['min', 'max']) === 'max' ? 1 : -1;
    this.baseline = baseline === undefined ? null : checkNumber(where, 'baseline', baseline);
    this.startFrom = checkNumber(where, 'startFromEpoch', options.startFromEpoch ?? 1, {
      min: 1,
      integer: true,
    });
    if (typeof restoreBest !== 'boolean')
      throw typeError(where, `restoreBest must be a boolean, got ${describe(restoreBest)}`);
    this.restoreBest = restoreBest;
  }

  onStart({ model }: Run): void {
    if (this.restoreBest && !canRestore(model))
      throw typeError(
        'EarlyStopping',
        'the model is a plain function',
        'use an nn.Module or restoreBest: false',
      );
    this.best = NaN;
    this.bestEpoch = 0;
    this.waited = 0;
    this.weights = null;
  }

  onEpoch(event: EpochEvent, run: Run): void {
    if (event.epoch < this.startFrom) return;
    const value = this.read(event);
    if (this.isBetter(value)) {
      this.best = value;
      this.bestEpoch = event.epoch;
      this.waited = 0;
      if (this.restoreBest && canRestore(run.model)) this.weights = run.model.stateDict();
    } else if (++this.waited > this.patience)
      run.stop(
        `no better for ${this.waited} ${this.waited === 1 ? 'epoch' : 'epochs'}` +
          (this.bestEpoch > 0 ? `: the best was ${this.best} in epoch ${this.bestEpoch}` : ''),
      );
  }

  onEnd({ model }: Run): void {
    if (this.weights && canRestore(model)) model.loadStateDict(this.weights);
  }

  private read(event: EpochEvent): number {
    const { monitor } = this;
    if (typeof monitor === 'function') return monitor(event);
    if (monitor === 'loss') return event.loss;
    if (!event.validation)
      throw typeError('EarlyStopping', `${monitor} needs validation data`, 'pass validation to fit');
    return monitor === 'validationLoss' ? event.validation.loss : event.validation.accuracy;
  }

  private isBetter(value: number): boolean {
    if (Number.isNaN(value)) return false;
    if (this.baseline !== null && this.sign * (value - this.baseline) <= 0) return false;
    return Number.isNaN(this.best) || this.sign * (value - this.best) > this.minDelta;
  }
}

export interface ShowProgressOptions extends ProgressOptions {
  /** What the line starts with. */
  label?: string;
  /** Updates in the whole training, for the bar and the time left. */
  totalSteps?: number;
  /** A line to write on, instead of one made from the other options. */
  progress?: Progress;
  /** More text for the line, behind the loss. */
  extra?: () => string;
}

/** Weight of the past in the loss that the line shows: a mean over about 20 steps. */
const LOSS_MEMORY = 0.95;

/** A callback that shows a live line: bar, steps, loss, samples a second, time left. */
export function showProgress(options: ShowProgressOptions = {}): Callback {
  const { label = '', totalSteps, progress: given, extra, ...rest } = options;
  if (totalSteps !== undefined) checkNumber('showProgress', 'totalSteps', totalSteps, { above: 0 });
  const progress = given ?? new Progress(rest);
  let [began, loss, weight] = [0, 0, 0];
  const line = (event: StepEvent): string => {
    const elapsed = (performance.now() - began) / 1000;
    const parts = [`loss ${(loss / weight).toFixed(4)}`];
    if (extra) parts.push(extra());
    parts.push(`${showCount(event.samples / event.seconds)} samples/s`);
    if (totalSteps === undefined)
      return [label, `step ${showCount(event.step)}`, ...parts].filter(Boolean).join('  ');
    const left = (elapsed / event.step) * Math.max(0, totalSteps - event.step);
    const done = `${bar(event.step / totalSteps, 16)} ${showCount(event.step)}/${showCount(totalSteps)}`;
    return [label, done, ...parts, `ETA ${showDuration(left)}`].filter(Boolean).join('  ');
  };
  return {
    onStart: () => {
      began = performance.now();
      [loss, weight] = [0, 0];
    },
    onStep: (event) => {
      if (Number.isFinite(event.loss)) {
        loss = LOSS_MEMORY * loss + (1 - LOSS_MEMORY) * event.loss;
        weight = LOSS_MEMORY * weight + (1 - LOSS_MEMORY);
      }
      progress.update(() => line(event));
    },
    onEnd: () => progress.clear(),
  };
}
