// What the cases of the kernel table do not reach: special values and ties in reductions, at lengths that end in every part of
// the engines' loops, and the error of long sums.
import { afterAll, describe, expect, it } from 'vitest';
import type { Engine } from '../../src/kernels/reference.js';
import { table } from '../../src/kernels/table.js';
import { heap } from '../../src/memory/heap.js';
import { candidates, restoreIsa } from '../support/engines.js';
import { generator, SEED, seedOf } from '../support/random.js';

afterAll(restoreIsa);

const EXTREMES = ['max', 'min', 'argmax', 'argmin'] as const;

/** [outer, n, inner]: runs as short as a lane and as long as several leaves, and columns in blocks and behind them. */
const SHAPES: [number, number, number][] = [
  ...[1, 3, 16, 65, 130, 1000, 8192, 8193, 70001].map((n): [number, number, number] => [1, n, 1]),
  [5, 37, 1],
  [3, 9000, 1],
  [1, 4, 3],
  [2, 9, 77],
  [1, 700, 130],
];

const { NaN: nan, POSITIVE_INFINITY: inf, NEGATIVE_INFINITY: ninf } = Number;

/** Inputs of a length: the same number everywhere; few different ones; NaN at some places; infinities. */
function inputs(n: number): Float32Array[] {
  const random = generator(seedOf(`extremes ${n}`));
  const few = Float32Array.from({ length: n }, () => Math.floor(random() * 5) - 2);
  const at = [0, n - 1, n >> 1, Math.floor(random() * n)];
  const placed = (value: number): Float32Array[] =>
    at.map((k) => few.map((x, j) => (j === k || j === k + 70 ? value : x)));
  return [new Float32Array(n).fill(ninf), new Float32Array(n).fill(inf), few, ...placed(nan), ...placed(inf)];
}

/** A kernel's output on an engine and by its formula. */
function both(engine: Engine, name: (typeof EXTREMES)[number], x: Float32Array, shape: number[]): number[][] {
  const outputs = shape[0]! * shape[2]!;
  const at = heap.allocate(4 * (outputs + x.length));
  heap.f32.set(x, at / 4 + outputs);
  engine[name](at, at + 4 * outputs, ...shape);
  const got = [...heap.f32.subarray(at / 4, at / 4 + outputs)];
  heap.release(at);
  const f = new Float32Array(outputs + x.length);
  f.set(x, outputs);
  table[name].ref(
    { f, i: new Int32Array(0), u: new Uint32Array(0), round: Math.fround },
    0,
    outputs,
    ...shape,
  );
  // Which of two zeros is the larger one is not promised.
  return [got, [...f.subarray(0, outputs)]].map((values) => values.map((y) => y + 0));
}

/** Σ of `n` terms by Kahan. */
function exactly(n: number, term: (k: number) => number): number {
  let [sum, lost] = [0, 0];
  for (let k = 0; k < n; k++) {
    const y = term(k) - lost;
    const next = sum + y;
    lost = next - sum - y;
    sum = next;
  }
  return sum;
}

/** Bits of the sums by engine and instruction set: no number of threads may change them. */
const bitsOf = new Map<string, number[]>();

for (const { label, engine: get } of candidates())
  describe(`reductions on ${label} (seed ${SEED})`, () => {
    it.each(EXTREMES)('%s finds NaN first, and among equals the first', (name) => {
      const engine = get();
      for (const shape of SHAPES)
        for (const [k, x] of inputs(shape[0] * shape[1] * shape[2]).entries()) {
          const [got, want] = both(engine, name, x, shape);
          expect(got, `${name}(${shape.join()}) of input ${k}`).toEqual(want);
        }
    });

    it('sums of a million numbers are as near as the rows say', () => {
      const engine = get();
      const n = 1_000_003;
      const random = generator(seedOf('sums'));
      const at = heap.allocate(4 * (2 * n + 2));
      const [a, b] = [0, 1].map((k) => heap.f32.subarray(at / 4 + 2 + k * n, at / 4 + 2 + (k + 1) * n));
      for (const x of [a!, b!])
        for (let k = 0; k < n; k++) x[k] = (random() - 0.3) * 10 ** (6 * random() - 3);
      const [out, second] = [at / 4, at + 4 * (2 + n)];
      const bits: number[] = [];
      const size = exactly(n, (k) => Math.abs(a![k]!));

      engine.sum(at, at + 8, 1, n, 1);
      const allowed = label.startsWith('wasm') ? 2 ** -16 : 2 ** -22;
      expect(Math.abs(heap.f32[out]! - exactly(n, (k) => a![k]!))).toBeLessThan(allowed * size);
      bits.push(heap.u32[out]!);
      const pair = (): number => {
        bits.push(heap.u32[out]!, heap.u32[out + 1]!);
        return heap.f32[out]! + heap.f32[out + 1]!;
      };
      engine.dot(at, at + 8, second, n);
      const dot = exactly(n, (k) => a![k]! * b![k]!);
      expect(Math.abs(pair() / dot - 1)).toBeLessThan(1e-12);
      engine.norm2(at, at + 8, n);
      const norm = Math.sqrt(exactly(n, (k) => a![k]! ** 2));
      expect(Math.abs(pair() / norm - 1)).toBeLessThan(1e-12);
      heap.release(at);

      const kind = label.split(',')[0]!;
      expect(bitsOf.get(kind) ?? bits).toEqual(bits);
      bitsOf.set(kind, bits);
    });
  });
