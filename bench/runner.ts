// Runs works on every engine and peer that is there. The sides of one work take turns, so that a ratio compares
// neighbours in time; every figure is the median of the samples of all turns.
import { backend, type BackendName } from '#thalweg/kernels/launch';
import { measure, median, summary, type Summary } from './measure.js';
import { UNKNOWN_WORK, type Peer } from './peer.js';

/** What is to be done, in words that a peer understands too. */
export interface Spec {
  kind: string;
  args: (number | string)[];
}

/** What one call computes or moves, in billions. What is moved has a working set: the bytes of all arrays. */
export type Rate =
  | { unit: 'GFLOP/s'; amount: number }
  | { unit: 'GB/s'; amount: number; set: number; pattern: 'read' | 'write' | 'update' };

/** One line of a table of cases: a work, and how to get ready for it on the engine in use. */
export interface Work extends Spec {
  name: string;
  rate?: Rate;
  /** What one call handles one by one, for "ns per …". */
  per?: { count: number; unit: string };
  prepare(): Prepared;
  /** Engines that are not asked, as a call would take too long. */
  without?: readonly BackendName[];
}

export interface Prepared {
  run(): unknown;
  /** Gives memory back. */
  end?(): void;
}

export interface Side {
  label: string;
  threads: number;
  peer: boolean;
  /** The instruction set whose peak is its limit. */
  isa: string;
  /** Gets ready; returns what takes a turn of that many seconds, or why there is none. */
  open(work: Work): Promise<Turn | string>;
}

interface Turn {
  samples(seconds: number): Promise<number[] | string>;
  end(): void;
}

/** One figure of the report. */
export interface Result extends Summary {
  work: string;
  side: string;
  threads: number;
  peer: boolean;
  isa: string;
  /** GFLOP/s in registers, by the median of a look after each turn: where a work has operations and the peak is known. */
  peak?: number;
}

export interface Plan {
  rounds: number;
  /** Seconds a turn. */
  seconds: number;
  threads: readonly number[];
}

/** Lets the compiler settle, so that the first turn is not slower than the others. */
function warmUp(prepared: Prepared, seconds: number): void {
  const end = performance.now() + 1000 * seconds;
  do prepared.run();
  while (performance.now() < end);
}

function own(name: BackendName, threads: number, seconds: number): Side {
  const select = (): void => {
    backend.use(name);
    backend.threads = threads;
  };
  return {
    label: `${name} ${threads}T`,
    threads,
    peer: false,
    isa: backend.info().isa,
    open(work) {
      if (work.without?.includes(name)) return Promise.resolve('left out: too slow');
      select();
      const prepared = work.prepare();
      warmUp(prepared, seconds);
      return Promise.resolve({
        samples(seconds) {
          select();
          return Promise.resolve(measure(() => prepared.run(), seconds));
        },
        end: () => prepared.end?.(),
      });
    },
  };
}

function foreign(peer: Peer, threads: number, isa: string): Side {
  return {
    label: `${peer.name} ${threads}T`,
    threads,
    peer: !peer.own,
    isa: peer.isa ?? isa,
    open: ({ kind, args }) =>
      Promise.resolve({
        samples: async (seconds) => {
          const { samples, absent } = await peer.ask({ kind, args, threads, seconds });
          return samples ?? absent ?? 'no answer';
        },
        end: () => undefined,
      }),
  };
}

/** Whether the engine in use takes that many threads. */
function canUse(threads: number): boolean {
  backend.threads = threads;
  return backend.threads === threads;
}

/** The sides that this machine has, and a line for each that it lacks. */
export function sides(peers: readonly Peer[], plan: Plan): { found: Side[]; absent: string[] } {
  const found: Side[] = [];
  const absent: string[] = [];
  for (const name of ['native', 'wasm'] as const)
    try {
      backend.use(name);
      found.push(...plan.threads.filter(canUse).map((threads) => own(name, threads, plan.seconds)));
    } catch (error) {
      absent.push((error as Error).message);
    }
  for (const peer of peers) {
    if (peer.absent) absent.push(`${peer.name}: ${peer.absent}`);
    else {
      const taken = plan.threads.filter((n) => peer.takes(n));
      found.push(...taken.map((n) => foreign(peer, n, found[0]!.isa)));
    }
  }
  return { found, absent: [...new Set(absent)] };
}

/** Gives the memory of the last work back, if this process may ask for it (--expose-gc). */
async function collect(): Promise<void> {
  globalThis.gc?.();
  // Finalizers run in a later task.
  await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Figures of one work, and why a side that is there has none. */
export interface Outcome {
  results: Result[];
  refused: string[];
}

/** Runs one work on all sides in turns. `peakOf` tells what a side could compute at this moment. */
export async function runWork(
  work: Work,
  all: readonly Side[],
  plan: Plan,
  peakOf: (side: Side) => number | undefined,
): Promise<Outcome> {
  const refused: string[] = [];
  const samples = new Map<Side, number[]>();
  const peaks = new Map<Side, number[]>();
  const open = new Map<Side, Turn>();
  for (const side of all) {
    const turn = await side.open(work);
    if (typeof turn !== 'string') open.set(side, turn);
    else refused.push(`${side.label}: ${turn}`);
  }
  for (let round = 0; round < plan.rounds; round++)
    for (const [side, turn] of open) {
      const got = await turn.samples(plan.seconds);
      if (typeof got === 'string') {
        open.delete(side);
        if (got !== UNKNOWN_WORK) refused.push(`${side.label}: ${got}`);
        continue;
      }
      samples.set(side, [...(samples.get(side) ?? []), ...got]);
      const peak = work.rate?.unit === 'GFLOP/s' ? peakOf(side) : undefined;
      if (peak !== undefined) peaks.set(side, [...(peaks.get(side) ?? []), peak]);
    }
  for (const turn of open.values()) turn.end();
  open.clear();
  await collect();
  const results = [...samples].map(([side, list]) => ({
    work: work.name,
    side: side.label,
    threads: side.threads,
    peer: side.peer,
    isa: side.isa,
    ...(peaks.has(side) && { peak: median(peaks.get(side)!) }),
    ...summary(list),
  }));
  return { results, refused };
}
