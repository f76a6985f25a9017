// Schedules one after another, each on its own clock: since all are pure, none can leave a wrong rate to the next.
import { rangeError } from '../tensor/errors.js';
import { milestones, schedules } from './fields.js';
import { define, type Schedule } from './schedule.js';

export interface JoinOptions {
  /** In order of use. */
  schedules: readonly Schedule[];
  /** Where each schedule but the first begins, increasing; there it is asked for its step 0. */
  milestones: readonly number[];
}

/**
 * Returns the schedule that says `schedules[i].at(s - milestones[i - 1])` from `milestones[i - 1]` on.
 * @example
 * const { join, warmup, linear } = schedule;
 * join({ schedules: [warmup({ lr, warmupSteps: 100 }), linear({ lr, totalIters: 900, startFactor: 1, endFactor: 0 })],
 *        milestones: [100] });
 */
export const join = (options: JoinOptions): Schedule<Required<JoinOptions>> =>
  define<JoinOptions>('join', options, { schedules, milestones }, (o, where) => {
    const [parts, borders] = [o.schedules.length, o.milestones.length];
    if (parts !== borders + 1)
      throw rangeError(where, `${parts} schedules need ${parts - 1} milestones, got ${borders}`);
    return (s) => {
      const index = o.milestones.filter((m) => m <= s).length;
      return o.schedules[index]!.at(s - (o.milestones[index - 1] ?? 0));
    };
  });
