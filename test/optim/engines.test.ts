// An update gives the same bits on the engine in use as on the reference, whatever the sizes and the tape in between.
import { afterEach, describe, expect, it } from 'vitest';
import { backend, tensor, type Tensor } from '../../src/index.js';
import type { BackendName } from '../../src/index.js';
import { bitsOf, build, CONFIGURATIONS, parameters, run, type Options, type RuleName } from './support.js';

const inUse = backend.name;
afterEach(() => backend.use(inUse));

const SIZES = [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 67];

/** Bits of parameters and state after some steps on `engine`. */
function bits(engine: BackendName, rule: RuleName, options: Options): number[][] {
  backend.use(engine);
  const params = parameters(
    7,
    SIZES.map((n) => [n]),
  );
  const opt = build(rule, params, options);
  run(opt, params, 12);
  // A late parameter splits the group into several launches, at odd offsets.
  params[4]!.grad = null;
  opt.step();
  run(opt, params, 3, 50);
  const arrays = Object.values(opt.stateDict().state).flatMap(({ arrays }) => Object.values(arrays));
  return bitsOf([...params, ...arrays.map((a): Tensor => tensor(a))]);
}

describe(`The ${inUse} engine`, () => {
  it.each(CONFIGURATIONS)('updates %s to the bit as the reference does', (_title, rule, options) =>
    expect(bits(inUse, rule, options)).toEqual(bits('reference', rule, options)),
  );

  it('leaves the gaps between parameters at zero, even with decay and ascent', () => {
    for (const [, rule, options] of CONFIGURATIONS) {
      const params = parameters(3, [[1], [17]]);
      const opt = build(rule, params, { ...options, maximize: true, weightDecay: 0.1 });
      run(opt, params, 5);
      const gap = new Float32Array(
        params[0]!.storage.values().buffer as ArrayBuffer,
        params[0]!.storage.offset + 4,
        15,
      );
      expect(
        Array.from(gap).every((v) => v === 0),
        rule,
      ).toBe(true);
    }
  });
});
