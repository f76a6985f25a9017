// Threads of the WASM engine: the bits do not depend on their number, and programs that do not need them never see them.
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { limits } from '../../src/kernels/gate.js';
import type { Engine } from '../../src/kernels/reference.js';
import type { KernelCase } from '../../src/kernels/row.js';
import { kernelNames, table, type KernelName } from '../../src/kernels/table.js';
import { enginePool, kernelFor, setWasmThreads, wasmThreads } from '../../src/kernels/threads.js';
import { wasmBuilds, wasmEngine } from '../../src/kernels/wasm.js';
import { runCase } from '../support/kernelCase.js';

const split = kernelNames.filter((name) => table[name].split);
const usual = { ...limits };
const threads = wasmThreads();
afterEach(() => {
  Object.assign(limits, usual);
  setWasmThreads(threads);
});

/** Calls that cross the kernels' own blocks, beside the rows' cases. */
const LARGE: Partial<Record<KernelName, KernelCase[]>> = {
  matmul: [
    { args: [1, 70, 600, 300, 0, 0, 300, 600, 600, 0, 0, 0, 2] },
    { args: [5, 1, 40, 30, 0, 0, 30, 40, 40, 30, 0, 40, 0] },
    { args: [1, 300, 20, 270, 1, 1, 300, 270, 20, 0, 0, 0, 0] },
    { args: [1, 1, 200, 90, 0, 1, 90, 90, 200, 0, 0, 0, 1] },
  ],
  sgemm: [{ args: [300, 40, 270, 1, 0, 300, 40, 40, 1, 1] }],
  sum: [{ args: [3, 300, 70] }, { args: [1, 700, 1100] }],
  layerNormGrad: [{ args: [50, 130] }],
  attention: [{ args: [3, 300, 70, 16, 16, 0.25, 1, 0], absent: [5] }],
  conv2d: [{ args: [1, 8, 20, 20, 50, 3, 3, 1, 1, 1, 1, 1, 1, 1] }],
  conv2dGradWeight: [
    { args: [3, 40, 9, 9, 30, 3, 3, 1, 1, 1, 1, 1, 1, 1] },
    { args: [2, 12, 9, 9, 24, 3, 3, 2, 2, 1, 1, 1, 1, 3] },
  ],
  takeGrad: [{ args: [1, 9, 70, 40], index: 9 }],
};

/** Memory after every case of a row. */
const memories = (engine: Engine, name: KernelName): Buffer[] =>
  [...table[name].cases, ...(LARGE[name] ?? [])].flatMap((test) =>
    [0, 1].map((skew) => Buffer.from(runCase(engine, name, test, skew).memory.buffer)),
  );

describe.each(wasmBuilds())('threads of the %s build', (build) => {
  const engine = wasmEngine(build);
  const pool = enginePool(engine)!;
  afterAll(() => Promise.all(pool.started.map((worker) => worker.terminate())));

  beforeEach(() => {
    limits.work = 0;
    limits.wake = 0;
    pool.start(2);
    pool.awaitReady(2);
  });

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
});
