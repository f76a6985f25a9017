// Saving and loading: one plain object, matched by parameter name. Reading checks everything and returns the function
// that puts it in place, so a state that does not fit changes nothing.
import { checkNumber, checkOptions, describe, shapeError, showShape, typeError } from '../tensor/errors.js';
import type { Flat } from './flat.js';

/** The state of one parameter. */
export interface ParameterState {
  /** Updates that it has had. */
  step: number;
  shape: number[];
  /** State arrays by name, row-major. */
  arrays: Record<string, Float32Array>;
}

/** What an optimizer saves. Plain JSON apart from the typed arrays. */
export interface OptimizerState {
  version: 1;
  optimizer: string;
  /** Calls of `step`: the position in schedules. */
  steps: number;
  /** Options by group; a schedule is recorded by name and options, and not restored. */
  groups: { params: string[]; options: Record<string, unknown> }[];
  /** By parameter name. */
  state: Record<string, ParameterState>;
  /** What the rule remembers beyond arrays, such as the phase of SWATS. */
  extra?: unknown;
}

type Options = Readonly<Record<string, unknown>>;

/** What this file needs of an optimizer. */
export interface Restorable {
  name: string;
  flats: readonly Flat[];
  /** By group. */
  options: readonly Options[];
  arrays: readonly string[];
  steps: number;
  extra: unknown;
  readOptions(group: number, given: Options): Options;
  /** State arrays that a parameter has after `t` updates. */
  needs(options: Options, t: number): readonly string[];
  initial(options: Options): Readonly<Record<string, number>>;
  setOptions(group: number, options: Options): void;
  setSteps(steps: number): void;
  readExtra(where: string, extra: unknown): () => void;
}

const isSchedule = (value: unknown): value is { name?: string; options?: object } =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && 'at' in value;

function plain(value: unknown): unknown {
  if (!isSchedule(value)) return Array.isArray(value) ? [...(value as unknown[])] : value;
  const options = JSON.parse(JSON.stringify(value.options ?? {})) as unknown;
  return { schedule: value.name ?? 'custom', options };
}

/** The state arrays of a parameter: none before its first update. */
function arraysOf(from: Restorable, k: number, flat: Flat, i: number): Record<string, Float32Array> {
  if (flat.steps[i] === 0) return {};
  // Options may have been edited since the last step; an array that is only wanted now has its first values.
  const options = from.options[k]!;
  const initial = from.initial(options);
  for (const name of from.needs(options, flat.steps[i]!)) flat.array(name, initial[name] ?? 0);
  const arrays = from.arrays.map((name) => [name, flat.read(name, i)] as const);
  return Object.fromEntries(arrays.filter(([, values]) => values !== null)) as Record<string, Float32Array>;
}

export function writeState(from: Restorable): OptimizerState {
  const state: Record<string, ParameterState> = {};
  const groups = from.flats.map((flat, k) => {
    flat.names.forEach((name, i) => {
      const shape = [...flat.tensors[i]!.shape];
      state[name] = { step: flat.steps[i]!, shape, arrays: arraysOf(from, k, flat, i) };
    });
    const options = Object.entries(from.options[k]!).map(([name, value]) => [name, plain(value)] as const);
    return { params: [...flat.names], options: Object.fromEntries(options) };
  });
  const extra = from.extra === undefined ? {} : { extra: from.extra };
  return { version: 1, optimizer: from.name, steps: from.steps, groups, state, ...extra };
}

