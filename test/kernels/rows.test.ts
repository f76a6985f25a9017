// Every row of the kernel table, on every engine and instruction set that this machine has, against the row's formula.
import { afterAll, describe, expect, it } from 'vitest';
import { backend } from '../../src/kernels/launch.js';
import { kernelNames, table } from '../../src/kernels/table.js';
import { heap } from '../../src/memory/heap.js';
import { candidates, restoreIsa } from '../support/engines.js';
import { runCase } from '../support/kernelCase.js';
import { SEED } from '../support/random.js';

afterAll(restoreIsa);

const show = (name: string, args: number[]): string => `${name}(${args.join(', ')})`;

for (const { label, engine: get } of candidates())
  describe(`kernels on ${label} (seed ${SEED}, best engine ${backend.name})`, () => {
    const engine = get();
    it.each(kernelNames)(
      '%s agrees with its formula in every case, aligned or not, and touches nothing else',
      (name) => {
        get();
        for (const test of table[name].cases)
          for (const skew of [0, 1]) {
            const { worst, where } = runCase(engine, name, test, skew);
            expect(worst, `${show(name, test.args)} skew ${skew}: ${where}`).toBeLessThanOrEqual(1);
          }
      },
    );

    const inPlace = kernelNames.filter((name) => table[name].inPlace);
    it.each(inPlace)('%s may write over its first input', (name) => {
      get();
      for (const test of table[name].cases) {
        const [out, first] = table[name].extents(...test.args);
        if (out !== first) continue;
        const { worst, where } = runCase(engine, name, test, 0, true);
        expect(worst, `${show(name, test.args)}: ${where}`).toBeLessThanOrEqual(1);
      }
    });

    const special = kernelNames.filter((name) => table[name].special);
    it.each(special)('%s gives its stated special values, in the body and in the tail of a loop', (name) => {
      get();
      const n = 33;
      const offset = heap.allocate(n * 4);
      for (const [x, y] of table[name].special!) {
        heap.f32.fill(x, offset / 4, offset / 4 + n);
        engine[name](offset, offset, n);
        for (const at of [0, n - 1]) {
          const got = heap.f32[offset / 4 + at]!;
          const close = y === 0 || !Number.isFinite(y) ? y : expect.closeTo(Math.fround(y), 6);
          expect(got + 0, `${name}(${x}) at ${at}`).toEqual(typeof close === 'number' ? close + 0 : close);
        }
      }
      heap.release(offset);
    });
  });
