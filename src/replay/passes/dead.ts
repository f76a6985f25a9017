// Drops launches whose results nothing reads: gradients that no one asked for, statistics that only eager code uses.
import { accesses, OUTSIDE } from '../graph.js';
import type { Draft } from '../uses.js';

export function dropDead(draft: Draft): Draft {
  const wanted = new Set(draft.graph.outputs);
  for (let at = draft.launches.length - 1; at >= 0; at--) {
    const launch = draft.launches[at];
    if (!launch) continue;
    const all = accesses(launch);
    if (all.some(({ writes, owner }) => writes && (owner === OUTSIDE || wanted.has(owner))))
      all.forEach(({ reads, owner }) => reads && wanted.add(owner));
    else draft.replace(at, null);
  }
  return draft;
}
