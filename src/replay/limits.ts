// What the engine in use can do at most on this machine, as its own best kernels show: a product whose operands stay in the
// cache, and streams over working sets from the first cache to main memory. Measured once a process and engine.
import { heap } from '../memory/heap.js';
import { backend, kernelsNow } from '../kernels/launch.js';

export interface Limits {
  /** GFLOP/s. */
  readonly product: number;
  /** GB/s of a stream over so many bytes in all. */
  stream(bytes: number): number;
}

/** Bytes of all arrays together. */
const WORKING_SETS = [2 ** 15, 2 ** 18, 2 ** 22, 48e6];
const SIDES = [32, 64, 128, 256];
/** For each figure, in milliseconds. */
const BUDGET = 12;

const known = new Map<string, Limits>();

/** Seconds of the fastest call within the budget, of at least three. */
function fastest(run: () => void): number {
  const end = performance.now() + BUDGET;
  let best = Infinity;
  for (let k = 0; k < 3 || performance.now() < end; k++) {
    const start = process.hrtime.bigint();
    run();
    best = Math.min(best, Number(process.hrtime.bigint() - start));
    // An engine that needs this long for a small call is timed well enough by one.
    if (best > BUDGET * 1e6) break;
  }
  return best / 1e9;
}

/** Runs `fn` on heap memory of so many bytes, filled with ones: numbers that no kernel slows down for. */
function withMemory<T>(bytes: number, fn: (at: number) => T): T {
  const at = heap.allocate(bytes);
  try {
    heap.f32.fill(1, at / 4, (at + bytes) / 4);
    return fn(at);
  } finally {
    heap.release(at);
  }
}

function product(): number {
  const { matmul } = kernelsNow();
  let best = 0;
  for (const n of SIDES) {
    const bytes = 4 * n * n;
    const seconds = withMemory(3 * bytes, (at) =>
      fastest(() => matmul(at, at + bytes, at + 2 * bytes, 0, 0, 1, n, n, n, 0, 0, n, n, n, 0, 0, 0, 0)),
    );
    best = Math.max(best, (2 * n ** 3) / seconds / 1e9);
    // Eight times as long for the next one.
    if (seconds > BUDGET / 8000) break;
  }
  return best;
}

/** The better of adding two arrays to a third and of updating one by another. */
function streamOver(bytes: number): number {
  const { add, accumulate } = kernelsNow();
  return withMemory(bytes, (at) => {
    // Whole cache lines, so that no array starts within a vector.
    const [third, half] = [3, 2].map((parts) => Math.floor(bytes / parts / 64) * 64) as [number, number];
    const [m, n] = [third / 4, half / 4];
    const adding = fastest(() => add(at, at + third, at + 2 * third, 1, 1, m, 0, 0, 1, 0, 0, 1));
    const updating = fastest(() => accumulate(at, at + half, n));
    return Math.max((3 * third) / adding, (3 * half) / updating) / 1e9;
  });
}

/** The value at `x` on the line through `ys` over the logarithms of the working sets. */
function between(ys: readonly number[], x: number): number {
  const at = WORKING_SETS.findIndex((set) => set >= x);
  if (at <= 0) return ys.at(at)!;
  const [low, high] = [WORKING_SETS[at - 1]!, WORKING_SETS[at]!];
  const part = Math.log(x / low) / Math.log(high / low);
  return ys[at - 1]! * (1 - part) + ys[at]! * part;
}

/** The limits of the engine in use with its threads. */
export function limitsNow(): Limits {
  const { name, isa, threads } = backend.info();
  const key = `${name} ${isa} ${threads}`;
  let found = known.get(key);
  if (!found) {
    const streams = WORKING_SETS.map(streamOver);
    found = { product: product(), stream: (bytes) => between(streams, bytes) };
    known.set(key, found);
  }
  return found;
}
