// The memory of training steps: each step runs in a process of its own, which tells by how much it grew.
import { CASES } from './models.js';
import { Peer, type Growth } from './peer.js';
import { memorySides, type Wanted } from './peers.js';
import type { Spec, Work } from './runner.js';

/** Steps over which the steady size is the largest. */
export const STEPS = 50;

/** What one side needs for one step. */
export interface Footprint extends Growth {
  work: string;
  side: string;
  peer: boolean;
}

const asSpec = ({ kind, args }: Spec): Spec => ({ kind, args });

/** The smallest net, run before anything is measured. */
const FIRST: Spec = { kind: CASES[0]!.kind, args: [CASES[0]!.optimizer, CASES[0]!.parameters] };

/** Measures each work on each side, one after the other, with one thread. `silent` says who gave no figure, and why. */
export async function measureMemory(
  works: readonly Work[],
  wanted: Wanted,
): Promise<{ list: Footprint[]; silent: string[] }> {
  const list: Footprint[] = [];
  const silent = new Set<string>();
  const sides = new Map(memorySides(wanted));
  for (const work of works)
    for (const [name, command] of sides) {
      const peer = await Peer.start(name, command);
      const question = { ...asSpec(work), threads: 1, seconds: 0, steps: STEPS, first: FIRST };
      const { growth, absent = 'no answer' } = await peer.ask(question);
      peer.stop();
      if (growth) list.push({ work: work.name, side: peer.name, peer: !peer.own, ...growth });
      else silent.add(peer.absent ? `${name}: ${absent}` : `${name}, ${work.name}: ${absent}`);
      if (peer.absent) sides.delete(name);
    }
  return { list, silent: [...silent] };
}

export const showBytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** The peer that needs least at its peak. */
export const smallestPeer = (one: Footprint, all: readonly Footprint[]): Footprint | undefined =>
  all.filter(({ work, peer }) => peer && work === one.work).sort((a, b) => a.peak - b.peak)[0];

/** Below this a process grows by chance: ratios say nothing. */
const LEAST = 2 ** 20;

/** How many times the peak of the smallest peer; nothing if that is next to none. */
export function comparison(one: Footprint, all: readonly Footprint[]): string {
  const rival = smallestPeer(one, all);
  if (!rival || rival === one || rival.peak < LEAST) return '';
  return `${(one.peak / rival.peak).toFixed(2)} × ${rival.side}`;
}

/** A line a side. */
export function describeFootprints(list: readonly Footprint[]): string {
  const row = (cells: readonly string[]): string =>
    `${cells[0]!.padEnd(41)}  ${cells[1]!.padEnd(20)}  ${cells[2]!.padStart(10)}  ${cells[3]!.padStart(10)}  ${cells[4]!}`;
  const lines = list.map((one, k) => {
    const name = list[k - 1]?.work === one.work ? '' : one.work;
    return row([name, one.side, showBytes(one.peak), showBytes(one.steady), comparison(one, list)]).trimEnd();
  });
  return [
    'Memory: growth of a process that trains this alone, at most from making the model on, and over the last',
    `${STEPS} steps; after many steps of the smallest net, so that libraries' own code and pools are not counted.`,
    row(['work', 'side', 'peak', 'steady', '']).trimEnd(),
    ...lines,
  ].join('\n');
}
