// Square roots over all of float32: an engine may compute them without the divider, but not round them otherwise.
import { afterAll, describe, expect, it } from 'vitest';
import { heap } from '../../src/memory/heap.js';
import { candidates, restoreIsa } from '../support/engines.js';

afterAll(restoreIsa);

const N = 1 << 20;
/** Steps through the bits of a float32: odd, so that every lane meets every exponent, and mantissas of all sorts. */
const STRIDE = 4093;

for (const { label, engine: get } of candidates())
  describe(`square roots on ${label}`, () => {
    it.each(['sqrt', 'rsqrt'] as const)('%s is rounded correctly, for numbers of every size', (name) => {
      const engine = get();
      const at = heap.allocate(8 * N);
      const [x, y] = [heap.f32.subarray(at / 4, at / 4 + N), heap.f32.subarray(at / 4 + N, at / 4 + 2 * N)];
      for (let k = 0; k < N; k++) heap.u32[at / 4 + k] = k * STRIDE;
      engine[name](at + 4 * N, at, N);
      let wrong: number | undefined;
      for (let k = 0; k < N; k++) {
        const root = Math.fround(Math.sqrt(x[k]!));
        const want = name === 'sqrt' ? root : Math.fround(1 / root);
        if (!Object.is(y[k], want)) wrong ??= x[k];
      }
      heap.release(at);
      expect(wrong).toBeUndefined();
    });
  });
