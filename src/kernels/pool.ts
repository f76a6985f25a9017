// The worker threads of the WASM engine: instances of one module over one heap, which take parts of a call from a control
// block. A part that no worker took is done by the caller, so a worker that starts late, sleeps or is gone costs nothing
// but its help; and no result depends on who computed what.
import { Worker } from 'node:worker_threads';
import { heap, SCRATCH } from '../memory/heap.js';
import { CELL, HELPER, LAST, MAIL, type HelperData } from './helper.js';
import type { Kernel } from './reference.js';
import { ARGUMENTS, SLOTS, type Cutter } from './split.js';

export const MOST_THREADS = 64;
export const MOST_PARTS = 256;
/** Turns of waiting for the last part before the caller sleeps. */
const TURNS = 20_000;
/** Milliseconds of one sleep, and how many pass before a part that was taken is given up: its worker must have died. */
const NAP = 100;
const NAPS = 600;

/** What a pool runs: a kernel's number in the module's list, its name, the caller's own instance of it, its cuts,
 * whether a call needs one more after its parts, and whether its parts repeat work of each other. */
export interface Job {
  readonly index: number;
  readonly name: string;
  readonly alone: Kernel;
  readonly cut: Cutter;
  readonly ends?: (args: readonly number[]) => boolean;
  readonly repeats?: boolean;
}

/** Calls a kernel with the arguments that stand in the mail; it leaves out those that it does not take. */
function callFrom(m: Float64Array, at: number, kernel: Kernel): void {
  // A spread costs 300 ns.
  // prettier-ignore
  kernel(
    m[at]!, m[at + 1]!, m[at + 2]!, m[at + 3]!, m[at + 4]!, m[at + 5]!, m[at + 6]!,
    m[at + 7]!, m[at + 8]!, m[at + 9]!, m[at + 10]!, m[at + 11]!, m[at + 12]!, m[at + 13]!,
    m[at + 14]!, m[at + 15]!, m[at + 16]!, m[at + 17]!, m[at + 18]!, m[at + 19]!, m[at + 20]!,
  );
}

export class Pool {
  private readonly control = new SharedArrayBuffer(MAIL + MOST_PARTS * SLOTS * 8);
  private readonly cells = new Int32Array(this.control, 0, MAIL / 4);
  private readonly mail = new Float64Array(this.control, MAIL);
  private readonly workers: Worker[] = [];
  private lost = 0;

  constructor(
    private readonly module: object,
    private readonly names: readonly string[],
    private readonly usePart: (index: number, count: number) => void,
  ) {}

  /** Workers that were started, whether or not they are ready. */
  get started(): readonly Worker[] {
    return this.workers;
  }

  /** The most threads that there can be; falls when workers die or cannot start. */
  get limit(): number {
    return this.lost > 0 ? 1 + this.workers.length : MOST_THREADS;
  }

  /** Workers that can take parts, and how many of them would have to be woken first. */
  get ready(): number {
    return Atomics.load(this.cells, CELL.ready);
  }
  get parked(): number {
    return Atomics.load(this.cells, CELL.parked);
  }

  /** Starts workers until there are `count`. They get ready by themselves, some 20 ms later. */
  start(count: number): void {
    while (this.workers.length < Math.min(count, this.limit - 1)) if (!this.add()) return;
  }

  private add(): boolean {
    let scratch = 0;
    try {
      scratch = heap.allocate(SCRATCH);
      const { module, control, names } = this;
      const workerData: HelperData = { module, memory: heap.memory, control, names, scratch };
      // Neither flags nor preloaded files of the program: this thread runs kernels only.
      const worker = new Worker(HELPER, { eval: true, execArgv: [], env: {}, workerData });
      worker.unref();
      worker.on('error', () => undefined);
      worker.once('exit', () => this.lose(worker, scratch));
      this.workers.push(worker);
      return true;
    } catch {
      // No permission, no memory, no more threads: those that there are must do.
      if (scratch > 0) heap.release(scratch);
      this.lost++;
      return false;
    }
  }

  private lose(worker: Worker, scratch: number): void {
    heap.release(scratch);
    const at = this.workers.indexOf(worker);
    if (at < 0) return;
    this.workers.splice(at, 1);
    this.lost++;
    // Whether it was ready is not known. One too few means less help; one too many, that the caller does its part.
    Atomics.store(this.cells, CELL.ready, Math.min(this.ready, this.workers.length));
  }

  /** Returns when `count` workers are ready. */
  awaitReady(count: number): void {
    for (let n; (n = this.ready) < count;) Atomics.wait(this.cells, CELL.ready, n);
  }

  /**
   * Does a call in at most `count` parts, with the help of those of `helpers` workers who come.
   * @throws Error when a part traps
   */
  run(job: Job, args: readonly number[], count: number, helpers: number): void {
    const { cells, mail } = this;
    const parts = job.cut(args, count, mail);
    if (parts < 2) return job.alone(...args);
    for (let k = 0; k < parts; k++) mail[k * SLOTS] = job.index;
    Atomics.store(cells, CELL.done, 0);
    Atomics.store(cells, CELL.open, parts << 16);
    Atomics.add(cells, CELL.epoch, 1);
    const asleep = helpers - (this.ready - this.parked);
    if (asleep > 0) Atomics.notify(cells, CELL.epoch, asleep);
    for (let open; (open = Atomics.add(cells, CELL.open, LAST)) >> 16 > (open & 0xffff);)
      this.take(job, ((open >> 16) - 1) * SLOTS);
    this.usePart(0, 1);
    this.wait(job, parts);
    if (Atomics.load(cells, CELL.failed) && Atomics.exchange(cells, CELL.failed, 0))
      throw new Error(`wasm: a part of ${job.name} trapped`);
    if (job.ends?.(args)) this.end(job, args, parts);
  }

  /** Puts together what the parts wrote down. */
  private end(job: Job, args: readonly number[], parts: number): void {
    this.usePart(parts, parts);
    job.alone(...args);
    this.usePart(0, 1);
  }

  private take(job: Job, at: number): void {
    const { mail } = this;
    this.usePart(mail[at + 1]!, mail[at + 2]!);
    try {
      callFrom(mail, at + ARGUMENTS, job.alone);
    } catch {
      Atomics.store(this.cells, CELL.failed, 1);
    }
    Atomics.add(this.cells, CELL.done, 1);
  }

  /** Returns when every part is done: first turning, then asleep. */
  private wait(job: Job, count: number): void {
    const { cells } = this;
    for (let turn = 0; turn < TURNS; turn++) if (Atomics.load(cells, CELL.done) === count) return;
    Atomics.store(cells, CELL.asleep, 1);
    for (let nap = 0; nap < NAPS;) {
      const done = Atomics.load(cells, CELL.done);
      if (done === count) {
        Atomics.store(cells, CELL.asleep, 0);
        return;
      }
      if (Atomics.wait(cells, CELL.done, done, NAP) === 'timed-out') nap++;
    }
    this.giveUp();
    throw new Error(`wasm: ${job.name} did not end on a worker thread within a minute; has it died?`);
  }

  /** No call is shared from now on. */
  private giveUp(): void {
    this.lost += this.workers.splice(0).length;
    Atomics.store(this.cells, CELL.ready, 0);
  }
}
