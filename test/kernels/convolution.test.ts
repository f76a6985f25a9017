// Convolutions beyond the cases of their rows: an image's bits are its own, whatever batch it stands in, and sums over hundreds
// of channels stay as close to float64 as those of a plain loop in float32.
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { Engine } from '../../src/kernels/reference.js';
import { table } from '../../src/kernels/table.js';
import { heap } from '../../src/memory/heap.js';
import { candidates, restoreIsa } from '../support/engines.js';
import { generator } from '../support/random.js';

const engines = candidates().filter(({ label }) => label !== 'reference');
afterAll(restoreIsa);

type Kernel = 'conv2d' | 'conv2dGradInput' | 'conv2dGradWeight';

/** Runs a kernel on inputs drawn from [-1, 1]; `inputs` of an earlier call are taken as they are. */
function run(
  engine: Engine,
  name: Kernel,
  numbers: number[],
  inputs?: Float32Array[],
): { out: Float32Array; inputs: Float32Array[] } {
  const sizes = table[name].extents(...numbers);
  const places = sizes.map((size) => heap.allocate(Math.max(4, size * 4)));
  const random = generator(7);
  const given =
    inputs ?? sizes.slice(1).map((size) => Float32Array.from({ length: size }, () => 2 * random() - 1));
  given.forEach((values, k) => heap.f32.set(values, places[k + 1]! / 4));
  engine[name](...places, ...numbers);
  const out = heap.f32.slice(places[0]! / 4, places[0]! / 4 + sizes[0]!);
  places.forEach((place) => heap.release(place));
  return { out, inputs: given };
}

/** n, c, h, w, k and so on; images of one tile and less, of odd sizes, and of several blocks of tiles. */
const BATCHES = [
  [5, 16, 7, 7, 20, 3, 3, 1, 1, 1, 1, 1, 1, 1],
  [9, 32, 1, 1, 32, 3, 3, 1, 1, 1, 1, 1, 1, 1],
  [17, 20, 4, 5, 33, 3, 3, 1, 1, 0, 2, 1, 1, 1],
  [3, 16, 30, 27, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1],
  [3, 32, 9, 9, 32, 3, 3, 1, 1, 1, 1, 1, 1, 2],
  [3, 8, 12, 12, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1],
  [4, 16, 9, 9, 16, 3, 3, 2, 2, 1, 1, 1, 1, 1],
  [3, 3, 12, 9, 33, 5, 5, 1, 1, 2, 2, 1, 1, 1],
  [2, 10, 11, 13, 14, 3, 2, 2, 3, 1, 2, 2, 1, 2],
  [3, 4, 9, 11, 4, 3, 3, 1, 1, 1, 1, 1, 1, 4],
  [3, 4, 8, 18, 4, 3, 3, 2, 2, 1, 1, 1, 1, 4],
  [3, 4, 14, 14, 4, 5, 5, 1, 1, 2, 2, 1, 1, 4],
  [3, 4, 13, 15, 8, 5, 5, 2, 2, 2, 2, 1, 1, 4],
];
/** Hundreds of channels: weights and images in several blocks; and an image whose gradient goes by in pieces. */
const DEEP = [
  [2, 272, 6, 5, 24, 3, 3, 1, 1, 1, 1, 1, 1, 1],
  [1, 100, 8, 8, 420, 3, 3, 1, 1, 1, 1, 1, 1, 1],
  [1, 4, 9, 11, 40, 5, 5, 1, 1, 2, 2, 1, 1, 1],
  [1, 660, 4, 4, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1],
  [1, 1, 130, 130, 72, 3, 3, 2, 2, 1, 1, 1, 1, 1],
];

describe.each(engines)('convolutions on $label', ({ engine: get }) => {
  const engine = get();
  beforeEach(() => void get());

  it.each(BATCHES)(
    'gives an image the same bits alone and in a batch: %i x %i x %i x %i to %i',
    (...numbers) => {
      const [n] = numbers as [number];
      for (const name of ['conv2d', 'conv2dGradInput'] as const) {
        const args = name === 'conv2d' ? [...numbers, 1] : numbers;
        const { out, inputs } = run(engine, name, args);
        const sizes = table[name].extents(...args);
        const one = table[name].extents(1, ...args.slice(1));
        for (let q = 0; q < n; q++) {
          // What grows with the batch is cut; weights and biases are not.
          const own = inputs.map((values, k) =>
            one[k + 1] === sizes[k + 1] ? values : values.slice(q * one[k + 1]!, (q + 1) * one[k + 1]!),
          );
          const alone = run(engine, name, [1, ...args.slice(1)], own).out;
          const same = alone.every((x, k) => Object.is(x, out[q * one[0]! + k]));
          expect(same, `${name}, image ${q}`).toBe(true);
        }
      }
    },
  );

  it.each(DEEP)('is as accurate with many channels: %i x %i x %i x %i to %i', (...numbers) => {
    for (const name of ['conv2d', 'conv2dGradInput', 'conv2dGradWeight'] as const) {
      const args = name === 'conv2d' ? [...numbers, 0] : numbers;
      const { out, inputs } = run(engine, name, args);
      const want = reference(name, args, inputs);
      const scale = Math.sqrt(want.reduce((sum, x) => sum + x * x, 0) / want.length);
      const worst = want.reduce((most, x, k) => Math.max(most, Math.abs(x - out[k]!)), 0);
      expect(worst / scale, name).toBeLessThan(1e-5);
    }
  });
});

/** The row's formula in float64. */
function reference(name: Kernel, numbers: number[], inputs: Float32Array[]): Float64Array {
  const sizes = table[name].extents(...numbers);
  const starts = sizes.map((_, k) => sizes.slice(0, k).reduce((sum, size) => sum + size, 1));
  const f = new Float64Array(starts.at(-1)! + sizes.at(-1)!);
  inputs.forEach((values, k) => f.set(values, starts[k + 1]));
  table[name].ref({ f, i: new Int32Array(), u: new Uint32Array(), round: (x) => x }, ...starts, ...numbers);
  return f.slice(1, 1 + sizes[0]!);
}
