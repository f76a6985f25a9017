// Planned memory: buffers whose lives meet have places of their own, but where a kernel may work in place.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Graph } from '../../src/replay/graph.js';
import { planMemory } from '../../src/replay/memory.js';
import { SEED } from '../support/random.js';

describe('the memory plan', () => {
  /** A graph of copies from one buffer to another: by a kernel that may work in place, or by one that may not. */
  const chain = (
    pairs: [from: number, to: number][],
    bytes: number[],
    kernel: 'neg' | 'toIndex' = 'neg',
  ): Graph => ({
    instructions: pairs.map(([from, to], k) => ({
      kernel,
      args: [0, 0, Math.min(bytes[from]!, bytes[to]!) / 4],
      owners: [to, from, -2],
      origins: [k],
      part: 0,
    })),
    buffers: bytes.map((size) => ({ bytes: size, int: false, source: null, constant: null })),
    outputs: new Set([pairs.at(-1)![1]]),
  });

  it('lets buffers share memory whose lives do not meet, or meet in a kernel that works in place', () => {
    const pairs = [0, 1, 2, 3].map((k): [number, number] => [k, k + 1]);
    const bytes = [640, 640, 640, 640, 640];
    expect(planMemory(chain(pairs, bytes, 'toIndex'))).toMatchObject({ apart: 5 * 640, bytes: 2 * 640 });
    expect(planMemory(chain(pairs, bytes))).toMatchObject({ apart: 5 * 640, bytes: 640 });
  });

  it('works in place of nothing that is read besides, staged, or not the whole', () => {
    const inPlace = (graph: Graph): boolean => {
      const { offsets } = planMemory(graph);
      return offsets[0] === offsets[1];
    };
    const one = chain([[0, 1]], [640, 640]);
    const row = (args: number[], owners: number[]): Graph => ({
      ...one,
      instructions: [
        {
          kernel: 'sub',
          args: [0, 0, 0, ...args],
          owners: [...owners, ...Array<number>(9).fill(-2)],
          origins: [0],
          part: 0,
        },
      ],
    });
    expect(inPlace(one)).toBe(true);
    expect(inPlace({ ...one, outputs: new Set([0, 1]) })).toBe(false);
    const source = { from: 'live', value: () => [] } as const;
    expect(inPlace({ ...one, buffers: one.buffers.map((b, k) => (k === 0 ? { ...b, source } : b)) })).toBe(
      false,
    );
    expect(
      inPlace(
        chain(
          [
            [0, 1],
            [0, 1],
          ],
          [640, 640],
        ),
      ),
    ).toBe(false);
    expect(inPlace(chain([[0, 1]], [640, 704]))).toBe(false);
    expect(inPlace(row([1, 1, 160, 0, 0, 1, 0, 0, 1], [1, 0, 0]))).toBe(true);
    // Every row minus the first one of the same array.
    expect(inPlace(row([1, 10, 16, 0, 16, 1, 0, 0, 1], [1, 0, 0]))).toBe(false);
  });

  /** What each instruction reads, with buffers at these cells; NaN is what nothing has written. */
  function readings(pairs: [number, number][], bytes: number[], starts: readonly number[]): number[][] {
    const cells = new Float64Array(Math.max(...starts.map((at, k) => at + bytes[k]! / 4))).fill(NaN);
    return pairs.map(([from, to], k) => {
      const n = Math.min(bytes[from]!, bytes[to]!) / 4;
      const read = [...cells.subarray(starts[from]!, starts[from]! + n)];
      cells.set(
        read.map((_, j) => 1000 * k + j),
        starts[to]!,
      );
      return read;
    });
  }

  it.each(['neg', 'toIndex'] as const)('never gives two living buffers one place: %s', (kernel) => {
    const sizes = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 3, maxLength: 12 });
    const property = fc.property(
      sizes.chain((list) =>
        fc.tuple(
          fc.constant(list.map((n) => n * 64)),
          fc.array(fc.tuple(fc.nat(list.length - 1), fc.nat(list.length - 1)), {
            minLength: 1,
            maxLength: 30,
          }),
        ),
      ),
      ([bytes, pairs]) => {
        const { offsets, bytes: total } = planMemory(chain(pairs, bytes, kernel));
        offsets.forEach((at, k) => at >= 0 && expect(at + bytes[k]!).toBeLessThanOrEqual(total));
        const used = offsets.map((at) => Math.max(0, at) / 4);
        const apart = bytes.map((_, k) => bytes.slice(0, k).reduce((sum, n) => sum + n / 4, 0));
        // Reads the last output too.
        const all: [number, number][] = [...pairs, [pairs.at(-1)![1], pairs.at(-1)![1]]];
        const [here, there] = [readings(all, bytes, used), readings(all, bytes, apart)];
        there.forEach((read, k) => read.forEach((n, j) => n === n && expect(here[k]![j]).toBe(n)));
      },
    );
    fc.assert(property, { seed: SEED, numRuns: 300 });
  });
});
