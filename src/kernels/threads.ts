// Threads of the WASM engine: which calls are shared, when workers start and when they are woken. Results never depend on
// any of it.
import { existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import { gate, limits } from './gate.js';
import { MOST_PARTS, MOST_THREADS, Pool, type Job } from './pool.js';
import type { Engine, Kernel } from './reference.js';
import type { Split } from './row.js';
import { cutter, ending, remembering, stripsCutter, workOf } from './split.js';
import { kernelNames, table, type KernelName } from './table.js';

/** Milliseconds between two calls that are close together: workers that were woken would have turned so long. */
const TOGETHER = 0.1;

const QUOTA = '/sys/fs/cgroup/cpu.max';

/** Cores that this process may use, by affinity and by the cgroup's quota (version 2). */
function availableCores(): number {
  const cores = os.availableParallelism();
  if (!existsSync(QUOTA)) return cores;
  const [quota, period] = readFileSync(QUOTA, 'utf8').split(' ').map(Number);
  return quota! > 0 && period! > 0 ? Math.min(cores, Math.ceil(quota! / period!)) : cores;
}

/** Threads that were asked for; 0 until someone asks, or wants to know. */
let wanted = 0;
const wish = (): number => (wanted ||= Math.min(availableCores(), MOST_THREADS));
const pools = new Set<Pool>();

/** Threads that WASM kernels may use, the caller's among them; fewer than asked for where workers could not start. */
export const wasmThreads = (): number => Math.min(wish(), ...[...pools].map((pool) => pool.limit));
export function setWasmThreads(n: number): void {
  wanted = Math.min(n, MOST_THREADS);
}

/** Parts a thread: up to four of a millisecond, so that nobody waits long for a thread that the system put aside. */
const pieces = (work: number): number =>
  Math.max(1, Math.min(MOST_PARTS / MOST_THREADS, Math.floor(work / 1e6)));

/** Calls of one engine's kernels, shared with the workers of its pool. */
class Sharing {
  /** Nanoseconds of work worth sharing that was done alone because there are no workers. */
  private owed = 0;
  /** Nanoseconds of work done while workers were parked, since calls are close together, and when the last one was. */
  private slept = 0;
  private last = 0;

  constructor(private readonly pool: Pool) {}

  run(job: Job, work: number, args: readonly number[]): void {
    const { pool } = this;
    const helpers = Math.min(wish(), pool.limit) - 1;
    if (helpers < 1) return job.alone(...args);
    const { ready } = pool;
    if (ready === 0) return this.withoutWorkers(job, work, args);
    // Their number doubles, so that a program on many cores does not wait for all of them to start.
    pool.start(Math.min(helpers, 2 * ready + 1));
    const most = Math.floor((2 * work) / limits.work);
    const threads = Math.min(1 + this.hands(Math.min(helpers, ready), work), most);
    const each = job.repeats ? 1 : pieces(work / threads);
    if (threads >= 2) pool.run(job, args, threads * each, threads - 1);
    else job.alone(...args);
  }

  /** Of so many workers, those that this call is for: parked ones only if it pays to wake them. */
  private hands(ready: number, work: number): number {
    const { parked } = this.pool;
    if (parked === 0) return ready;
    const now = performance.now();
    this.slept = now - this.last < TOGETHER ? this.slept + work : work;
    this.last = now;
    if (this.slept < limits.wake) return Math.max(0, ready - parked);
    this.slept = 0;
    return ready;
  }

  /** Runs a call alone; starts the first worker if enough such work has gone by, and this call shows that there is more. */
  private withoutWorkers(job: Job, work: number, args: readonly number[]): void {
    if (this.owed >= limits.start) this.pool.start(1);
    this.owed += work;
    job.alone(...args);
  }
}

interface Shared {
  readonly job: Job;
  readonly split: Split;
}

/** What stands behind the kernels that may be shared. */
const shared = new WeakMap<Kernel, Shared>();
const poolOf = new WeakMap<Engine, Pool>();
const sharingOf = new WeakMap<Engine, Sharing>();

/** An engine whose kernels share their work, over one whose kernels run on the caller's thread; `module` has both. */
export function sharedEngine(
  alone: Engine,
  module: object,
  usePart: (index: number, count: number) => void,
): Engine {
  const pool = new Pool(module, kernelNames, usePart);
  const sharing = new Sharing(pool);
  pools.add(pool);
  const kernel = (name: KernelName, index: number): Kernel => {
    const row = table[name];
    const { split } = row;
    if (!split) return alone[name];
    const { repeats = false } = split;
    const job: Job = { index, name, alone: alone[name], cut: cutter(row), ends: ending(row), repeats };
    const run = gate(row.sig.length, split, job.alone, (...args) =>
      sharing.run(job, workOf(split, args), args),
    );
    shared.set(run, { job, split });
    return run;
  };
  const engine = Object.fromEntries(kernelNames.map((name, k) => [name, kernel(name, k)])) as Record<
    KernelName,
    Kernel
  >;
  poolOf.set(engine, pool);
  sharingOf.set(engine, sharing);
  return engine;
}

/** The workers behind an engine, for tests. */
export const enginePool = (engine: Engine): Pool | undefined => poolOf.get(engine);

/**
 * This one call, shared as the kernel's calls are, for one that is made again and again: what depends on the arguments alone
 * is found once, so a call leaves no garbage behind. Null where there is too little to share.
 */
export function sharedCall(engine: Engine, name: KernelName, args: readonly number[]): (() => void) | null {
  const found = shared.get(engine[name]);
  const work = found ? workOf(found.split, args) : 0;
  if (!found || work < limits.work) return null;
  const { job } = found;
  const ends = job.ends?.(args) ?? false;
  const own: Job = { ...job, cut: remembering(job.cut), ends: () => ends };
  const sharing = sharingOf.get(engine)!;
  return () => sharing.run(own, work, args);
}

/** The kernel on the caller's thread, however much there is to do. */
export const kernelAlone = (engine: Engine, name: KernelName): Kernel =>
  shared.get(engine[name])?.job.alone ?? engine[name];

/** Strips of a recorded step: function `index` of a module that stands in the heap too, so that workers can make it. */
export interface StripsJob {
  /** (from, to, copy): runs some strips on that copy of the buffers in between. */
  readonly alone: Kernel;
  readonly index: number;
  readonly strips: number;
  readonly copies: number;
  /** Nanoseconds of one thread. */
  readonly work: number;
  /** Bytes of the heap, and a number that no other module ever has. */
  readonly code: { readonly at: number; readonly bytes: number; readonly id: number };
}

/** Runs all strips, with the help of the engine's workers. */
export function shareStrips(engine: Engine, job: StripsJob): () => void {
  const { alone, index, strips, copies, work, code } = job;
  const sharing = sharingOf.get(engine)!;
  const own: Job = { index: kernelNames.length, name: 'strips', alone, cut: stripsCutter(copies) };
  const args = [0, strips, 0, index, code.at, code.bytes, code.id];
  return () => sharing.run(own, work, args);
}
