// Two recordings of a step side by side: equal ones become a graph, unequal ones a sentence about the first difference.
import { fromEntry, type Buffer, type Graph } from './graph.js';
import type { Recorder, TracedBuffer } from './recorder.js';

const equal = (a: ArrayLike<number>, b: ArrayLike<number>): boolean => {
  for (let k = 0; k < a.length; k++) if (!Object.is(a[k], b[k])) return false;
  return a.length === b.length;
};

const keyOf = ({ source }: TracedBuffer): unknown => (source?.from === 'held' ? source.key : undefined);

/** What differs between two recordings, or null. */
export function difference(a: Recorder, b: Recorder): string | null {
  for (let k = 0; k < Math.min(a.entries.length, b.entries.length); k++) {
    const [x, y] = [a.entries[k]!, b.entries[k]!];
    if (x.kernel !== y.kernel) return `launch ${k} was ${x.kernel}, then ${y.kernel}`;
    if (!equal(x.args, y.args) || !equal(x.owners, y.owners) || x.part !== y.part)
      return `launch ${k}, ${x.kernel}, got other arguments`;
  }
  if (a.entries.length !== b.entries.length)
    return `there were ${a.entries.length} launches, then ${b.entries.length}`;
  for (let k = 0; k < a.buffers.length; k++) {
    const [x, y] = [a.buffers[k]!, b.buffers[k]];
    if (x.bytes !== y?.bytes || x.source?.from !== y.source?.from) return 'the memory was another';
    if (x.content && keyOf(x) !== keyOf(y) && !equal(x.content, y.content!))
      return `${x.content.length} numbers that JavaScript made inside the function were others; pass them as an argument`;
  }
  return a.buffers.length === b.buffers.length ? null : 'the memory was another';
}

/** The graph of two equal recordings. */
export function graphOf(before: Recorder, now: Recorder): Graph {
  const buffers = now.buffers.map((traced, k): Buffer => {
    const { bytes, kind, source, content } = traced;
    const constant = content !== null && keyOf(before.buffers[k]!) !== keyOf(traced);
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

/** Whether the guards of a recording hold now. */
export function holds({ variables, gradients, modes, places }: Recorder): boolean {
  for (const [t, flag] of variables) if (t.requiresGrad !== flag) return false;
  for (const [t, had] of gradients) if ((t.grad !== null) !== had) return false;
  for (const [module, training] of modes) if (module.training !== training) return false;
  for (const [storage, offset] of places) if (storage.offset !== offset) return false;
  return true;
}
