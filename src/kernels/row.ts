// What a kernel row is. A row is the only place where a kernel's facts stand: argument order, the memory behind each
// pointer, the plain formula, the cases it is tested and timed on, and the error it is allowed.
import type { RealArray } from '../memory/heap.js';

/** The memory a reference formula works on; pointers are element indices into `f`, `i` and `u`. */
export interface Cells {
  f: RealArray;
  i: Int32Array;
  u: Uint32Array;
  /** Rounds to the width of `f`: `Math.fround`, or nothing in double precision. */
  readonly round: (x: number) => number;
}

/** One call for the tests and the benchmark: the numbers among the arguments, in order. */
export interface KernelCase {
  args: number[];
  /** Pointers, counted among the pointers, that are passed as 0 (absent). */
  absent?: number[];
  /** Integer inputs are drawn from `[0, index)`. */
  index?: number;
  /** Cells behind an `f` pointer, or the four words behind an `r` pointer. */
  cells?: number[];
}

export interface KernelRow {
  /**
   * One letter an argument: `o` reals written, `u` reals updated, `i` reals read, `p` integers written, `j` integers
   * read, `f` scalars in heap cells (they may change from step to step), `r` four random words, `n` integer, `s` number (a
   * double on every engine).
   */
  readonly sig: string;
  /** Elements behind each pointer, in their order; `args` are the numbers among the arguments. Absent ones count too. */
  readonly extents: (...args: number[]) => number[];
  /**
   * Floating-point operations of a call, where its time goes there and not into moving bytes. Rows without it are fused with
   * their neighbours in strips, as far as their `split` tells a cut.
   */
  readonly flops?: (...args: number[]) => number;
  /** The sizes of a call for people, where they are more than its numbers one by one; `given`: which pointers are there. */
  readonly label?: (args: readonly number[], given: readonly boolean[]) => string;
  /** The definition, in double precision. */
  readonly ref: (m: Cells, ...args: number[]) => void;
  readonly cases: readonly KernelCase[];
  /** Range of random inputs: one for all, or one for each `i` or `u` pointer in their order. */
  readonly domain?: Range | readonly Range[];
  /** 0: the bits of the reference rounded after every operation. Else the largest error in units of the last place. */
  readonly ulp?: number;
  /** Allowed absolute error relative to `max(1, |value|)`, for rows with sums. */
  readonly tolerance?: number;
  /** The output (counted among the pointers) that holds high and low parts of totals summed in double: compared as sums. */
  readonly pairs?: number;
  /** The first output may be the same memory as the first input. */
  readonly inPlace?: boolean;
  /** `[input, output]` pairs of a pointwise kernel. */
  readonly special?: readonly (readonly [number, number])[];
  /** How the WASM engine shares a call among threads, and a strip takes its part; absent where it has no independent parts. */
  readonly split?: Split;
}

/** When a call is worth cutting into parts for several threads, and where. No cut may change a bit of the result. */
export interface Split {
  /** Places among the arguments: their product is the number of units of work. */
  readonly work: readonly number[];
  /** Places among the arguments that divide it. */
  readonly over?: readonly number[];
  /** Nanoseconds that one thread takes for a unit, roughly. */
  readonly cost: number;
  /** Every part does some of the same work over again, so there is one a thread and no more. */
  readonly repeats?: boolean;
  /** Whether the parts of such a call only write down what one more call, after them, puts together (assembly/leaves.ts). */
  readonly ends?: (numbers: readonly number[]) => boolean;
  /** The cut of a call with these numbers, `inside` where the kernel cuts itself (assembly/part.ts), or null for none. */
  readonly cut: (numbers: readonly number[]) => Cut | 'inside' | null;
}

/** A part is the same kernel with fewer rows, images or elements, from later addresses on. */
export interface Cut {
  /** The numbers among the arguments; a product of a batch may be stated as one taller product first. */
  readonly numbers: readonly number[];
  /** The number that is divided, counted among the numbers; parts get multiples of `grain`, the last one the rest too. */
  readonly at: number;
  readonly grain: number;
  /** Elements from one unit to the next behind each pointer, in their order. */
  readonly steps: readonly number[];
}

export type Range = readonly [number, number];

/** A tuple of `N` numbers. */
export type Numbers<N extends number, T extends number[] = []> = T['length'] extends N
  ? T
  : Numbers<N, [...T, number]>;

export const POINTER_LETTERS = 'ouipjfr';
export const isPointer = (letter: string): boolean => POINTER_LETTERS.includes(letter);
