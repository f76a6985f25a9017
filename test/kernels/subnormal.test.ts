// Numbers below the normal range: a processor takes a hundred times as long over them, and nets that have learnt their data
// are full of them. Updates keep state and squares out of that range, alike on every engine; products of the native engine
// take them as 0.
import { describe, expect, it } from 'vitest';
import { activeAddon } from '../../src/kernels/launch.js';
import { referenceEngine, type Engine } from '../../src/kernels/reference.js';
import type { KernelCase } from '../../src/kernels/row.js';
import { kernelNames, table, type KernelName } from '../../src/kernels/table.js';
import { heap } from '../../src/memory/heap.js';
import { candidates } from '../support/engines.js';
import { memoryAfter, prepare, type Prepared } from '../support/kernelCase.js';
import { generator, seedOf } from '../support/random.js';

const SMALLEST = 2 ** -126;
const updates = kernelNames.filter((name) => name.endsWith('Step'));
const isSubnormal = (x: number): boolean => x !== 0 && Math.abs(x) < SMALLEST;

/** A case with gradients and state of every magnitude that float32 has below 1. */
function tiny(name: KernelName, test: KernelCase): Prepared {
  const prepared = prepare(name, test);
  const random = generator(seedOf(`tiny ${name}`));
  const magnitude = (): number => 2 ** (-149 + 149 * random());
  for (const [k, { letter, start, length }] of prepared.buffers.entries()) {
    if (k === 0 || (letter !== 'i' && letter !== 'u')) continue;
    for (let j = start; j < start + length; j++) {
      // Second moments are positive, and no state is subnormal before a step either.
      const x = magnitude();
      prepared.image[j] = letter === 'i' ? (random() < 0.5 ? -x : x) : x < SMALLEST ? 0 : x;
    }
  }
  return prepared;
}

const bits = (memory: Float32Array, start: number, length: number): Uint32Array =>
  new Uint32Array(memory.buffer, 4 * start, length);

const casesOf = (name: KernelName): KernelCase[] => table[name].cases.filter(({ args }) => args[0] === 1000);

describe.each(updates)('%s', (name) => {
  it.each(candidates())(
    'keeps state out of the subnormal range, with the same bits: $label',
    ({ engine }) => {
      expect(casesOf(name).length).toBeGreaterThan(0);
      for (const test of casesOf(name)) {
        const prepared = tiny(name, test);
        const want = memoryAfter(referenceEngine(), prepared);
        const got = memoryAfter(engine(), prepared);
        // Sums in double, as SWATS's, have a bound of their own.
        for (const [k, { letter, start, length, absent }] of prepared.buffers.entries()) {
          if (letter !== 'u' || absent) continue;
          expect(bits(got, start, length)).toEqual(bits(want, start, length));
          if (k > 0) expect([...got.subarray(start, start + length)].filter(isSubnormal)).toEqual([]);
        }
      }
    },
  );
});

describe.runIf(activeAddon())('native products', () => {
  const native = candidates().filter(({ label }) => label.startsWith('native'));

  /** What `run` leaves in `n` elements behind its pointer. */
  function output(n: number, run: (at: number) => void): Float32Array {
    const at = heap.allocate(4 * n);
    try {
      run(at);
      return heap.f32.slice(at / 4, at / 4 + n);
    } finally {
      heap.release(at);
    }
  }

  function filled(n: number, value: number): number {
    const at = heap.allocate(4 * n);
    heap.f32.fill(value, at / 4, at / 4 + n);
    return at;
  }

  const product = (engine: Engine, n: number, value: number): Float32Array => {
    const [a, b] = [filled(n * n, value), filled(n * n, 1)];
    const c = output(n * n, (at) => engine.matmul(at, a, b, 0, 0, 1, n, n, n, 0, 0, n, n, n, 0, 0, 0, 0));
    heap.release(a);
    heap.release(b);
    return c;
  };

  it.each(native)('take subnormal numbers as 0 in every thread, and nothing else: $label', ({ engine }) => {
    const on = engine();
    // Large enough for two threads.
    const n = 128;
    expect(new Set(product(on, n, 2 ** -130))).toEqual(new Set([0]));
    expect(new Set(product(on, n, 2 ** -126))).toEqual(new Set([2 ** -119]));
    // Afterwards every thread has subnormal numbers again.
    const many = 300_000;
    const x = filled(many, 2 ** -130);
    const y = output(many, (at) => on.neg(at, x, many));
    heap.release(x);
    expect(y.every((v) => v === -(2 ** -130))).toBe(true);
  });
});
