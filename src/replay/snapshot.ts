// What a program changes outside its own memory, and how to put it back.
import { heap } from '../memory/heap.js';
import { accesses, OUTSIDE, type Graph } from './graph.js';
import { everyLaunch, joined, type Range } from './traffic.js';

/** The memory that outlives a step and that some of these programs write, in order and without overlap. */
export const writtenOutside = (...graphs: readonly Graph[]): Range[] =>
  joined(
    graphs
      .flatMap(({ instructions }) => instructions.flatMap(everyLaunch))
      .flatMap(accesses)
      .filter(({ owner, writes }) => owner === OUTSIDE && writes),
  );

/** The words of the heap in a range. */
export const wordsAt = ({ from, to }: Range): Uint32Array => heap.u32.subarray(from / 4, to / 4);

/** A copy of some ranges of the heap. */
export class Snapshot {
  private readonly copies: readonly Uint32Array[];

  constructor(readonly ranges: readonly Range[]) {
    this.copies = ranges.map((range) => wordsAt(range).slice());
  }

  /** Writes the values back. */
  restore(): void {
    this.ranges.forEach(({ from }, k) => heap.u32.set(this.copies[k]!, from / 4));
  }

  /** What was at `range`, which must lie in one of the ranges. */
  words({ from, to }: Range): Uint32Array {
    const k = this.ranges.findIndex((range) => range.from <= from && to <= range.to);
    const start = this.ranges[k]!.from;
    return this.copies[k]!.subarray((from - start) / 4, (to - start) / 4);
  }
}
