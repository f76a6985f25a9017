// Command-line options: declared in one table, from which parsing, help and messages come. What is wrong gets one sentence
// and the nearest right name.
import { parseArgs } from 'node:util';
import { checkNumber, nearest, type NumberRule, rangeError, typeError } from '../tensor/errors.js';

interface Named {
  help: string;
}
interface Flag extends Named {
  kind: 'flag';
}
interface Text extends Named {
  kind: 'text';
  /** What the value is called in the help. */
  value: string;
  choices?: readonly string[];
}
interface Num extends Named {
  kind: 'number';
  value: string;
  rule?: NumberRule;
}
interface List extends Named {
  kind: 'list';
  value: string;
}
export type OptionSpec = Flag | Text | Num | List;
export type OptionTable = Readonly<Record<string, OptionSpec>>;

type ValueOf<S extends OptionSpec> = S extends Flag
  ? boolean
  : S extends Num
    ? number
    : S extends List
      ? string[]
      : string;

/** Values of the options that were given, by name. */
export type OptionValues<T extends OptionTable> = { [K in keyof T]?: ValueOf<T[K]> };

export interface Parsed<T extends OptionTable> {
  values: OptionValues<T>;
  positionals: string[];
}

const suggestion = (name: string, known: readonly string[], prefix = ''): string => {
  const close = nearest(name, known);
  return close ? `did you mean ${prefix}${close}?` : `known: ${known.map((k) => prefix + k).join(', ')}`;
};

/** `value` if `known` lists it; else an error that names the nearest. */
export function knownName(where: string, what: string, value: string, known: readonly string[]): string {
  if (known.includes(value)) return value;
  throw rangeError(where, `unknown ${what} "${value}"`, suggestion(value, known));
}

function readValue(where: string, name: string, spec: OptionSpec, value: string | undefined): unknown {
  if (spec.kind === 'flag') {
    if (value !== undefined) throw typeError(where, `--${name} takes no value, got "${value}"`);
    return true;
  }
  if (value === undefined || value === '' || value.startsWith('--'))
    throw typeError(where, `--${name} needs a value`, `--${name} ${spec.value}`);
  if (spec.kind === 'number') return checkNumber(where, `--${name}`, Number(value), spec.rule);
  if (spec.kind === 'list')
    return value
      .split(',')
      .map((part) => part.trim())
      .filter(Boolean);
  return spec.choices ? knownName(where, `--${name}`, value, spec.choices) : value;
}

/**
 * Reads arguments by a table of options. `--help` and `-h` are always known and give `help: true`.
 * @param where what messages start with
 * @throws TypeError or RangeError with one sentence
 */
export function parseOptions<T extends OptionTable>(
  where: string,
  args: readonly string[],
  table: T,
): Parsed<T> & { help: boolean } {
  const options = Object.fromEntries(
    Object.entries(table).map(([name, { kind }]) => [
      name,
      { type: kind === 'flag' ? ('boolean' as const) : ('string' as const) },
    ]),
  );
  const { tokens } = parseArgs({
    args: [...args],
    options: { ...options, help: { type: 'boolean', short: 'h' } },
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const values: Record<string, unknown> = {};
  const positionals: string[] = [];
  let help = false;
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    if (token.name === 'help') {
      help = true;
      continue;
    }
    const spec = Object.hasOwn(table, token.name) ? table[token.name]! : undefined;
    if (!spec)
      throw typeError(
        where,
        `unknown option ${token.rawName}`,
        suggestion(token.name, Object.keys(table), '--'),
      );
    values[token.name] = readValue(where, token.name, spec, token.value);
  }
  return { values: values as OptionValues<T>, positionals, help };
}

/** The options as lines of a help text. */
export function helpLines(table: OptionTable): string {
  const rows = Object.entries(table).map(([name, spec]): [string, string] => [
    spec.kind === 'flag' ? `--${name}` : `--${name} ${spec.value}`,
    spec.help,
  ]);
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join('\n');
}

/** Runs a program's main function: an error becomes one line on standard error and exit code 1. */
export async function runMain(main: () => number | Promise<number>): Promise<void> {
  try {
    process.exitCode = await main();
  } catch (error) {
    const { message, stack } = error as Error;
    console.error(process.env['THALWEG_DEBUG'] ? stack : message);
    process.exitCode = 1;
  }
}
