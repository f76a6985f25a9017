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

/** Pairs the owners of two launches; false if one of them is another's partner already. */
function paired(
  a: readonly number[],
  b: readonly number[],
  pairs: Map<number, number>,
  taken: Set<number>,
): boolean {
  return a.every((owner, k) => {
    const other = b[k]!;
    if (owner < 0 || other < 0) return owner === other;
    const known = pairs.get(owner);
    if (known !== undefined) return known === other;
    if (taken.has(other)) return false;
    pairs.set(owner, other);
    taken.add(other);
    return true;
  });
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
 * buffers of `b` by those of `a`, whose numbers differ where an argument lay on the heap already.
 */
export function difference(
  a: Recorder,
  b: Recorder,
  part = Infinity,
  pairs = new Map<number, number>(),
): string | null {
  const taken = new Set(pairs.values());
  for (let k = 0; k < Math.min(a.entries.length, b.entries.length); k++) {
    const [x, y] = [a.entries[k]!, b.entries[k]!];
    if (x.kernel !== y.kernel) return `launch ${k} was ${x.kernel}, then ${y.kernel}`;
    if (!equal(x.args, y.args) || !paired(x.owners, y.owners, pairs, taken) || x.part !== y.part)
      return `launch ${k}, ${x.kernel}, got other arguments`;
  }
  const count = a.entries.filter((entry) => entry.part <= part).length;
  if (count !== b.entries.length) return `there were ${count} launches, then ${b.entries.length}`;
  for (const [x, y] of pairs) {
    const found = differenceOf(a.buffers[x]!, b.buffers[y]!);
    if (found !== null) return found;
  }
  if (part < Infinity) return null;
  const [before, now] = [unseen(a), unseen(b)];
  if (before.length !== now.length) return 'the memory was another';
  return before.map((x, k) => differenceOf(x, now[k]!)).find((found) => found !== null) ?? null;
}

/** The graph of two equal recordings. */
export function graphOf(before: Recorder, now: Recorder): Graph {
  const pairs = new Map<number, number>();
  difference(now, before, Infinity, pairs);
  const buffers = now.buffers.map((traced, k): Buffer => {
    const { bytes, kind, source, content } = traced;
    const twin = before.buffers[pairs.get(k) ?? -1];
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

/** The guards of a recording, as lists: they are looked at before every replay. */
export interface GuardLists {
  readonly variables: readonly (readonly [Tensor, boolean])[];
  readonly gradients: readonly (readonly [Tensor, boolean])[];
  readonly modes: readonly (readonly [{ training: boolean }, boolean])[];
  readonly places: readonly (readonly [Storage, number])[];
}

export const guardsOf = ({ variables, gradients, modes, places }: Recorder): GuardLists => ({
  variables: [...variables],
  gradients: [...gradients],
  modes: [...modes],
  places: [...places],
});

/** Whether all guards hold now. */
export function holds({ variables, gradients, modes, places }: GuardLists): boolean {
  for (const [t, flag] of variables) if (t.requiresGrad !== flag) return false;
  for (const [t, had] of gradients) if ((t.grad !== null) !== had) return false;
  for (const [module, training] of modes) if (module.training !== training) return false;
  for (const [storage, offset] of places) if (storage.offset !== offset) return false;
  return true;
}
