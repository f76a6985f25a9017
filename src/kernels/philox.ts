// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): the one source of random bits.
// The four words of block `index` under key (k0, k1) and stream `draw` depend on nothing else, so order and engine do not matter.

const [M0, M1] = [0xd2511f53, 0xcd9e8d57];
const [W0, W1] = [0x9e3779b9, 0xbb67ae85];

/** The upper 32 bits of a product of two 32-bit numbers, by 16-bit halves: doubles hold each partial sum exactly. */
function high(a: number, b: number): number {
  const [al, ah, bl, bh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const middle = ah * bl + Math.floor((al * bl) / 65536);
  const carry = (middle & 0xffff) + al * bh;
  return (ah * bh + Math.floor(middle / 65536) + Math.floor(carry / 65536)) >>> 0;
}
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

/** Elements 0 … n-1 of a stream: four words a block. */
export function philoxWords(k0: number, k1: number, n: number, draw: number): Uint32Array {
  const words = new Uint32Array(n);
  for (let k = 0; k < n; k += 4) {
    const block = philox(k0, k1, k / 4, draw);
    for (let j = 0; j < 4 && k + j < n; j++) words[k + j] = block[j]!;
  }
  return words;
}
