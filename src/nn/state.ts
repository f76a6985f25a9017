// State dicts: the values of a module's parameters and buffers under their names. Loading checks everything before it
// writes anything, so a dict that does not fit leaves the module as it was.
import { describe, nearest, shapeError, showShape, typeError } from '../tensor/errors.js';
import { sameShape } from '../tensor/shape.js';
import { asTensor, Tensor, wrap, type TensorLike } from '../tensor/tensor.js';

/** Names as PyTorch writes them (`layers.0.weight`), with the values. */
export type StateDict = Record<string, Tensor>;

export interface LoadOptions {
  /** Refuse missing and unexpected names (default true). Shapes must fit in either case. */
  strict?: boolean;
}

/** What a load that is not strict passed over. */
export interface LoadReport {
  missing: string[];
  unexpected: string[];
}

type Named = ReadonlyMap<string, Tensor>;

/** Copies of the values, without gradients. */
export const copyState = (own: Named): StateDict =>
  Object.fromEntries([...own].map(([name, t]) => [name, wrap(t.storage.values().slice(), t.shape)]));

const MOST = 5;
const quoted = (names: readonly string[]): string =>
  names
    .slice(0, MOST)
    .map((n) => `"${n}"`)
    .join(', ') + (names.length > MOST ? ` and ${names.length - MOST} more` : '');

function checkNames(where: string, { missing, unexpected }: LoadReport): void {
  if (missing.length + unexpected.length === 0) return;
  const problems = [
    missing.length > 0 ? `missing ${quoted(missing)}` : '',
    unexpected.length > 0 ? `unexpected ${quoted(unexpected)}` : '',
  ].filter(Boolean);
  const close = unexpected.length > 0 ? nearest(unexpected[0]!, missing) : undefined;
  throw typeError(
    where,
    problems.join('; '),
    close
      ? `is "${unexpected[0]}" meant to be "${close}"?`
      : 'pass { strict: false } to load the names that agree',
  );
}

/**
 * Writes the values of `dict` into the tensors of `own`.
 * @throws TypeError that lists missing and unexpected names; ShapeError that gives both shapes.
 */
export function loadState(
  where: string,
  own: Named,
  dict: Readonly<Record<string, TensorLike>>,
  strict: boolean,
): LoadReport {
  if (typeof dict !== 'object' || dict === null || dict instanceof Tensor || Array.isArray(dict))
    throw typeError(where, `expected an object of tensors by name, got ${describe(dict)}`);
  const report = {
    missing: [...own.keys()].filter((name) => !Object.hasOwn(dict, name)),
    unexpected: Object.keys(dict).filter((name) => !own.has(name)),
  };
  if (strict) checkNames(where, report);
  const pairs: [target: Tensor, source: Tensor][] = [];
  for (const [name, target] of own) {
    if (!Object.hasOwn(dict, name)) continue;
    const source = asTensor(`${where}, "${name}"`, dict[name]!);
    if (!sameShape(source.shape, target.shape))
      throw shapeError(
        where,
        `"${name}" has shape ${showShape(target.shape)} here and ${showShape(source.shape)} in the dict`,
      );
    pairs.push([target, source]);
  }
  // Read all sources first: one of them may be a tensor of this very module.
  const values = pairs.map(([, source]) => source.storage.values().slice());
  pairs.forEach(([target], k) => {
    target.storage.values().set(values[k]!);
    target.storage.touch();
  });
  return report;
}
