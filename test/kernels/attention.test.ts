// What the row cases of attention do not reach: masks that hide everything, NaN, and scores that rise from tile to tile.
import { afterEach, describe, expect, it } from 'vitest';
import { referenceEngine } from '../../src/kernels/reference.js';
import { wasmEngine } from '../../src/kernels/wasm.js';
import { heap } from '../../src/memory/heap.js';

const [QUERIES, KEYS, D] = [3, 130, 4];
const held: number[] = [];
afterEach(() => held.splice(0).forEach((offset) => heap.release(offset)));

function array(length: number, value: (i: number) => number): number {
  const offset = heap.allocate(length * 4);
  held.push(offset);
  for (let i = 0; i < length; i++) heap.f32[offset / 4 + i] = value(i);
  return offset;
}
const read = (offset: number, length: number): number[] => [
  ...heap.f32.subarray(offset / 4, offset / 4 + length),
];

const wave = (i: number): number => Math.sin(i * 1.7);

/** Forward and backward with this mask and these keys, on both engines. */
function both(mask: (i: number) => number, key: (i: number) => number = wave): number[][] {
  return [wasmEngine(), referenceEngine()].map((engine) => {
    const [q, k, v] = [array(QUERIES * D, wave), array(KEYS * D, key), array(KEYS * D, (i) => wave(i + 5))];
    const m = array(QUERIES * KEYS, mask);
    const [y, lse] = [array(QUERIES * D, () => NaN), array(QUERIES, () => NaN)];
    const numbers = [1, QUERIES, KEYS, D, D, 0.5, 0, 0];
    engine.attention(y, lse, q, k, v, m, ...numbers);
    const g = array(QUERIES * D, (i) => wave(i + 9));
    const [gq, gk, gv] = [QUERIES, KEYS, KEYS].map((rows) => array(rows * D, () => NaN)) as [
      number,
      number,
      number,
    ];
    engine.attentionGrad(gq, gk, gv, g, q, k, v, y, lse, m, ...numbers);
    return [
      ...read(y, QUERIES * D),
      ...read(lse, QUERIES),
      ...read(gq, QUERIES * D),
      ...read(gk, KEYS * D),
      ...read(gv, KEYS * D),
    ];
  });
}

function agree([got, want]: number[][]): void {
  got!.forEach((x, i) => {
    const y = want![i]!;
    const same = Object.is(x + 0, y + 0) || Math.abs(x - y) <= 2e-5 * Math.max(1, Math.abs(y));
    if (!same) expect.fail(`at ${i}: got ${x}, want ${y}`);
  });
}

describe('attention on WASM', () => {
  it('gives 0, and passes no gradient, where the mask hides every key', () => {
    const results = both((i) => (Math.floor(i / KEYS) === 1 ? -Infinity : 0));
    agree(results);
    expect(results[0]!.slice(D, 2 * D)).toEqual([0, 0, 0, 0]);
    expect(results[0]![QUERIES * D + 1]).toBe(-Infinity);
  });

  it('may find its first visible key in a later tile', () => {
    agree(both((i) => (i % KEYS < 100 ? -Infinity : 0)));
  });

  it('stays right when scores rise or fall by hundreds from tile to tile', () => {
    agree(both((i) => (i % KEYS) * 4));
    agree(both((i) => (i % KEYS) * -4));
  });

  it('shows a NaN in a key to every query', () => {
    const [got] = both(
      () => 0,
      (i) => (i === 70 * D ? NaN : wave(i)),
    );
    expect(got!.slice(0, QUERIES * D).every(Number.isNaN)).toBe(true);
  });
});
