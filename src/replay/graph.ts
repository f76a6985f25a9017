// What the passes work on: a list of launches over buffers. After every pass it computes the same.
import { isPointer } from '../kernels/row.js';
import { table, type KernelName } from '../kernels/table.js';
import { areDense } from '../tensor/shape.js';
import { NUMBER, OUTSIDE, type Entry, type Source } from './recorder.js';

/** The part that runs when the plan is made, and never again. */
export const ONCE = -1;

/** Bytes of an element: plans compute in single precision. */
export const WIDTH = 4;

export interface Buffer {
  readonly bytes: number;
  readonly int: boolean;
  /** Bytes of each worker's own copy, for a buffer that lives inside strips only. */
  readonly local?: number;
  /** Where its first values come from; null for what kernels compute. */
  readonly source: Source | null;
  /** The values of a constant, which are written once. */
  readonly constant: ArrayLike<number> | null;
}

export interface Launch {
  readonly kernel: KernelName;
  /** Numbers, and for pointers the distance in bytes into the owner. */
  readonly args: readonly number[];
  readonly owners: readonly number[];
  /** Places in the recorded list of the launches that this one stands for. */
  readonly origins: readonly number[];
  /** Whether a pass changed its arithmetic within a stated bound. */
  readonly inexact?: boolean;
}

/**
 * Neighbouring launches that run strip by strip: all of them on the first few rows, then on the next few, so that what one
 * writes is still in the first-level cache when the next one reads it. Buffers that live inside only are as long as a strip.
 */
export interface Strips {
  readonly strips: number;
  readonly body: readonly Strip[];
}

export interface Strip extends Launch {
  /** What is added to each argument from strip to strip. */
  readonly steps: readonly number[];
  /** The arguments of the last strip, which may be shorter; pointers as in `args`. */
  readonly last: readonly number[];
}

export type Instruction = (Launch | Strips) & { readonly part: number };

export interface Graph {
  readonly instructions: readonly Instruction[];
  readonly buffers: readonly Buffer[];
  /** Buffers that are read when the program has run. */
  readonly outputs: ReadonlySet<number>;
}

export const isStrips = (instruction: Launch | Strips): instruction is Strips => 'strips' in instruction;

/** Bytes `from … to` of an owner. */
export interface Span {
  readonly owner: number;
  readonly from: number;
  readonly to: number;
}

/** Memory that a launch touches. */
export interface Access extends Span {
  readonly arg: number;
  readonly reads: boolean;
  readonly writes: boolean;
}

const known = new WeakMap<Launch, readonly Access[]>();

/** Arguments of `copy`: (to, from, sizes[4], strides of to[4], strides of from[4]). */
export const COPY = { TO: 0, FROM: 1, SIZES: 2, STRIDES: [6, 10] } as const;

/** Whether a copy visits the memory behind a pointer from front to back without a gap. */
export function isDense({ args }: Launch, pointer: 0 | 1): boolean {
  const at = COPY.STRIDES[pointer];
  return areDense(args.slice(COPY.SIZES, COPY.SIZES + 4), args.slice(at, at + 4));
}

/** The numbers among the arguments of a launch. */
export function numbersOf({ kernel, args }: Launch): number[] {
  const { sig } = table[kernel];
  const numbers: number[] = [];
  for (let k = 0; k < args.length; k++) if (!isPointer(sig[k]!)) numbers.push(args[k]!);
  return numbers;
}

/** What a launch reads and writes, by the signature and extents of its row. */
export function accesses(launch: Launch): readonly Access[] {
  const found = known.get(launch);
  if (found) return found;
  const { sig, extents } = table[launch.kernel] as { sig: string; extents: (...n: number[]) => number[] };
  const counts = extents(...numbersOf(launch));
  const list: Access[] = [];
  for (let arg = 0, pointer = 0; arg < sig.length; arg++) {
    const letter = sig[arg]!;
    if (!isPointer(letter)) continue;
    const bytes = counts[pointer++]! * WIDTH;
    const owner = launch.owners[arg]!;
    const from = launch.args[arg]!;
    if (owner === OUTSIDE && from === 0) continue;
    // What a dense copy overwrites it does not need.
    const anew =
      'op'.includes(letter) || (launch.kernel === 'copy' && arg === COPY.TO && isDense(launch, COPY.TO));
    list.push({ arg, owner, from, to: from + bytes, reads: !anew, writes: 'oup'.includes(letter) });
  }
  known.set(launch, list);
  return list;
}

/** The launches of an instruction. */
export const launchesOf = (instruction: Launch | Strips): readonly Launch[] =>
  isStrips(instruction) ? instruction.body : [instruction];

export const overlap = (a: Span, b: Span): boolean => a.owner === b.owner && a.from < b.to && b.from < a.to;

/** A launch with other arguments. */
export const changed = <L extends Launch>(launch: L, change: Partial<L>): L => ({ ...launch, ...change });

/** The same launch with pointer `arg` elsewhere. */
export function redirected<L extends Launch>(launch: L, arg: number, owner: number, at: number): L {
  const [args, owners] = [launch.args.slice(), launch.owners.slice()];
  args[arg] = at;
  owners[arg] = owner;
  return { ...launch, args, owners };
}

export const fromEntry = ({ kernel, args, owners, part }: Entry, index: number): Instruction => ({
  kernel,
  args,
  owners,
  origins: [index],
  part,
});

export { NUMBER, OUTSIDE };
