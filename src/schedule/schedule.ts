// What a schedule is, and the one place that builds them: options are read once, and `at` keeps no memory.
import { checkNumber } from '../tensor/errors.js';
import { type Fields, readOptions } from './fields.js';

/** What a schedule sets at one step; without `momentum` the optimizer keeps its own. */
export interface ScheduleValue {
  /** The learning rate. */
  lr: number;
  /** The momentum of SGD, or the first beta of the Adam family. */
  momentum?: number;
}

/**
 * A rule from step to learning rate. `schedule[s.name](s.options)` builds the same schedule again.
 * @example
 * const s = schedule.cosine({ lr: 0.1, TMax: 1000 });
 * s.at(500); // { lr: 0.05 }
 */
export interface Schedule<Options extends object = object> {
  /** The name of the function that made it. */
  readonly name: string;
  /** Every option with its default filled in; frozen, and plain JSON unless it holds other schedules. */
  readonly options: Readonly<Options>;
  /**
   * Returns the value for the update that follows `step` earlier ones: 0 for the first update. Any order, any
   * `step >= 0`, fractions too; the same step always gives the same value.
   * @throws RangeError if `step` is negative or not finite
   */
  at(step: number): ScheduleValue;
}

/** Returns a schedule called `name` whose options obey `fields`; `build` makes the rule from checked options. */
export function define<O extends object>(
  name: string,
  given: O,
  fields: Fields<O>,
  build: (options: Required<O>, where: string) => (step: number) => ScheduleValue,
): Schedule<Required<O>> {
  const where = `schedule.${name}`;
  const options = Object.freeze(readOptions(where, given, fields));
  const rule = build(options, where);
  return { name, options, at: (step) => rule(checkNumber(`${where}.at`, 'step', step, { min: 0 })) };
}
