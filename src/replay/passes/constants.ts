// Launches whose inputs are constants, and which therefore always give the same, run once when the plan is made: the seed of
// the backward pass, the divisor of a mean, masks.
import { accesses, ONCE } from '../graph.js';
import type { Draft } from '../uses.js';

export function foldConstants(draft: Draft): Draft {
  const fixed = new Set<number>();
  draft.graph.buffers.forEach(({ constant }, k) => constant && fixed.add(k));
  draft.launches.forEach((launch, at) => {
    if (!launch) return;
    const all = accesses(launch);
    const always = all.every(({ reads, owner }) => !reads || fixed.has(owner));
    const alone = all.every(
      ({ writes, owner }) =>
        !writes || (draft.isInner(owner) && draft.of(owner).every((use) => !use.writes || use.at === at)),
    );
    if (!always || !alone) return;
    draft.replace(at, { ...launch, part: ONCE });
    for (const { writes, owner } of all) if (writes) fixed.add(owner);
  });
  return draft;
}
