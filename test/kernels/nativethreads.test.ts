// Threads of the native engine: the bits of no row depend on their number, and every row's large calls are shared.
import { afterAll, describe, expect, it } from 'vitest';
import { activeAddon } from '../../src/kernels/launch.js';
import type { KernelCase } from '../../src/kernels/row.js';
import { kernelNames, table, type KernelName } from '../../src/kernels/table.js';
import { restoreIsa } from '../support/engines.js';
import { memoryAfter, prepare, type Prepared } from '../support/kernelCase.js';
import { largeCases } from '../support/large.js';

const native = activeAddon();
const threads = native?.addon.threads();
const rows = native ? kernelNames.filter((name) => !native.missing.includes(name)) : [];

/** Memory after a call with so many threads, and how many of its jobs had more than one. */
function run(test: Prepared, n: number): { memory: Buffer; shared: number } {
  const { engine, addon } = native!;
  addon.setThreads(n);
  const before = addon.jobs();
  const memory = Buffer.from(memoryAfter(engine, test).buffer);
  return { memory, shared: addon.jobs() - before };
}

/** Compares the bits of a call on every instruction set; `large`: it must be worth two threads. */
function check(name: KernelName, test: KernelCase, skew: number, large: boolean): void {
  const prepared = prepare(name, test, skew);
  for (const isa of native!.addon.isas()) {
    native!.addon.setIsa(isa);
    const alone = run(prepared, 1).memory;
    for (const n of [2, 3]) {
      const { memory, shared } = run(prepared, n);
      const call = `${name}(${test.args.join(', ')}) on ${isa} with ${n} threads`;
      expect(memory.equals(alone), `${call} gives the same bits as with one`).toBe(true);
      if (large) expect(shared, `${call} is alone: enlarge it in test/support/large.ts`).toBeGreaterThan(0);
    }
  }
}

describe.skipIf(!native)('threads of the native engine', () => {
  afterAll(() => {
    native!.addon.setThreads(threads!);
    restoreIsa();
  });

  it.each(rows)('%s gives the same bits with one, two and three threads', (name) => {
    for (const test of table[name].cases) for (const skew of [0, 1]) check(name, test, skew, false);
  });

  it.each(rows)('%s shares large calls, which give the same bits', (name) => {
    const large = largeCases(name);
    expect(large.length, `${name} has no large calls; add some to test/support/large.ts`).toBeGreaterThan(0);
    for (const test of large) check(name, test, 1, true);
  });
});
