// Cutting a call into parts: the cuts that many rows share, and the arithmetic of all. Bounds are multiples of a grain and
// depend on nothing but sizes and the number of parts.
import { isPointer, type Cut, type KernelRow, type Split } from './row.js';

const ELEMENT = 4;
/** Elements of a cache line: parts of dense arrays share none. */
export const LINE = 16;

/** Cuts a kernel whose last number counts elements, all pointers but cells moving with it; `cost` in ns an element. */
export function elements(sig: string, cost: number): Split {
  const at = [...sig].filter((letter) => !isPointer(letter)).length - 1;
  const steps = [...sig].filter(isPointer).map((letter) => ('fr'.includes(letter) ? 0 : 1));
  return { work: [sig.length - 1], cost, cut: (numbers) => ({ numbers, at, grain: LINE, steps }) };
}

/** The whole call is cut along one of its numbers. */
export const along = (numbers: readonly number[], at: number, steps: readonly number[], grain = 1): Cut => ({
  numbers,
  at,
  grain,
  steps,
});

/** Cuts a reduction of a whole run, whose last number is its length, at its leaves; `cost` in ns an element. */
export const leaves = (sig: string, cost: number): Split => ({
  work: [sig.length - 1],
  cost,
  ends: () => true,
  cut: () => 'inside',
});

/** The work of a call in nanoseconds of one thread. */
export function workOf({ work, over, cost }: Split, args: readonly number[]): number {
  let units = cost;
  for (let k = 0; k < work.length; k++) units *= args[work[k]!]!;
  if (over) for (let k = 0; k < over.length; k++) units /= args[over[k]!]!;
  return units;
}

/** Doubles of one part in the mail: its kernel's number, which part of how many it is, and the arguments. */
export const SLOTS = 24;
export const ARGUMENTS = 3;

/**
 * Cuts a call into at most `count` parts, which together do what it does, and writes them one after the other; returns how
 * many there are. 0 or 1: the call stays whole.
 */
export type Cutter = (args: readonly number[], count: number, mail: Float64Array) => number;

/** The places of the numbers among a row's arguments. */
const numbersOf = (sig: string): number[] => [...sig].flatMap((letter, k) => (isPointer(letter) ? [] : [k]));

/** Whether a call of the row needs one more, after its parts. */
export function ending({ sig, split }: KernelRow): (args: readonly number[]) => boolean {
  const ends = split?.ends;
  if (!ends) return () => false;
  const numbers = numbersOf(sig);
  return (args) => ends(numbers.map((k) => args[k]!));
}

export function cutter({ sig, split }: KernelRow): Cutter {
  if (sig.length > SLOTS - ARGUMENTS) throw new Error(`split: ${sig} has too many arguments for the mail`);
  const pointers = [...sig].flatMap((letter, k) => (isPointer(letter) ? [k] : []));
  const numbers = numbersOf(sig);
  return (args, count, mail) => {
    const cut = split?.cut(numbers.map((k) => args[k]!)) ?? null;
    if (cut === null) return 0;
    if (cut === 'inside') {
      for (let k = 0; k < count; k++) write(mail, k, args, k, count);
      return count;
    }
    const divided = numbers[cut.at]!;
    const units = cut.numbers[cut.at]!;
    let parts = 0;
    for (let k = 1, from = 0; k <= count; k++) {
      const to = bound(units, cut.grain, k, count);
      if (to === from) continue;
      const at = write(mail, parts++, args, 0, 1);
      for (let n = 0; n < numbers.length; n++) mail[at + numbers[n]!] = cut.numbers[n]!;
      mail[at + divided] = to - from;
      move(mail, at, pointers, cut.steps, from);
      from = to;
    }
    return parts;
  };
}

/** A cutter of calls whose arguments are always the same: it only copies while the number of parts stays. */
export function remembering(cut: Cutter): Cutter {
  let [asked, parts, known] = [0, 0, new Float64Array(0)];
  return (args, count, mail) => {
    if (count === asked) mail.set(known);
    else {
      parts = cut(args, count, mail);
      known = mail.slice(0, parts * SLOTS);
      asked = count;
    }
    return parts;
  };
}

/** Arguments of a function that runs strips of a program: the first strip, the one behind the last, and whose copy of the
 * buffers in between; then where its code stands, for the helpers: which function of which bytes in the heap. */
export const STRIPS = { from: 0, to: 1, copy: 2 } as const;

/** Cuts strips into as many runs of neighbours as there are copies of the buffers in between, or fewer. */
export const stripsCutter =
  (copies: number): Cutter =>
  (args, count, mail) => {
    const strips = args[STRIPS.to]!;
    const parts = Math.min(count, copies, strips);
    for (let k = 0; k < parts; k++) {
      const at = write(mail, k, args, 0, 1);
      mail[at + STRIPS.from] = bound(strips, 1, k, parts);
      mail[at + STRIPS.to] = bound(strips, 1, k + 1, parts);
      mail[at + STRIPS.copy] = k;
    }
    return parts;
  };

/** Writes a part and returns where its arguments stand. */
function write(
  mail: Float64Array,
  part: number,
  args: readonly number[],
  index: number,
  count: number,
): number {
  const at = part * SLOTS;
  mail[at + 1] = index;
  mail[at + 2] = count;
  for (let k = 0; k < args.length; k++) mail[at + ARGUMENTS + k] = args[k]!;
  return at + ARGUMENTS;
}

/** Where part k ends: the last one at the end, others at multiples of the grain. */
function bound(units: number, grain: number, k: number, count: number): number {
  if (k === count) return units;
  const even = Math.floor((units * k) / count);
  return even - (even % grain);
}

/** Moves pointers on by `from` units; absent ones stay absent. */
function move(
  mail: Float64Array,
  at: number,
  pointers: readonly number[],
  steps: readonly number[],
  from: number,
): void {
  for (let p = 0; p < pointers.length; p++) {
    const place = at + pointers[p]!;
    if (mail[place] !== 0) mail[place] = mail[place]! + ELEMENT * steps[p]! * from;
  }
}
