// Copies that need not be made. What a copy would move is written to its place at once, or read from where it was; a copy of
// a copy reads the first one's source. Gradients so land in the optimizer's run of memory, and slices cost nothing.
import { accesses, changed, COPY, isDense, OUTSIDE, redirected, WIDTH, type Access } from '../graph.js';
import type { Draft, Single, Use } from '../uses.js';

const { TO, FROM, SIZES, STRIDES } = COPY;
const sizesOf = ({ args }: Single): readonly number[] => args.slice(SIZES, SIZES + 4);
const sourceStrides = ({ args }: Single): readonly number[] => args.slice(STRIDES[FROM], STRIDES[FROM] + 4);

export function forwardCopies(draft: Draft): Draft {
  for (const rule of [joinCopies, readAtSource, writeAtTarget])
    draft.launches.forEach((_, at) => {
      const found = copyAt(draft, at);
      if (found) rule(draft, at, found);
    });
  return draft;
}

interface Found {
  readonly copy: Single;
  readonly to: Access;
  readonly from: Access;
}

const copyAt = (draft: Draft, at: number): Found | null => {
  const copy = draft.launches[at];
  if (copy?.kernel !== 'copy') return null;
  const [to, from] = accesses(copy);
  return { copy, to: to!, from: from! };
};

/** Moves accesses to a buffer to another place. */
function move(draft: Draft, uses: readonly Use[], owner: number, by: number): void {
  for (const use of uses) {
    const launch = draft.launches[use.at]!;
    draft.replace(use.at, redirected(launch, use.arg, owner, launch.args[use.arg]! + by));
  }
}

/** Readers of a dense copy read its source, if nothing writes there before the last of them. */
function readAtSource(draft: Draft, at: number, { copy, to, from }: Found): void {
  if (!draft.isInner(to.owner) || !isDense(copy, TO) || !isDense(copy, FROM)) return;
  const uses = draft.of(to.owner).filter((use) => use.at !== at);
  if (uses.some((use) => use.writes || use.at < at || use.from < to.from || use.to > to.to)) return;
  const last = uses.at(-1)?.at ?? at;
  if (draft.touched(from, at, last + 1, true)) return;
  // Between parts JavaScript may change what outlives the step.
  if (from.owner === OUTSIDE && uses.some((use) => draft.launches[use.at]!.part !== copy.part)) return;
  draft.replace(at, null);
  move(draft, uses, from.owner, from.from - to.from);
}

/** Writers of what a dense copy moves write to its target, if nothing else touches the target meanwhile. */
function writeAtTarget(draft: Draft, at: number, { copy, to, from }: Found): void {
  if (!draft.isInner(from.owner) || !isDense(copy, TO) || !isDense(copy, FROM)) return;
  const target = draft.graph.buffers[to.owner];
  if (target && (target.source !== null || target.constant !== null)) return;
  const uses = draft.of(from.owner).filter((use) => use.at !== at);
  const [first, last] = [uses[0]?.at ?? at, uses.at(-1)?.at ?? at];
  // Between parts JavaScript may change what outlives the step.
  if (to.owner === OUTSIDE && uses.some((use) => draft.launches[use.at]!.part !== copy.part)) return;
  if (uses.length === 0 || uses.some((use) => use.from < from.from || use.to > from.to)) return;
  if (uses.some((use) => use.writes && (use.at > at || draft.launches[use.at]!.part !== copy.part))) return;
  if (draft.touched(to, first - 1, at, false) || draft.touched(to, at, last + 1, true)) return;
  draft.replace(at, null);
  move(draft, uses, to.owner, to.from - from.from);
}

/** A copy that reads what another copy wrote reads that one's source instead, where one set of strides describes both. */
function joinCopies(draft: Draft, at: number, second: Found): void {
  if (!draft.isInner(second.from.owner)) return;
  const writers = draft.of(second.from.owner).filter((use) => use.writes);
  const first = writers.length === 1 ? copyAt(draft, writers[0]!.at) : null;
  if (!first || writers[0]!.at > at || !isDense(first.copy, TO) || first.to.from !== 0) return;
  if (draft.touched(first.from, writers[0]!.at, at, true)) return;
  if (first.from.owner === OUTSIDE && first.copy.part !== second.copy.part) return;
  const offset = (second.copy.args[FROM]! - first.to.from) / WIDTH;
  const joined = composed(first.copy, sizesOf(second.copy), sourceStrides(second.copy), offset);
  if (!joined) return;
  const args = second.copy.args.slice();
  joined.strides.forEach((stride, k) => (args[STRIDES[FROM] + k] = stride));
  const origins = [...first.copy.origins, ...second.copy.origins];
  const place = first.copy.args[FROM]! + joined.offset * WIDTH;
  draft.replace(at, redirected(changed(second.copy, { args, origins }), FROM, first.from.owner, place));
}

/**
 * Strides into the source of `first` of a walk through its dense result. Each step of the walk must stay within one
 * dimension of the result, without a carry into the next.
 */
function composed(
  first: Single,
  sizes: readonly number[],
  strides: readonly number[],
  offset: number,
): { strides: number[]; offset: number } | null {
  const [inner, source] = [sizesOf(first), sourceStrides(first)];
  // Where the walk starts, as an index into each dimension, and how far it gets in each.
  const reach = inner.map((_, k) => Math.floor(offset / sizeBelow(inner, k)) % inner[k]!);
  let start = 0;
  reach.forEach((i, k) => (start += i * source[k]!));
  const result = strides.map((stride, k) => {
    if (sizes[k] === 1 || stride === 0) return 0;
    const dim = inner.findIndex((_, d) => inner[d]! > 1 && stride % sizeBelow(inner, d) === 0);
    if (dim < 0) return NaN;
    const steps = stride / sizeBelow(inner, dim);
    reach[dim]! += (sizes[k]! - 1) * steps;
    return steps * source[dim]!;
  });
  if (result.some(Number.isNaN) || reach.some((far, d) => far >= inner[d]!)) return null;
  return { strides: result, offset: start };
}

const sizeBelow = (sizes: readonly number[], dim: number): number =>
  sizes.slice(dim + 1).reduce((product, n) => product * n, 1);
