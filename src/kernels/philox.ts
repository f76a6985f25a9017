// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): the one source of random bits.
// The four words of block `index` under key (k0, k1) and stream `draw` depend on nothing else, so order and engine do not matter.

const [M0, M1] = [0xd2511f53, 0xcd9e8d57];
const [W0, W1] = [0x9e3779b9, 0xbb67ae85];

const high = (a: number, b: number): number => Number((BigInt(a) * BigInt(b)) >> 32n);
const low = (a: number, b: number): number => Math.imul(a, b) >>> 0;

/** The four 32-bit words of one block; counter (index, draw, 0, 0). */
export function philox(
  k0: number,
  k1: number,
  index: number,
  draw: number,
): [number, number, number, number] {
  let [c0, c1, c2, c3] = [index >>> 0, draw >>> 0, 0, 0];
  for (let round = 0; round < 10; round++) {
    const [h0, l0, h1, l1] = [high(M0, c0), low(M0, c0), high(M1, c2), low(M1, c2)];
    [c0, c1, c2, c3] = [(h1 ^ c1 ^ k0) >>> 0, l1, (h0 ^ c3 ^ k1) >>> 0, l0];
    k0 = (k0 + W0) >>> 0;
    k1 = (k1 + W1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** Element `k` of a stream: word `k mod 4` of block `⌊k/4⌋`. */
export const philoxWord = (k0: number, k1: number, k: number, draw: number): number =>
  philox(k0, k1, Math.floor(k / 4), draw)[k % 4]!;
