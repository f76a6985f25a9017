// Programs as WASM modules: the calls they make are those of the plain loop, argument by argument, and the kernels they run
// give the same bits.
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { limits } from '../../src/kernels/gate.js';
import { heap } from '../../src/memory/heap.js';
import type { Kernel } from '../../src/kernels/reference.js';
import { kernelNames, table, type KernelName } from '../../src/kernels/table.js';
import { enginePool, kernelAlone, setWasmThreads, wasmThreads } from '../../src/kernels/threads.js';
import { wasmEngine } from '../../src/kernels/wasm.js';
import { Bytes } from '../../src/replay/bytes.js';
import { loopProgram, type Run } from '../../src/replay/loop.js';
import type { Call, Item, Program } from '../../src/replay/program.js';
import { wasmProgram } from '../../src/replay/wasm.js';
import { numbers } from './support.js';

const engine = wasmEngine();
const exported: Run = (kernel) => kernelAlone(engine, kernel);

type Seen = [kernel: KernelName, ...args: number[]];

/** The calls that a program makes, its kernels being functions that write them down. */
function callsOf(
  make: (items: readonly Item[], runs: Run) => Program,
  items: readonly Item[],
  part = 0,
): Seen[] {
  const seen: Seen[] = [];
  const spies = new Map<KernelName, Kernel>();
  const runs: Run = (kernel) => {
    const { sig } = table[kernel];
    // Addresses come as the signed numbers that WebAssembly has.
    const spy: Kernel = (...args) =>
      void seen.push([kernel, ...args.map((v, k) => (sig[k] === 's' ? v : v >>> 0))]);
    if (!spies.has(kernel)) spies.set(kernel, spy);
    return spies.get(kernel)!;
  };
  make(items, runs).run(part);
  return seen;
}

const call = (kernel: KernelName, ...args: number[]): Item => ({ part: 0, index: 0, call: { kernel, args } });

/** What is written. */
function bytesOf(write: (to: Bytes) => void): number[] {
  const to = new Bytes();
  write(to);
  return [...to.done()];
}

it.each([
  [0, [0]],
  [63, [0x3f]],
  [64, [0xc0, 0]],
  [127, [0xff, 0]],
  [128, [0x80, 1]],
  [2 ** 31 - 1, [0xff, 0xff, 0xff, 0xff, 0x07]],
  [2 ** 31, [0x80, 0x80, 0x80, 0x80, 0x78]],
  [2 ** 32 - 64, [0x40]],
  [2 ** 32 - 65, [0xbf, 0x7f]],
])('writes %d as i32', (n, bytes) => {
  expect(bytesOf((to) => to.signed(n))).toEqual(bytes);
});

it('writes counts', () => {
  const written = [0, 127, 128, 16384].map((n) => bytesOf((to) => to.unsigned(n)));
  expect(written).toEqual([[0], [127], [0x80, 1], [0x80, 0x80, 1]]);
});

it.each([0, 127, 128, 20_000, 300_000])('writes %d bytes behind their number', (n) => {
  const content = new Uint8Array(n).fill(7);
  const all = bytesOf((to) => to.sized(() => to.bytes(content)));
  const length = all.slice(0, 5).reduce((sum, byte, k) => sum + (byte & 0x7f) * 2 ** (7 * k), 0);
  expect([length, all.slice(0, 5).map((byte) => byte >> 7)]).toEqual([n, [1, 1, 1, 1, 0]]);
  expect(all.slice(5)).toEqual([...content]);
});

it('passes addresses up to 4 GiB and every double', () => {
  const doubles = [0, -0, NaN, Infinity, -Infinity, 5e-324, 0.1, -1e300];
  const places = [0, 64, 2 ** 31 - 64, 2 ** 31, 2 ** 32 - 64];
  const items = doubles.flatMap((x) => places.map((at) => call('fill', at, x, 7)));
  expect(callsOf(wasmProgram, items)).toEqual(
    items.map((item) => 'call' in item && ['fill', ...item.call.args]),
  );
});

/** Arguments of a kernel. */
const argsOf = (kernel: KernelName): fc.Arbitrary<number[]> =>
  fc.tuple(
    ...[...table[kernel].sig].map((letter) =>
      letter === 's' ? fc.double() : fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    ),
  );
const stepsOf = (kernel: KernelName): fc.Arbitrary<number[]> =>
  fc.tuple(
    ...[...table[kernel].sig].map((letter) =>
      letter === 's' ? fc.constant(0) : fc.integer({ min: 0, max: 2 ** 20 }),
    ),
  );
