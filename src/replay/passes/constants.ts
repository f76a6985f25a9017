// Launches whose inputs are constants, and which therefore always give the same, run once when the plan is made: the seed of
// the backward pass, the divisor of a mean, masks.
import { accesses, ONCE, type Access } from '../graph.js';
import type { Draft } from '../uses.js';

export function foldConstants(draft: Draft): Draft {
  const fixed = new Set<number>();
  draft.graph.buffers.forEach(({ constant }, k) => constant && fixed.add(k));
  /** Whether an access of the launch at `at` touches the same values in every run, and nobody else writes them. */
  const stays = ({ reads, writes, owner }: Access, at: number): boolean =>
    (!reads || fixed.has(owner)) && (!writes || (draft.isInner(owner) && isOnlyWriter(draft, owner, at)));
  draft.launches.forEach((launch, at) => {
    if (!launch) return;
    const all = accesses(launch);
    for (let k = 0; k < all.length; k++) if (!stays(all[k]!, at)) return;
    draft.replace(at, { ...launch, part: ONCE });
    for (const { writes, owner } of all) if (writes) fixed.add(owner);
  });
  return draft;
}

const isOnlyWriter = (draft: Draft, owner: number, at: number): boolean =>
  draft.of(owner).every((use) => !use.writes || use.at === at);
