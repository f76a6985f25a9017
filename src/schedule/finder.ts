// The learning-rate range test: a schedule that sweeps the rate, and what the recorded losses say about it.
import { checkNumber, describe, rangeError, typeError } from '../tensor/errors.js';
import { choice, count, number, readOptions } from './fields.js';
import { define, type Schedule } from './schedule.js';

export interface LrFinderOptions {
  /** The first rate (1e-7). */
  startLr?: number;
  /** The last rate (10). */
  endLr?: number;
  /** The number of updates, at least 2 (100). */
  totalSteps?: number;
}

/**
 * Returns the sweep `startLr (endLr / startLr)^(s / (totalSteps - 1))`, which stays at `endLr`.
 *
 * Smith, "Cyclical Learning Rates for Training Neural Networks", 2017; limits as in fastai.
 * @example
 * const finder = schedule.lrFinder();
 * const records: schedule.LrRecord[] = [];
 * for (let s = 0; s < finder.options.totalSteps; s++) {
 *   const { lr } = finder.at(s);
 *   records.push([lr, trainStep(lr)]);
 *   if (schedule.lossDiverged(records.map(([, loss]) => loss))) break;
 * }
 * const lr = schedule.suggestLr(records);
 */
export const lrFinder = (options: LrFinderOptions = {}): Schedule<Required<LrFinderOptions>> =>
  define<LrFinderOptions>(
    'lrFinder',
    options,
    {
      startLr: number({ above: 0 }, 1e-7),
      endLr: number({ above: 0 }, 10),
      totalSteps: number({ min: 2, integer: true }, 100),
    },
    (o, where) => {
      if (o.startLr >= o.endLr)
        throw rangeError(where, `startLr must be less than endLr, got ${o.startLr} and ${o.endLr}`);
      const last = o.totalSteps - 1;
      return (s) => ({ lr: s >= last ? o.endLr : o.startLr * (o.endLr / o.startLr) ** (s / last) });
    },
  );

/** A rate, and the loss that was measured with it. */
export type LrRecord = readonly [lr: number, loss: number];

/**
 * Returns whether the last loss is not finite, or above the best one by more than `factor - 1` times its magnitude:
 * for positive losses, more than `factor` times the best.
 */
export function lossDiverged(losses: readonly number[], factor = 4): boolean {
  checkNumber('schedule.lossDiverged', 'factor', factor, { min: 1 });
  if (losses.length === 0) return false;
  const best = losses.reduce((least, loss) => (loss < least ? loss : least), Infinity); // NaN is skipped
  const last = losses[losses.length - 1]!;
  return !Number.isFinite(last) || last > best + (factor - 1) * Math.abs(best);
}

/** Returns the running means `m = b m + (1 - b) loss`, each divided by `1 - b^k`: noisy losses, fit for a suggestion. */
export function smoothLosses(losses: readonly number[], b = 0.98): number[] {
  checkNumber('schedule.smoothLosses', 'b', b, { min: 0, below: 1 });
  let mean = 0;
  return losses.map((loss, i) => {
    mean = b * mean + (1 - b) * loss;
    return mean / (1 - b ** (i + 1));
  });
}

const METHODS = ['valley', 'steep'] as const;

export interface SuggestLrOptions {
  /** 'valley': two thirds down the longest descent; 'steep': where the loss falls fastest per `log lr`. */
  method?: (typeof METHODS)[number];
  /** Records to leave out at the start (10), where the optimizer is not yet settled. */
  skipStart?: number;
  /** Records to leave out at the end (5), where the loss blows up. */
  skipEnd?: number;
}

/**
 * Returns the rate that a range test suggests, by the rules of fastai. Records whose loss is not finite are left out.
 * Smooth noisy losses first (`smoothLosses`), as fastai does.
 * @example schedule.suggestLr(records, { method: 'steep' })
 * @throws RangeError if too few records remain, or if the loss falls nowhere
 */
export function suggestLr(records: readonly LrRecord[], options: SuggestLrOptions = {}): number {
  const where = 'schedule.suggestLr';
  const fields = { method: choice(METHODS, 'valley'), skipStart: count(10), skipEnd: count(5) };
  const { method, skipStart, skipEnd } = readOptions<SuggestLrOptions>(where, options, fields);
  checkRecords(where, records);
  const kept = records.slice(skipStart, records.length - skipEnd).filter(([, loss]) => Number.isFinite(loss));
  if (kept.length < 2) {
    const problem = `${records.length} records leave ${kept.length} after skipStart ${skipStart} and skipEnd ${skipEnd}`;
    throw rangeError(where, problem, 'record more steps or skip fewer');
  }
  const index = method === 'valley' ? valley(kept.map(([, loss]) => loss)) : steepest(kept);
  if (index === undefined) throw rangeError(where, 'the loss falls nowhere, so no rate can be suggested');
  return kept[index]![0];
}

function checkRecords(where: string, records: readonly LrRecord[]): void {
  if (!Array.isArray(records as unknown))
    throw typeError(where, `records must be an array, got ${describe(records)}`);
  records.forEach((record, i) => {
    if (!Array.isArray(record as unknown) || typeof record[1] !== 'number')
      throw typeError(where, `records[${i}] must be [lr, loss], got ${describe(record)}`);
    checkNumber(where, `the rate of records[${i}]`, record[0], { above: i > 0 ? records[i - 1]![0] : 0 });
  });
}

/** Index two thirds into the first of the longest decreasing subsequences, taken to span as many steps as it has. */
function valley(losses: readonly number[]): number | undefined {
  const lengths: number[] = [];
  losses.forEach((loss, i) => {
    lengths.push(
      1 + losses.slice(0, i).reduce((n, before, j) => (loss < before ? Math.max(n, lengths[j]!) : n), 0),
    );
  });
  const longest = lengths.reduce((a, b) => Math.max(a, b), 0);
  if (longest < 2) return undefined;
  const start = lengths.indexOf(longest) - longest;
  return Math.max(0, start + Math.floor(longest / 3) + Math.floor(longest / 6));
}

/** Index before the steepest fall of the loss against the logarithm of the rate. */
function steepest(records: readonly LrRecord[]): number | undefined {
  const slopes = records
    .slice(1)
    .map(([lr, loss], i) => (loss - records[i]![1]) / Math.log(lr / records[i]![0]));
  const least = slopes.reduce((a, b) => Math.min(a, b), Infinity);
  return least < 0 ? slopes.indexOf(least) : undefined;
}
