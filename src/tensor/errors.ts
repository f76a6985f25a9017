// The one builder of error messages: op, what is wrong, the shapes, the nearest fix. Nothing else words an error.

/** A shape, or a list of sizes, that an operation cannot work with. */
export class ShapeError extends RangeError {
  override name = 'ShapeError';
}

/** A tensor used after the scope that owned its memory has ended. */
export class ScopeError extends Error {
  override name = 'ScopeError';
}

/** The heap cannot hold what was asked for. */
export class OutOfMemoryError extends RangeError {
  override name = 'OutOfMemoryError';
}

/** A loss or gradient that is not a finite number, where the caller asked to be told. */
export class NonFiniteError extends Error {
  override name = 'NonFiniteError';
}

/** `[2, 3]`: a shape as every message writes it. */
export const showShape = (shape: ArrayLike<number>): string => `[${Array.from(shape).join(', ')}]`;

/** What a value is, in a word or two, for "expected X, got Y". */
export function describe(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return `an array of length ${value.length}`;
  if (ArrayBuffer.isView(value))
    return `${/^I/.test(value.constructor.name) ? 'an' : 'a'} ${value.constructor.name}`;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return JSON.stringify(value);
  if (value === undefined) return 'undefined';
  const kind = typeof value === 'object' ? (value.constructor?.name ?? 'object') : typeof value;
  return `${/^[aeio]/i.test(kind) ? 'an' : 'a'} ${kind}`;
}

const sentence = (where: string, problem: string, hint?: string): string =>
  `${where}: ${problem}${hint ? `; ${hint}` : ''}`;

/** A ShapeError `where: problem; hint`. */
export const shapeError = (where: string, problem: string, hint?: string): ShapeError =>
  new ShapeError(sentence(where, problem, hint));

/** A TypeError `where: problem; hint`. */
export const typeError = (where: string, problem: string, hint?: string): TypeError =>
  new TypeError(sentence(where, problem, hint));

/** A RangeError `where: problem; hint`. */
export const rangeError = (where: string, problem: string, hint?: string): RangeError =>
  new RangeError(sentence(where, problem, hint));

/** Levenshtein distance, for "did you mean". */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, change));
    }
    row = next;
  }
  return row[b.length]!;
}

/** The known name nearest to `name`, or undefined when none is near. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const lower = name.toLowerCase();
  const longer = known.find((k) => lower.length > 2 && k.toLowerCase().startsWith(lower));
  if (longer) return longer;
  const ranked = known.map((k) => [distance(lower, k.toLowerCase()), k] as const).sort((a, b) => a[0] - b[0]);
  const best = ranked[0];
  return best && best[0] <= Math.max(2, Math.floor(name.length / 3)) ? best[1] : undefined;
}

/**
 * Refuses option names that `known` does not list, naming the nearest known one.
 * @throws TypeError `where: unknown option "momentun"; did you mean "momentum"?`
 */
export function checkOptions(where: string, options: object, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw typeError(where, `options must be an object, got ${describe(options)}`);
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    const close = nearest(name, known);
    throw typeError(
      where,
      `unknown option "${name}"`,
      close ? `did you mean "${close}"?` : `known: ${known.join(', ')}`,
    );
  }
}

/** Bounds for {@link checkNumber}; `above`/`below` are strict, `min`/`max` inclusive. */
export interface NumberRule {
  min?: number;
  max?: number;
  above?: number;
  below?: number;
  integer?: boolean;
}

/**
 * Returns `value` if it is a finite number that obeys `rule`.
 * @throws RangeError `where: lr must be a finite number >= 0, got NaN`
 */
export function checkNumber(where: string, name: string, value: unknown, rule: NumberRule = {}): number {
  const { min = -Infinity, max = Infinity, above = -Infinity, below = Infinity, integer = false } = rule;
  const ok = typeof value === 'number' && Number.isFinite(value) && value >= min && value <= max;
  if (ok && value > above && value < below && (!integer || Number.isInteger(value))) return value;
  const bounds = [
    min > -Infinity ? ` >= ${min}` : '',
    above > -Infinity ? ` > ${above}` : '',
    max < Infinity ? ` <= ${max}` : '',
    below < Infinity ? ` < ${below}` : '',
  ].filter(Boolean);
  const kind = integer ? 'an integer' : 'a finite number';
  throw rangeError(where, `${name} must be ${kind}${bounds.join(' and')}, got ${describe(value)}`);
}

/**
 * Returns `value` if `known` lists it.
 * @throws RangeError `where: mode must be one of "a", "b", got "c"`
 */
export function checkChoice<T extends string>(
  where: string,
  name: string,
  value: unknown,
  known: readonly T[],
): T {
  if (known.includes(value as T)) return value as T;
  throw rangeError(
    where,
    `${name} must be one of ${known.map((k) => `"${k}"`).join(', ')}, got ${describe(value)}`,
  );
}
