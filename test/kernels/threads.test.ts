// Threads of the WASM engine: the bits do not depend on their number, and programs that do not need them never see them.
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { limits } from '../../src/kernels/gate.js';
import { Pool, type Job } from '../../src/kernels/pool.js';
import type { Engine, Kernel } from '../../src/kernels/reference.js';
import type { KernelCase } from '../../src/kernels/row.js';
import { cutter } from '../../src/kernels/split.js';
import { kernelNames, table, type KernelName } from '../../src/kernels/table.js';
import { enginePool, kernelFor, setWasmThreads, wasmThreads } from '../../src/kernels/threads.js';
import { wasmBuilds, wasmEngine } from '../../src/kernels/wasm.js';
import { heap } from '../../src/memory/heap.js';
import { wasm } from '../../src/memory/webassembly.js';
import { runCase } from '../support/kernelCase.js';

const split = kernelNames.filter((name) => table[name].split);
const usual = { ...limits };
const threads = wasmThreads();

/** Calls that cross the kernels' own blocks, beside the rows' cases. */
const LARGE: Partial<Record<KernelName, KernelCase[]>> = {
  matmul: [
    { args: [1, 70, 600, 300, 0, 0, 300, 600, 600, 0, 0, 0, 2] },
    { args: [5, 1, 40, 30, 0, 0, 30, 40, 40, 30, 0, 40, 0] },
    { args: [1, 300, 20, 270, 1, 1, 300, 270, 20, 0, 0, 0, 0] },
    { args: [1, 1, 200, 90, 0, 1, 90, 90, 200, 0, 0, 0, 1] },
  ],
  sgemm: [{ args: [300, 40, 270, 1, 0, 300, 40, 40, 1, 1] }],
  sum: [{ args: [3, 300, 70] }, { args: [1, 700, 1100] }, { args: [1, 50_001, 1] }],
  max: [{ args: [1, 50_001, 1] }],
  argmin: [{ args: [1, 50_001, 1] }],
  norm2: [{ args: [50_001] }],
  dot: [{ args: [50_001] }],
  swatsStep: [{ args: [20_003], cells: [0.01, 0.01, 1, 0.1, 0.99, 0.01, 1e-8] }],
  layerNormGrad: [{ args: [50, 130] }],
  attention: [{ args: [3, 300, 70, 16, 16, 0.25, 1, 0], absent: [5] }],
  conv2d: [{ args: [1, 8, 20, 20, 50, 3, 3, 1, 1, 1, 1, 1, 1, 1, 2] }],
  conv2dGradWeight: [
    { args: [3, 40, 9, 9, 30, 3, 3, 1, 1, 1, 1, 1, 1, 1] },
    { args: [2, 12, 9, 9, 24, 3, 3, 2, 2, 1, 1, 1, 1, 3] },
    { args: [2, 1, 9, 9, 40, 3, 3, 1, 1, 1, 1, 1, 1, 1] },
  ],
  crossEntropy: [{ args: [70, 9], index: 9 }],
  crossEntropyGrad: [{ args: [70, 9], index: 9 }],
  takeGrad: [
    { args: [1, 9, 70, 40], index: 9 },
    { args: [1, 300, 70, 400], index: 300 },
  ],
};

/** Memory after every case of a row. */
const memories = (engine: Engine, name: KernelName): Buffer[] =>
  [...table[name].cases, ...(LARGE[name] ?? [])].flatMap((test) =>
    [0, 1].map((skew) => Buffer.from(runCase(engine, name, test, skew).memory.buffer)),
  );

