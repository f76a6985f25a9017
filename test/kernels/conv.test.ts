// Convolutions beyond what their rows' cases say: an image's outputs do not depend on the images beside it, and the
// error stays where the shorter sums of Winograd's algorithm put it.
import { afterAll, describe, expect, it } from 'vitest';
import { activeAddon } from '../../src/kernels/launch.js';
import type { Engine } from '../../src/kernels/reference.js';
import { wasmBuilds, wasmEngine } from '../../src/kernels/wasm.js';
import { heap } from '../../src/memory/heap.js';
import { generator, SEED } from '../support/random.js';

const native = activeAddon();
const before = native && { isa: native.addon.isa(), threads: native.addon.threads() };
afterAll(() => {
  native?.addon.setIsa(before!.isa);
  native?.addon.setThreads(before!.threads);
});

const engines: { label: string; get: () => Engine }[] = [
  ...wasmBuilds().map((build) => ({ label: `wasm ${build}`, get: () => wasmEngine(build) })),
  ...(native?.addon.isas() ?? []).map((isa) => ({
    label: `native ${isa}`,
    get: (): Engine => {
      native!.addon.setIsa(isa);
      return native!.engine;
    },
  })),
];

interface Shape {
  c: number;
  h: number;
  w: number;
  k: number;
}
const SHAPES: [string, Shape][] = [
  ['few channels', { c: 3, h: 9, w: 10, k: 5 }],
  ['tiles that end with an image', { c: 20, h: 8, w: 8, k: 24 }],
  ['tiles that run on into the next', { c: 32, h: 7, w: 9, k: 32 }],
  ['images larger than a block', { c: 17, h: 50, w: 46, k: 18 }],
];
const IMAGES = 3;

/** Offsets of arrays of random numbers, and a way to read and release them. */
function arrays(...lengths: number[]): { at: number[]; read: (k: number) => Float32Array; free: () => void } {
  const random = generator(SEED);
  const at = lengths.map((n) => heap.allocate(n * 4));
  at.forEach((offset, k) => {
    for (let i = 0; i < lengths[k]!; i++) heap.f32[offset / 4 + i] = 2 * random() - 1;
  });
  return {
    at,
    read: (k) => heap.f32.slice(at[k]! / 4, at[k]! / 4 + lengths[k]!),
    free: () => at.forEach((offset) => heap.release(offset)),
  };
}

const numbers = (n: number, { c, h, w, k }: Shape): number[] => [n, c, h, w, k, 3, 3, 1, 1, 1, 1, 1, 1, 1];

describe.each(engines)('convolution on $label (seed ' + SEED + ')', ({ get }) => {
  it.each(SHAPES)('an image is convolved alike alone and among others: %s', (_, shape) => {
    const engine = get();
    const [x, y] = [shape.c * shape.h * shape.w, shape.k * shape.h * shape.w];
    const m = arrays(IMAGES * y, IMAGES * x, shape.k * shape.c * 9, IMAGES * x);
    const [out, image, weight, back] = m.at as [number, number, number, number];
    engine.conv2d(out, image, weight, 0, 0, ...numbers(IMAGES, shape), 0);
    engine.conv2dGradInput(back, out, weight, ...numbers(IMAGES, shape));
    const [outs, backs] = [m.read(0), m.read(3)];
    for (let i = 0; i < IMAGES; i++) {
      engine.conv2dGradInput(back + i * x * 4, out + i * y * 4, weight, ...numbers(1, shape));
      engine.conv2d(out + i * y * 4, image + i * x * 4, weight, 0, 0, ...numbers(1, shape), 0);
    }
    expect(m.read(0)).toEqual(outs);
    expect(m.read(3)).toEqual(backs);
    m.free();
  });

  it('64 channels at 32 × 32 stay within a root mean square error of 6e-7 of that of the outputs', () => {
    const shape = { c: 64, h: 32, w: 32, k: 64 };
    const m = arrays(64 * 1024, 64 * 1024, 64 * 64 * 9);
    const [out, image, weight] = m.at as [number, number, number];
    get().conv2d(out, image, weight, 0, 0, ...numbers(1, shape), 0);
    const [y, x, w] = [m.read(0), m.read(1), m.read(2)];
    let [errors, squares] = [0, 0];
    for (let at = 0; at < y.length; at += 37) {
      const [k, i, j] = [Math.floor(at / 1024), Math.floor(at / 32) % 32, at % 32];
      let sum = 0;
      for (let c = 0; c < 64; c++)
        for (let r = Math.max(0, 1 - i); r < Math.min(3, 33 - i); r++)
          for (let s = Math.max(0, 1 - j); s < Math.min(3, 33 - j); s++)
            sum += x[(c * 32 + i + r - 1) * 32 + j + s - 1]! * w[((k * 64 + c) * 3 + r) * 3 + s]!;
      errors += (y[at]! - sum) ** 2;
      squares += sum ** 2;
    }
    expect(Math.sqrt(errors / squares)).toBeLessThan(6e-7);
    m.free();
  });
});
