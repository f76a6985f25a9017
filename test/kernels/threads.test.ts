// Threads of the WASM engine: the bits do not depend on their number, and programs that do not need them never see them.
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { limits } from '../../src/kernels/gate.js';
import { Pool, type Job } from '../../src/kernels/pool.js';
import type { Engine, Kernel } from '../../src/kernels/reference.js';
import { cutter } from '../../src/kernels/split.js';
import { kernelNames, table, type KernelName } from '../../src/kernels/table.js';
import { enginePool, setWasmThreads, sharedCall, wasmThreads } from '../../src/kernels/threads.js';
import { wasmBuilds, wasmEngine } from '../../src/kernels/wasm.js';
import { heap } from '../../src/memory/heap.js';
import { wasm } from '../../src/memory/webassembly.js';
import { memoryAfter, prepare, type Prepared } from '../support/kernelCase.js';
import { largeCases } from '../support/large.js';

const split = kernelNames.filter((name) => table[name].split);
const usual = { ...limits };
const threads = wasmThreads();

/** Every case of a row, aligned and not. */
const prepared = (name: KernelName): Prepared[] =>
  [...table[name].cases, ...largeCases(name)].flatMap((test) =>
    [0, 1].map((skew) => prepare(name, test, skew)),
  );
/** Memory after each of these calls. */
const memories = (engine: Engine, tests: readonly Prepared[]): Buffer[] =>
  tests.map((test) => Buffer.from(memoryAfter(engine, test).buffer));

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
    const tests = prepared(name);
    setWasmThreads(1);
    const alone = memories(engine, tests);
    for (const n of [2, 3]) {
      setWasmThreads(n);
      memories(engine, tests).forEach((memory, k) =>
        expect(memory.equals(alone[k]!), `${name}(${tests[k]!.args.join(', ')}) with ${n} threads`).toBe(
          true,
        ),
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

  it('gives a replay a function of its own for a call with much to do, and none for one with little', () => {
    limits.work = usual.work;
    expect(sharedCall(engine, 'exp', [0, 0, 16])).toBe(null);
    const n = 70_001;
    const [x, y, total] = [heap.allocate(4 * n), heap.allocate(4 * n), heap.allocate(4)];
    const results = (): number[] => [...heap.f32.slice(y / 4, y / 4 + n), heap.f32[total / 4]!];
    const run = [sharedCall(engine, 'exp', [y, x, n])!, sharedCall(engine, 'sum', [total, y, 1, n, 1])!];
    for (const count of [2, 3, 3, 2]) {
      setWasmThreads(count);
      heap.f32.fill(count, x / 4, x / 4 + n);
      run.forEach((one) => one());
      const seen = results();
      setWasmThreads(1);
      engine.exp(y, x, n);
      engine.sum(total, y, 1, n, 1);
      expect(seen).toEqual(results());
    }
    for (const at of [x, y, total]) heap.release(at);
  });

  it('has no rest parameter before the commonest kernels', () => {
    const common: KernelName[] = ['add', 'relu', 'reluGrad', 'sum', 'softmax', 'matmul', 'adamStep'];
    expect(common.map((name) => engine[name].length)).toEqual(common.map((name) => table[name].sig.length));
  });

  it('is as right when the workers die, and says how many threads are left', async () => {
    setWasmThreads(3);
    const tests = prepared('exp');
    const before = memories(engine, tests);
    const gone = pool.started.map((worker) => worker.terminate());
    const same = (): void =>
      memories(engine, tests).forEach((memory, k) => expect(memory.equals(before[k]!)).toBe(true));
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
