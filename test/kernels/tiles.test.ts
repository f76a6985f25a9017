// The relaxed build's tiles: which one a processor's registers take changes no bit, so that one program gives one result
// under every Node.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Engine } from '../../src/kernels/reference.js';
import { table, type KernelName } from '../../src/kernels/table.js';
import { wasmBuilds } from '../../src/kernels/wasm.js';
import { heap } from '../../src/memory/heap.js';
import { wasm } from '../../src/memory/webassembly.js';
import { memoryAfter, prepare, type Prepared } from '../support/kernelCase.js';
import { largeCases } from '../support/large.js';

/** The kernels of an instance whose tile has at most so many rows. */
function engineOf(tallest: number): Engine {
  const module = new wasm.Module(readFileSync('build/wasm/relaxed.wasm'));
  const env = { memory: heap.memory, abort: () => undefined };
  return new wasm.Instance(module, { env, tall: { TALLEST: tallest } }).exports as unknown as Engine;
}

const rows: KernelName[] = ['sgemm', 'matmul', 'conv2d', 'conv2dGradInput', 'conv2dGradWeight'];

describe.runIf(wasmBuilds().includes('relaxed'))('tiles of the relaxed build', () => {
  it.each(rows)('%s gives the same bits with tiles of four and of six rows', (name) => {
    const [four, six] = [4, 6]
      .map(engineOf)
      .map((engine) => (test: Prepared) => Buffer.from(memoryAfter(engine, test).buffer));
    for (const test of [...table[name].cases, ...largeCases(name)]) {
      const prepared = prepare(name, test);
      expect(four!(prepared).equals(six!(prepared)), `${name}(${test.args.join(', ')})`).toBe(true);
    }
  });
});