describe.each(wasmBuilds())('threads of the %s build', (build) => {
  const engine = wasmEngine(build);
  const pool = enginePool(engine)!;

  beforeEach(() => {
    limits.work = 0;
    limits.wake = 0;
    pool.start(2);
    pool.awaitReady(2);
  });
  afterEach(() => {
    Object.assign(limits, usual);
    setWasmThreads(threads);
  });
  afterAll(() => Promise.all(pool.started.map((worker) => worker.terminate())));

  it.each(split)('%s gives the same bits with one, two and three threads', (name) => {
    setWasmThreads(1);
    const alone = memories(engine, name);
    for (const n of [2, 3]) {
      setWasmThreads(n);
      memories(engine, name).forEach((memory, k) =>
        expect(memory.equals(alone[k]!), `case ${k} with ${n} threads`).toBe(true),
      );
    }
  });

  it('works in memory that the heap gained after the workers started', () => {
    setWasmThreads(3);
    const bytes = heap.capacity;
    const at = heap.allocate(bytes);
    heap.f32.fill(0.5, at / 4, (at + bytes) / 4);
    engine.exp(at, at, bytes / 4);
    const seen = new Set(heap.f32.subarray(at / 4, (at + bytes) / 4));
    heap.release(at);
    expect([...seen]).toEqual([Math.fround(Math.exp(0.5))]);
  });

  it('gives a replay the plain export for little work and the shared function for much', () => {
    limits.work = usual.work;
    const [small, large] = [kernelFor(engine, 'exp', [0, 0, 16]), kernelFor(engine, 'exp', [0, 0, 1 << 20])];
    expect(small).not.toBe(engine.exp);
    expect(large).toBe(engine.exp);
    expect(kernelFor(engine, 'dot', [0, 0, 0, 1 << 20])).toBe(engine.dot);
  });

  it('has no rest parameter before the commonest kernels', () => {
    const common: KernelName[] = ['add', 'relu', 'reluGrad', 'sum', 'softmax', 'matmul', 'adamStep'];
    expect(common.map((name) => engine[name].length)).toEqual(common.map((name) => table[name].sig.length));
  });

  it('is as right when the workers die, and says how many threads are left', async () => {
    setWasmThreads(3);
    const before = memories(engine, 'exp');
    const gone = pool.started.map((worker) => worker.terminate());
    const same = (): void =>
      memories(engine, 'exp').forEach((memory, k) => expect(memory.equals(before[k]!)).toBe(true));
    same();
    await Promise.all(gone);
    same();
    expect(wasmThreads()).toBe(1);
    // Nobody starts others in their place.
    expect(pool.started).toEqual([]);
  });
});

describe('a pool', () => {
  const { exp } = wasmEngine('simd');
  const pool = new Pool(new wasm.Module(readFileSync('build/wasm/simd.wasm')), ['exp'], () => undefined);
  afterAll(() => Promise.all(pool.started.map((worker) => worker.terminate())));

  let mine = 0;
  let places: number[] = [];
  const alone: Kernel = (...args) => {
    mine++;
    places.push(args[0]!);
    exp(...args);
  };
  const job: Job = { index: 0, name: 'exp', alone, cut: cutter(table.exp) };

  it('has its workers do parts, and the caller those that nobody took', () => {
    const at = heap.allocate(1 << 20);
    pool.run(job, [at, at, 1 << 18], 2, 1);
    expect(mine).toBe(2);
    pool.start(1);
    pool.awaitReady(1);
    let calls = 0;
    for (mine = 0; mine === 2 * calls; calls++) pool.run(job, [at, at, 1 << 18], 2, 1);
    heap.release(at);
  });

  it('gives the caller the last parts, backwards, so that every thread meets its own memory again', () => {
    const [at, size, parts] = [heap.allocate(1 << 20), 1 << 17, 8];
    for (let call = 0; call < 50; call++) {
      places = [];
      pool.run(job, [at, at, 1 << 18], parts, 1);
      expect(places).toEqual(places.map((_, k) => at + (parts - 1 - k) * size));
    }
    heap.release(at);
  });

  it('throws when a part traps, and goes on', () => {
    const beyond = 2 ** 32 - 64;
    expect(() => pool.run(job, [beyond, beyond, 1 << 18], 2, 1)).toThrow('wasm: a part of exp trapped');
    const at = heap.allocate(1 << 20);
    heap.f32.fill(0, at / 4, at / 4 + (1 << 18));
    pool.run(job, [at, at, 1 << 18], 2, 1);
    expect(heap.f32[at / 4 + (1 << 18) - 1]).toBe(1);
    heap.release(at);
  });
});
