// Zeros of both signs, infinities, NaN, subnormal and the largest numbers, each beside each, on every engine: exact rows give
// the bits of their formulas, and functions of one number stay within their bounds.
import { afterAll, describe, expect, it } from 'vitest';
import { referenceEngine, type Engine } from '../../src/kernels/reference.js';
import type { KernelCase } from '../../src/kernels/row.js';
import { kernelNames, table, type KernelName } from '../../src/kernels/table.js';
import { heap } from '../../src/memory/heap.js';
import { candidates, restoreIsa } from '../support/engines.js';
import { memoryAfter, prepare, ulpOf, type Prepared } from '../support/kernelCase.js';
import { generator, SEED, seedOf } from '../support/random.js';

afterAll(restoreIsa);

const [LARGEST, NORMAL, LEAST] = [2 ** 128 - 2 ** 104, 2 ** -126, 2 ** -149];
const POSITIVE = [
  0,
  LEAST,
  2 ** -127,
  NORMAL,
  2 ** -24,
  0.5,
  1,
  1 + 2 ** -23,
  3,
  88,
  10_001,
  2 ** 24,
  1e10,
  LARGEST,
  Infinity,
];
const SPECIAL = [...POSITIVE, ...POSITIVE.map((x) => -x), NaN];

/** A case whose reals are special numbers, drawn by chance. */
function special(name: KernelName, test: KernelCase): Prepared {
  const prepared = prepare(name, test);
  const random = generator(seedOf(`special ${name} ${test.args.join()}`));
  for (const { letter, start, length, absent } of prepared.buffers)
    if (!absent && (letter === 'i' || letter === 'u'))
      for (let k = start; k < start + length; k++)
        prepared.image[k] = SPECIAL[Math.floor(random() * SPECIAL.length)]!;
  return prepared;
}

/** The numbers of what a call wrote, that of a NaN being any. */
function written({ name, buffers }: Prepared, memory: Float32Array): number[][] {
  const outputs = buffers.filter(({ letter, absent }) => 'oup'.includes(letter) && !absent);
  return outputs.map(({ letter, start, length }) => {
    const bits = new Int32Array(memory.buffer, 4 * start, length);
    const numbers = letter === 'p' ? [...bits] : [...memory.subarray(start, start + length)];
    return EITHER_ZERO.includes(name) ? numbers.map((x) => x + 0) : numbers;
  });
}

/** Of zeros of both signs they may give either (see their rows). */
const EITHER_ZERO: readonly KernelName[] = ['maximum', 'minimum'];
/** Results below the normal range may be 0, and in silu they are multiplied by x. */
const nothing = (name: KernelName): number => (name === 'silu' ? 2 ** 7 : 1) * 2 ** -126;

const exact = kernelNames.filter((name) => table[name].ulp === 0 && table[name].pairs === undefined);
const curves = kernelNames.filter(
  (name) => table[name].sig === 'oin' && table[name].ulp !== 0 && table[name].pairs === undefined,
);

/** f(x) for all special numbers. */
function values(engine: Engine, name: KernelName): number[] {
  const n = SPECIAL.length;
  const at = heap.allocate(8 * n);
  try {
    heap.f32.set(SPECIAL, at / 4);
    engine[name](at + 4 * n, at, n);
    return [...heap.f32.subarray(at / 4 + n, at / 4 + 2 * n)];
  } finally {
    heap.release(at);
  }
}

describe.each(candidates())(`special numbers on $label (seed ${SEED})`, ({ engine }) => {
  it.each(exact)('%s gives the bits of its formula', (name) => {
    for (const test of table[name].cases) {
      const prepared = special(name, test);
      const got = written(prepared, memoryAfter(engine(), prepared));
      const want = written(prepared, memoryAfter(referenceEngine(), prepared));
      expect(got, `${name}(${test.args.join()})`).toEqual(want);
    }
  });

  it.each(curves)('%s stays within its bound', (name) => {
    const { ulp = 0, tolerance = 0 } = table[name];
    const f = {
      f: new Float64Array([...SPECIAL, ...SPECIAL]),
      i: new Int32Array(),
      u: new Uint32Array(),
      round: (x: number) => x,
    };
    table[name].ref(f, SPECIAL.length, 0, SPECIAL.length);
    values(engine(), name).forEach((got, k) => {
      const [x, want] = [SPECIAL[k]!, f.f[SPECIAL.length + k]!];
      const says = `${name}(${x}) is ${got}, want ${want}`;
      if (!Number.isFinite(Math.fround(want))) return expect(got, says).toBe(Math.fround(want));
      expect(Math.abs(got - want), says).toBeLessThanOrEqual(
        ulp * ulpOf(want) + tolerance * Math.max(1, Math.abs(want)) + nothing(name),
      );
    });
  });
});