const kernels = fc.constantFrom<KernelName>('add', 'fill', 'relu', 'attention', 'adamStep');
const calls = kernels.chain((kernel) => argsOf(kernel).map((args) => ({ kernel, args })));
const strip = kernels.chain((kernel) =>
  fc
    .tuple(argsOf(kernel), stepsOf(kernel), argsOf(kernel))
    .map(([args, steps, last]) => ({ kernel, args, steps, last, workers: args.map(() => 0) })),
);
const item: fc.Arbitrary<Item> = fc
  .tuple(
    fc.integer({ min: 0, max: 1 }),
    fc.oneof(
      calls.map((one) => ({ call: one })),
      fc.record({
        strips: fc.integer({ min: 1, max: 5 }),
        body: fc.array(strip, { minLength: 1, maxLength: 3 }),
      }),
    ),
  )
  .map(([part, what]) => ({ part, index: 0, ...what }));

it('makes the calls of the plain loop, strips and parts among them', () => {
  const seed = Number(process.env['THALWEG_TEST_SEED'] ?? 1);
  fc.assert(
    fc.property(fc.array(item, { maxLength: 12 }), (items) => {
      for (const part of [0, 1, 2])
        expect(callsOf(wasmProgram, items, part)).toEqual(callsOf(loopProgram, items, part));
    }),
    { seed },
  );
});

it('keeps the order over several functions', () => {
  const items = Array.from({ length: 3000 }, (_, k) => call('fill', k, k / 8, 1));
  expect(callsOf(wasmProgram, items)).toEqual(callsOf(loopProgram, items));
});

it('links every kernel, with the types that its row promises', () => {
  const items = kernelNames.map((kernel) => call(kernel, ...Array.from(table[kernel].sig, () => 1)));
  // Exports, all of them: functions of JavaScript would take any type.
  for (const { call } of items as { call: Call }[])
    expect(String(exported(call.kernel))).toContain('native code');
  expect(() => wasmProgram(items, exported)).not.toThrow();
});

it('refuses an export of other types', () => {
  expect(() => wasmProgram([call('fill', 0, 0, 0)], () => kernelAlone(engine, 'relu'))).toThrow(/fill/);
});

/** Programs that put into z what a chain of kernels makes of x, strip by strip or whole. */
function chain(copies: number): {
  whole: Item[];
  cut: Item[];
  run: (make: () => Program) => Float32Array;
} {
  const [n, width] = [1000, 96];
  const strips = Math.ceil(n / width);
  const [x, y, z, cell] = [n, copies * n, n, 1].map((length) => heap.allocate(length * 4)) as [
    number,
    number,
    number,
    number,
  ];
  const at = (offset: number, length = n): Float32Array => heap.f32.subarray(offset / 4, offset / 4 + length);
  const rows: readonly (readonly [KernelName, (from: number, n: number) => number[]])[] = [
    ['tanh', (from, n) => [y, x + from, n]],
    ['scale', (_from, n) => [y, cell, n]],
    ['accumulate', (from, n) => [z + from, y, n]],
  ];
  const whole = rows.map(([kernel, args], index): Item => ({
    part: 0,
    index,
    call: { kernel, args: args(0, n) },
  }));
  const body = rows.map(([kernel, args]) => ({
    kernel,
    args: args(0, width),
    steps: args(4 * width, 0).map((next, k) => next - args(0, 0)[k]!),
    last: args(0, n - (strips - 1) * width),
    workers: args(0, 0).map((arg) => (arg === y ? 4 * n : 0)),
  }));
  return {
    whole,
    cut: [{ part: 0, index: 0, strips, body }],
    run: (make) => {
      at(cell, 1)[0] = 0.3;
      at(x).set(numbers(n, 1));
      at(y, copies * n).fill(NaN);
      at(z).set(numbers(n, 2));
      const program = make();
      program.run(0);
      const result = at(z).slice();
      const times = new Float64Array(3);
      program.time(0, times);
      expect(times[0]).toBeGreaterThan(0);
      program.release();
      return result;
    },
  };
}

it('runs kernels: launches, and strips with a shorter last one', () => {
  const { whole, cut, run } = chain(1);
  expect(run(() => wasmProgram(cut, exported))).toEqual(run(() => wasmProgram(whole, exported)));
});

describe('strips on several threads', () => {
  const usual = { ...limits };
  const threads = wasmThreads();
  const pool = enginePool(engine)!;
  afterAll(async () => {
    Object.assign(limits, usual);
    setWasmThreads(threads);
    await Promise.all(pool.started.map((worker) => worker.terminate()));
  });

  it('give the same bits, and programs that were released give their code back', () => {
    Object.assign(limits, { work: 0, wake: 0 });
    setWasmThreads(3);
    pool.start(2);
    pool.awaitReady(2);
    for (const threads of [1, 2, 3]) {
      const { whole, cut, run } = chain(threads);
      const expected = run(() => wasmProgram(whole, exported));
      const used = heap.used;
      // Each has code of its own, more often than not at the same place.
      for (let k = 0; k < 100; k++)
        expect(run(() => wasmProgram(cut, exported, { engine, threads }))).toEqual(expected);
      // Calls that are shared one by one.
      expect(run(() => wasmProgram(whole, exported, { engine, threads }))).toEqual(expected);
      expect(heap.used).toBe(used);
    }
  });
});
