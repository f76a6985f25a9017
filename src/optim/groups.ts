// What an optimizer was given as `params`: tensors, pairs of names and tensors, or groups of them, checked before any is taken in.
import type { Storage } from '../memory/storage.js';
import { describe, rangeError, showShape, typeError } from '../tensor/errors.js';
import { Tensor } from '../tensor/tensor.js';
import type { GroupSpec, ParamsOrGroups } from './options.js';

const isPair = (item: unknown): item is readonly [string, Tensor] =>
  Array.isArray(item) && item.length === 2 && typeof item[0] === 'string';

/** What was passed as `params`, as groups. */
export function splitGroups<O>(where: string, params: ParamsOrGroups<O>): GroupSpec<O>[] {
  const items = [...checkIterable(where, params)];
  const groups = items.filter((item) => isSpec<O>(item));
  if (groups.length === 0) return [{ params: items as Tensor[] } as unknown as GroupSpec<O>];
  if (groups.length < items.length)
    throw typeError(where, 'params mixes parameters and groups', 'put the parameters into a group');
  return groups;
}

const isSpec = <O>(item: unknown): item is GroupSpec<O> =>
  typeof item === 'object' &&
  item !== null &&
  !Array.isArray(item) &&
  !(item instanceof Tensor) &&
  'params' in item;

function checkIterable(where: string, params: unknown): Iterable<unknown> {
  if (typeof (params as Partial<Iterable<unknown>> | null)?.[Symbol.iterator] === 'function')
    return params as Iterable<unknown>;
  const hint =
    params instanceof Tensor
      ? 'put the tensor into an array'
      : typeof (params as { parameters?: unknown } | null)?.parameters === 'function'
        ? 'pass model.parameters() or model.namedParameters()'
        : undefined;
  throw typeError(
    where,
    `params must be tensors, [name, tensor] pairs or groups, got ${describe(params)}`,
    hint,
  );
}

export interface Seen {
  names: Set<string>;
  storages: Map<Storage, string>;
}

/** The parameters of one group, checked; unnamed ones are called by their position among all. */
export function readParams(
  where: string,
  params: unknown,
  seen: Seen,
): { tensors: Tensor[]; names: string[] } {
  const [tensors, names]: [Tensor[], string[]] = [[], []];
  for (const item of checkIterable(where, params)) {
    const name = isPair(item) ? item[0] : String(seen.names.size);
    const t: unknown = isPair(item) ? item[1] : item;
    if (!(t instanceof Tensor))
      throw typeError(where, `parameter "${name}" must be a Tensor, got ${describe(t)}`);
    if (t.storage.kind === 'int') throw typeError(where, `parameter "${name}" holds integers`);
    if (t.node)
      throw typeError(
        where,
        `parameter "${name}", shape ${showShape(t.shape)}, was computed from other tensors`,
        'optimize those, or its detach()',
      );
    const twin = seen.storages.get(t.storage);
    if (twin !== undefined)
      throw typeError(where, `parameter "${name}" is the same tensor as parameter "${twin}"`);
    if (seen.names.has(name)) throw typeError(where, `two parameters are named "${name}"`);
    seen.names.add(name);
    seen.storages.set(t.storage, name);
    tensors.push(t);
    names.push(name);
  }
  if (tensors.length === 0) throw rangeError(where, 'params holds no tensors');
  return { tensors, names };
}
