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
  return { work: [sig.length - 1], cost, cut: (...numbers) => ({ numbers, at, grain: LINE, steps }) };
}

/** The whole call is cut along one of its numbers. */
export const along = (numbers: readonly number[], at: number, steps: readonly number[], grain = 1): Cut => ({
  numbers,
  at,
  grain,
  steps,
});

/** The work of a call in nanoseconds of one thread. */
export function workOf({ work, over, cost }: Split, args: readonly number[]): number {
  let units = cost;
  for (const place of work) units *= args[place]!;
  if (over) for (const place of over) units /= args[place]!;
  return units;
}

/** One part of a call: its arguments and, for a kernel that cuts itself, which of how many it is. */
export interface Part {
  readonly args: readonly number[];
  readonly index: number;
  readonly count: number;
}

/** Cuts calls of a row into at most `count` parts, which together do what the call does; an empty list: it stays whole. */
export type Cutter = (args: readonly number[], count: number) => Part[];

export function cutter({ sig, split }: KernelRow): Cutter {
  const places = [...sig].map((letter, k) => [letter, k] as const);
  const numbersAt = places.filter(([letter]) => !isPointer(letter)).map(([, k]) => k);
  const pointersAt = places.filter(([letter]) => isPointer(letter)).map(([, k]) => k);
  return (args, count) => {
    const cut = split?.cut(...numbersAt.map((k) => args[k]!)) ?? null;
    if (cut === null) return [];
    if (cut === 'inside') return Array.from({ length: count }, (_, index) => ({ args, index, count }));
    const whole = args.slice();
    numbersAt.forEach((k, n) => (whole[k] = cut.numbers[n]!));
    const divided = numbersAt[cut.at]!;
    const units = whole[divided]!;
    const parts: Part[] = [];
    for (let k = 0, from = 0; k < count; k++) {
      const to = bound(units, cut.grain, k + 1, count);
      if (to === from) continue;
      parts.push({ args: shifted(whole, pointersAt, cut.steps, from).with(divided, to - from), index: 0, count: 1 });
      from = to;
    }
    return parts;
  };
}

/** Where part k ends: the last one at the end, others at multiples of the grain. */
function bound(units: number, grain: number, k: number, count: number): number {
  if (k === count) return units;
  const even = Math.floor((units * k) / count);
  return even - (even % grain);
}

/** The arguments with pointers moved on by `from` units; absent ones stay absent. */
function shifted(args: readonly number[], pointers: readonly number[], steps: readonly number[], from: number): number[] {
  const moved = args.slice();
  pointers.forEach((at, p) => {
    if (moved[at] !== 0) moved[at] = moved[at]! + ELEMENT * steps[p]! * from;
  });
  return moved;
}