/** Checks `state` against an optimizer; returns what puts it in place. */
export function readState(where: string, into: Restorable, state: OptimizerState): () => void {
  checkOptions(where, state, ['version', 'optimizer', 'steps', 'groups', 'state', 'extra']);
  if (state.version !== 1)
    throw typeError(where, `version ${describe(state.version)} is not known; this is version 1`);
  if (state.optimizer !== into.name)
    throw typeError(where, `the state is one of ${describe(state.optimizer)}, not of "${into.name}"`);
  checkNumber(where, 'steps', state.steps, { min: 0, integer: true });
  checkNames(where, into, state);
  const options = into.flats.map((flat, k) => restoredOptions(into, k, flat, state));
  const writes = into.flats.flatMap((flat, k) =>
    flat.names.map((name, i) => readParameter(where, into, options[k]!, flat, i, state.state[name]!)),
  );
  const putExtra = into.readExtra(where, state.extra);
  return () => {
    options.forEach((o, k) => into.setOptions(k, o));
    for (const write of writes) write();
    into.setSteps(state.steps);
    putExtra();
  };
}

function checkNames(where: string, into: Restorable, { state, groups }: OptimizerState): void {
  if (typeof state !== 'object' || state === null || !Array.isArray(groups))
    throw typeError(where, 'the state has no parameters or no groups');
  const own = into.flats.flatMap((flat) => flat.names);
  const saved = Object.keys(state);
  const list = (names: string[]): string =>
    names
      .slice(0, 8)
      .map((n) => `"${n}"`)
      .join(', ') + (names.length > 8 ? `, and ${names.length - 8} more` : '');
  const missing = own.filter((name) => !Object.hasOwn(state, name));
  const unexpected = saved.filter((name) => !own.includes(name));
  const parts = [
    missing.length > 0 ? `missing ${list(missing)}` : '',
    unexpected.length > 0 ? `unexpected ${list(unexpected)}` : '',
  ].filter(Boolean);
  if (parts.length > 0) throw typeError(where, `the state is of other parameters: ${parts.join('; ')}`);
}

/** The saved options of the group in which all parameters of this group were; else its own. */
function restoredOptions(into: Restorable, k: number, flat: Flat, state: OptimizerState): Options {
  const own = into.options[k]!;
  const saved = state.groups.find(({ params }) => flat.names.every((name) => params.includes(name)));
  if (!saved) return own;
  const options: Record<string, unknown> = { ...own, ...saved.options };
  // Schedules are code: they are set in the program, and the saved number of steps says where they are.
  if (isSchedule(own['lr']) || typeof options['lr'] !== 'number') options['lr'] = own['lr'];
  return into.readOptions(k, options);
}

function readParameter(
  where: string,
  into: Restorable,
  options: Options,
  flat: Flat,
  i: number,
  saved: ParameterState,
): () => void {
  const [name, tensor] = [flat.names[i]!, flat.tensors[i]!];
  checkOptions(`${where}: "${name}"`, saved, ['step', 'shape', 'arrays']);
  const step = checkNumber(where, `step of "${name}"`, saved.step, { min: 0, integer: true });
  if (showShape(saved.shape) !== showShape(tensor.shape))
    throw shapeError(
      where,
      `"${name}" has shape ${showShape(tensor.shape)}, its state ${showShape(saved.shape)}`,
    );
  for (const array of Object.keys(saved.arrays))
    if (!into.arrays.includes(array))
      throw typeError(
        where,
        `the state of "${name}" has an unexpected ${array}`,
        `known: ${into.arrays.join(', ')}`,
      );
  for (const array of step > 0 ? into.needs(options, step) : [])
    if (!Object.hasOwn(saved.arrays, array)) throw typeError(where, `the state of "${name}" lacks ${array}`);
  for (const [array, values] of Object.entries(saved.arrays)) {
    if (!(values instanceof Float32Array || (values as unknown) instanceof Float64Array))
      throw typeError(where, `${array} of "${name}" must be a Float32Array, got ${describe(values)}`);
    if (values.length !== tensor.size)
      throw shapeError(
        where,
        `${array} of "${name}" has ${values.length} values for shape ${showShape(tensor.shape)}`,
      );
  }
  const initial = into.initial(options);
  return () => {
    flat.steps[i] = step;
    for (const array of into.arrays) {
      const values = saved.arrays[array];
      if (values) flat.array(array, initial[array] ?? 0);
      flat.write(array, i, values ?? initial[array] ?? 0);
    }
  };
}
