// Rectifies after max pooling instead of before: relu(max x) is max relu(x), and there is less of it. Backwards likewise: the
// pooled gradient is masked by the pooled value before it is spread. Where all of a window is negative the pool now picks
// another of its elements, but that one's gradient is 0 either way, so the bits are the same (but for the sign of a zero).
import { accesses, redirected, WIDTH, type Buffer, type Instruction, type Launch } from '../graph.js';
import { Draft, type Single, type Use } from '../uses.js';

/** Pointers of relu(y, x), maxPool2d(y, index, x), maxPool2dGrad(gx, g, index) and reluGrad(gx, g, y). */
const RELU = { Y: 0, X: 1 } as const;
const POOL = { Y: 0, INDEX: 1, X: 2 } as const;
const SPREAD = { GX: 0, G: 1 } as const;
const SLOPE = { GX: 0, G: 1, Y: 2, N: 3 } as const;

export function rectifyAfterPooling(draft: Draft): Draft {
  const found = draft.launches.flatMap((launch, at) =>
    launch?.kernel === 'relu' ? (matchAt(draft, launch, at) ?? []) : [],
  );
  if (found.length === 0) return draft;
  const buffers = draft.graph.buffers.slice();
  const instead = new Map<number, readonly Single[]>();
  for (const match of found) {
    for (const [at, launches] of forward(draft, match)) instead.set(at, launches);
    if (match.back)
      for (const [at, launches] of backward(draft, match.pool, match.back, buffers))
        instead.set(at, launches);
  }
  const instructions = draft.launches.flatMap(
    (launch, at): readonly Instruction[] => instead.get(at) ?? (launch ? [launch] : []),
  );
  return new Draft({ ...draft.graph, instructions, buffers });
}

/** Places of the launches: the pool's way back, the slope. */
interface Backward {
  readonly spread: number;
  readonly slope: number;
}

interface Match {
  readonly relu: number;
  readonly pool: number;
  readonly back: Backward | null;
}

/** A relu at this place whose only other readers are a max pooling and, perhaps, its own slope. */
function matchAt(draft: Draft, launch: Single, relu: number): Match | null {
  if (!draft.isInner(launch.owners[RELU.Y]!) || launch.args[RELU.Y] !== 0) return null;
  const readers = draft.of(launch.owners[RELU.Y]!).filter((use) => use.at !== relu);
  const pool = readers.find((use) => isUse(draft, use, 'maxPool2d', POOL.X));
  const slope = readers.find((use) => isUse(draft, use, 'reluGrad', SLOPE.Y));
  if (!pool || readers.length !== (slope ? 2 : 1)) return null;
  const [, from] = accesses(launch);
  const { owners } = draft.launches[pool.at]!;
  const index = draft.of(owners[POOL.INDEX]!).filter((use) => use.at !== pool.at);
  const alone = draft.of(owners[POOL.Y]!).every((use) => !use.writes || use.at === pool.at);
  if (!alone || !draft.isInner(owners[POOL.INDEX]!) || draft.touched(from!, relu, pool.at, true)) return null;
  if (!slope) return index.length === 0 ? { relu, pool: pool.at, back: null } : null;
  const back = backwardOf(draft, slope.at, index);
  return back ? { relu, pool: pool.at, back } : null;
}

const isUse = (draft: Draft, use: Use, kernel: string, arg: number): boolean =>
  use.reads && use.arg === arg && draft.launches[use.at]!.kernel === kernel;

/** The slope's gradient must be what the pool's only index spreads, and nothing else may look at it. */
function backwardOf(draft: Draft, slope: number, index: readonly Use[]): Backward | null {
  const { owners, args } = draft.launches[slope]!;
  const uses = draft.of(owners[SLOPE.G]!);
  const spread = index[0]?.at;
  if (spread === undefined || draft.launches[spread]!.kernel !== 'maxPool2dGrad') return null;
  if (index.length !== 1 || !draft.isInner(owners[SLOPE.G]!) || args[SLOPE.G] !== 0) return null;
  if (uses.length !== 2 || uses[0]!.at !== spread || uses[1]!.at !== slope) return null;
  // The result appears earlier than before: it may not get in anyone's way.
  const [result] = accesses(draft.launches[slope]!);
  return draft.touched(result!, spread - 1, slope, false) ? null : { spread, slope };
}

function forward(draft: Draft, { relu, pool }: Match): [number, Single[]][] {
  const [rectifier, pooling] = [draft.launches[relu]!, draft.launches[pool]!];
  const direct = redirected(pooling, POOL.X, rectifier.owners[RELU.X]!, rectifier.args[RELU.X]!);
  const [owner, at] = [pooling.owners[POOL.Y]!, pooling.args[POOL.Y]!];
  const after = redirected(redirected(rectifier, RELU.Y, owner, at), RELU.X, owner, at);
  return [
    [relu, []],
    [pool, [direct, withCount(after, 2, sizeOf(pooling, POOL.Y))]],
  ];
}

function backward(draft: Draft, pool: number, back: Backward, buffers: Buffer[]): [number, Single[]][] {
  const [spread, slope] = [draft.launches[back.spread]!, draft.launches[back.slope]!];
  const pooling = draft.launches[pool]!;
  const n = sizeOf(pooling, POOL.Y);
  const masked = buffers.push({ bytes: n * WIDTH, int: false, source: null, constant: null }) - 1;
  const to = (launch: Single, arg: number, like: Single, as: number): Single =>
    redirected(launch, arg, like.owners[as]!, like.args[as]!);
  const early = to(to(slope, SLOPE.G, spread, SPREAD.G), SLOPE.Y, pooling, POOL.Y);
  const mask = withCount(redirected(early, SLOPE.GX, masked, 0), SLOPE.N, n);
  const late = redirected(to(spread, SPREAD.GX, slope, SLOPE.GX), SPREAD.G, masked, 0);
  return [
    [back.spread, [mask, late]],
    [back.slope, []],
  ];
}

const sizeOf = (launch: Launch, arg: number): number => {
  const access = accesses(launch).find((one) => one.arg === arg)!;
  return (access.to - access.from) / WIDTH;
};

/** The launch with another number of elements. */
function withCount(launch: Single, arg: number, n: number): Single {
  const args = launch.args.slice();
  args[arg] = n;
  return { ...launch, args };
}
