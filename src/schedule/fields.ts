// How options are read: one field an option, so that a default, its check and its message are written once.
import {
  checkChoice,
  checkNumber,
  checkOptions,
  describe,
  type NumberRule,
  rangeError,
  typeError,
} from '../tensor/errors.js';
import type { Schedule } from './schedule.js';

/** Returns the checked value of one option, or its default; throws one sentence that names the option. */
export type Field<T> = (where: string, name: string, value: unknown) => T;

/** A field for every option of `O`; a missing one does not compile. */
export type Fields<O extends object> = { [K in keyof Required<O>]: Field<Required<O>[K]> };

/** Returns all options of `O`, in the order of `fields`. */
export function readOptions<O extends object>(where: string, given: O, fields: Fields<O>): Required<O> {
  const names = Object.keys(fields) as (keyof O & string)[];
  checkOptions(where, given, names);
  return Object.fromEntries(names.map((n) => [n, fields[n](where, n, given[n])])) as Required<O>;
}

const field =
  <T>(check: Field<T>, fallback?: T): Field<T> =>
  (where, name, value) => {
    if (value !== undefined) return check(where, name, value);
    if (fallback !== undefined) return fallback;
    throw typeError(where, `${name} is missing`);
  };

/** A finite number that obeys `rule`. */
export const number = (rule: NumberRule = {}, fallback?: number): Field<number> =>
  field((where, name, value) => checkNumber(where, name, value, rule), fallback);

/** A learning rate: finite and not negative. */
export const rate = (fallback?: number): Field<number> => number({ min: 0 }, fallback);

/** A length in steps, more than none; fractions are allowed. */
export const period = (fallback?: number): Field<number> => number({ above: 0 }, fallback);

/** A length in steps, or none. */
export const span = (fallback?: number): Field<number> => number({ min: 0 }, fallback);

/** A whole number of steps or events, none included. */
export const count = (fallback?: number): Field<number> => number({ min: 0, integer: true }, fallback);

/** One of `known`. */
export const choice = <T extends string>(known: readonly T[], fallback: T): Field<T> =>
  field((where, name, value) => checkChoice(where, name, value, known), fallback);

/** True or false. */
export const flag = (fallback: boolean): Field<boolean> =>
  field((where, name, value) => {
    if (typeof value === 'boolean') return value;
    throw typeError(where, `${name} must be true or false, got ${describe(value)}`);
  }, fallback);

/** Steps > 0 that strictly increase. */
export const milestones: Field<readonly number[]> = field((where, name, value) => {
  const list = checkArray(where, name, value);
  list.forEach((step, i) => {
    checkNumber(where, `${name}[${i}]`, step, { above: 0 });
    if (i > 0 && (step as number) <= (list[i - 1] as number))
      throw rangeError(where, `${name} must increase, got ${String(list[i - 1])} before ${String(step)}`);
  });
  return Object.freeze([...list]) as readonly number[];
});

/** At least one schedule. */
export const schedules: Field<readonly Schedule[]> = field((where, name, value) => {
  const list = checkArray(where, name, value);
  if (list.length === 0) throw rangeError(where, `${name} must hold at least one schedule`);
  list.forEach((item, i) => checkSchedule(where, `${name}[${i}]`, item));
  return Object.freeze([...list]) as readonly Schedule[];
});

/** A learning rate, or a schedule of them. */
export const rateOrSchedule: Field<number | Schedule> = field((where, name, value) =>
  typeof value === 'object' ? checkSchedule(where, name, value) : checkNumber(where, name, value, { min: 0 }),
);

function checkArray(where: string, name: string, value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw typeError(where, `${name} must be an array, got ${describe(value)}`);
}

function checkSchedule(where: string, name: string, value: unknown): Schedule {
  const at = value === null ? undefined : (value as Partial<Schedule>)?.at;
  if (typeof at === 'function') return value as Schedule;
  throw typeError(where, `${name} must be a schedule, got ${describe(value)}`);
}

/** Refuses options of which the first exceeds the second. */
export function checkOrder<O extends object>(
  where: string,
  options: O,
  low: keyof O & string,
  high: keyof O & string,
) {
  if (options[low] <= options[high]) return;
  const values = `${String(options[low])} and ${String(options[high])}`;
  throw rangeError(where, `${low} must not exceed ${high}, got ${values}`);
}
