// The random bits against the published test vectors of Philox4x32-10 (Random123's known-answer tests).
import { expect, it } from 'vitest';
import { philox, philoxWords } from '../../src/kernels/philox.js';

it('gives the known answer for a counter and key of zeros', () => {
  expect(philox(0, 0, 0, 0)).toEqual([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
});

it('agrees with products in exact integers', () => {
  const exact = (k0: number, k1: number, index: number, draw: number): number[] => {
    let [c0, c1, c2, c3] = [BigInt(index), BigInt(draw), 0n, 0n];
    let [a, b] = [BigInt(k0), BigInt(k1)];
    const mask = 0xffffffffn;
    for (let round = 0; round < 10; round++) {
      const [p, q] = [0xd2511f53n * c0, 0xcd9e8d57n * c2];
      [c0, c1, c2, c3] = [((q >> 32n) ^ c1 ^ a) & mask, q & mask, ((p >> 32n) ^ c3 ^ b) & mask, p & mask];
      [a, b] = [(a + 0x9e3779b9n) & mask, (b + 0xbb67ae85n) & mask];
    }
    return [c0, c1, c2, c3].map(Number);
  };
  for (const v of [1, 0xffff, 0x10000, 0x80000000, 0xfffffffe, 0xffffffff])
    expect(philox(v, 0xffffffff - v, v, 12345)).toEqual(exact(v, 0xffffffff - v, v, 12345));
});

it('numbers the words of a stream block by block', () => {
  const words = philoxWords(7, 9, 10, 3);
  expect([...words.subarray(0, 4)]).toEqual(philox(7, 9, 0, 3));
  expect([...words.subarray(8)]).toEqual(philox(7, 9, 2, 3).slice(0, 2));
});
