// What optimizers have in common in their options: fields beyond those of schedules, and the types of `params`.
import { checkNumber, describe, typeError } from '../tensor/errors.js';
import type { Tensor } from '../tensor/tensor.js';
import { type Field, rateOrSchedule } from '../schedule/fields.js';
import type { Schedule } from '../schedule/schedule.js';

export { choice, flag, number, type Fields } from '../schedule/fields.js';

/** What every optimizer takes. */
export interface BaseOptions {
  /** Learning rate: a number, or a schedule that is read at each step. */
  lr?: number | Schedule;
}

/** Exponential decay rates of the first and the second moment, each in `[0, 1)`. */
export type Betas = readonly [number, number];

/** Tensors, or pairs of name and tensor; state is saved and found by name. */
export type Params = Iterable<Tensor | readonly [name: string, parameter: Tensor]>;

/** Parameters with options of their own; what is left out comes from the optimizer's options. */
export type GroupSpec<O> = { params: Params } & { readonly [K in keyof O]?: O[K] };

/** What an optimizer works on: parameters, or groups of them. */
export type ParamsOrGroups<O> = Iterable<Tensor | readonly [name: string, parameter: Tensor] | GroupSpec<O>>;

/** A group as `opt.groups` shows it: every option, editable between steps, and the parameters. */
export type Group<O> = { -readonly [K in keyof O]-?: O[K] } & {
  readonly params: readonly Tensor[];
  readonly names: readonly string[];
};

/** Options as an update sees them: the schedule has been read. */
export type Resolved<O> = Omit<Required<O>, 'lr'> & { readonly lr: number };

/** A learning rate or a schedule, `fallback` by default. */
export const learningRate =
  (fallback: number): Field<number | Schedule> =>
  (where, name, value) =>
    value === undefined ? fallback : rateOrSchedule(where, name, value);

/** Two decay rates. */
export const betas =
  (b1: number, b2: number): Field<Betas> =>
  (where, name, value) => {
    if (value === undefined) return Object.freeze([b1, b2] as const);
    if (!Array.isArray(value) || value.length !== 2)
      throw typeError(where, `${name} must be two numbers, got ${describe(value)}`);
    const check = (k: number): number => checkNumber(where, `${name}[${k}]`, value[k], { min: 0, below: 1 });
    return Object.freeze([check(0), check(1)] as const);
  };
