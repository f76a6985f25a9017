// Two recordings of a step side by side: equal ones become a graph, unequal ones a sentence about the first difference.
import type { Storage } from '../memory/storage.js';
import type { Tensor } from '../tensor/tensor.js';
import { fromEntry, type Buffer, type Graph } from './graph.js';
import type { Recorder, TracedBuffer } from './recorder.js';

const equal = (a: ArrayLike<number>, b: ArrayLike<number>): boolean => {
  for (let k = 0; k < a.length; k++) if (!Object.is(a[k], b[k])) return false;
  return a.length === b.length;
};

const keyOf = ({ source }: TracedBuffer): unknown => (source?.from === 'held' ? source.key : undefined);

/** Which buffer of one recording is which of another. */
export class Pairs {
  private readonly there: number[] = [];
  private readonly back: number[] = [];

  /** The partner of a buffer of the first recording; -1 for one that has none. */
  of(buffer: number): number {
    return this.there[buffer] ?? -1;
  }

  /** The partner of a buffer of the second one. */
  backFrom(buffer: number): number {
    return this.back[buffer] ?? -1;
  }

  /** Pairs the owners of two launches; false if one of them is another's partner already. */
  join(a: readonly number[], b: readonly number[]): boolean {
    for (let k = 0; k < a.length; k++) {
      const x = a[k]!;
      const y = b[k]!;
      if (x < 0 || y < 0) {
        if (x !== y) return false;
      } else if (this.of(x) < 0 && this.backFrom(y) < 0) {
        this.there[x] = y;
        this.back[y] = x;
      } else if (this.of(x) !== y) return false;
    }
    return true;
  }
}

/** Arrays that no kernel sees. */
const unseen = ({ buffers }: Recorder): TracedBuffer[] => buffers.filter(({ bytes }) => bytes === 0);

function differenceOf(x: TracedBuffer, y: TracedBuffer): string | null {
  if (x.bytes !== y.bytes || x.source?.from !== y.source?.from) return 'the memory was another';
  if (!x.content || keyOf(x) === keyOf(y) || equal(x.content, y.content!)) return null;
  return `${x.content.length} numbers that JavaScript made inside the function were others; pass them as an argument`;
}

/**
 * What differs between two recordings, or null; of `b` only the parts up to `part` have run. `pairs` is filled with the
 * buffers of both, whose numbers differ where an argument lay on the heap already.
 */
export function difference(a: Recorder, b: Recorder, pairs: Pairs, part = Infinity): string | null {
  for (let k = 0; k < Math.min(a.entries.length, b.entries.length); k++) {
    const x = a.entries[k]!;
    const y = b.entries[k]!;
    if (x.kernel !== y.kernel) return `launch ${k} was ${x.kernel}, then ${y.kernel}`;
    if (!equal(x.args, y.args) || !pairs.join(x.owners, y.owners) || x.part !== y.part)
      return `launch ${k}, ${x.kernel}, got other arguments`;
  }
  const count = a.entries.filter((entry) => entry.part <= part).length;
  if (count !== b.entries.length) return `there were ${count} launches, then ${b.entries.length}`;
  for (let x = 0; x < a.buffers.length; x++) {
    const twin = b.buffers[pairs.of(x)];
    const found = twin ? differenceOf(a.buffers[x]!, twin) : null;
    if (found !== null) return found;
  }
  if (part < Infinity) return null;
  const [before, now] = [unseen(a), unseen(b)];
  if (before.length !== now.length) return 'the memory was another';
  return before.map((x, k) => differenceOf(x, now[k]!)).find((found) => found !== null) ?? null;
}

/** The graph of two equal recordings, whose buffers are `pairs`. */
export function graphOf(before: Recorder, now: Recorder, pairs: Pairs): Graph {
  const buffers = now.buffers.map((traced, k): Buffer => {
    const { bytes, kind, source, content } = traced;
    const twin = before.buffers[pairs.backFrom(k)];
    const constant = content !== null && twin !== undefined && keyOf(twin) !== keyOf(traced);
    return {
      bytes,
      int: kind === 'int',
      source: constant ? null : source,
      constant: constant ? content : null,
    };
  });
  const outputs = new Set([...now.kept.values()].map(({ buffer }) => buffer));
  return { instructions: now.entries.map(fromEntry), buffers, outputs };
}

/** Things and what each of them was when it was recorded: lists, as they are looked at before every replay. */
interface Recorded<Thing, Value> {
  readonly of: readonly Thing[];
  readonly was: readonly Value[];
}

const listed = <Thing, Value>(found: ReadonlyMap<Thing, Value>): Recorded<Thing, Value> => ({
  of: [...found.keys()],
  was: [...found.values()],
});

/** The guards of a recording. */
export interface GuardLists {
  readonly variables: Recorded<Tensor, boolean>;
  readonly gradients: Recorded<Tensor, boolean>;
  readonly modes: Recorded<{ training: boolean }, boolean>;
  readonly places: Recorded<Storage, number>;
}

export const guardsOf = ({ variables, gradients, modes, places }: Recorder): GuardLists => ({
  variables: listed(variables),
  gradients: listed(gradients),
  modes: listed(modes),
  places: listed(places),
});

/** Whether all guards hold now. By number: before it is compiled, a loop over values leaves garbage for each. */
export function holds({ variables, gradients, modes, places }: GuardLists): boolean {
  for (let k = 0; k < variables.of.length; k++)
    if (variables.of[k]!.requiresGrad !== variables.was[k]) return false;
  for (let k = 0; k < gradients.of.length; k++)
    if ((gradients.of[k]!.grad !== null) !== gradients.was[k]) return false;
  for (let k = 0; k < modes.of.length; k++) if (modes.of[k]!.training !== modes.was[k]) return false;
  for (let k = 0; k < places.of.length; k++) if (places.of[k]!.offset !== places.was[k]) return false;
  return true;
}
