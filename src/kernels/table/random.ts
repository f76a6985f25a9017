// Kernel rows of random numbers. All are counter-based (philox.ts): element k of a draw depends on the four random words
// [key0, key1, base, unused], the draw's number and k alone. The draw's stream is base + draw, modulo 2^32.
import { philoxWords } from '../philox.js';
import type { Cells, KernelCase, KernelRow } from '../row.js';

const CASES: KernelCase[] = [0, 1, 3, 4, 5, 17, 33, 1000].map((n) => ({
  args: [3, n],
  cells: [0x12345678, 0x9abcdef0, 0xffffffff, 0],
}));

/** n numbers of 24 random bits in [0, 1). */
function uniforms(m: Cells, cells: number, draw: number, n: number): Float64Array {
  const [k0, k1, base] = [m.u[cells]!, m.u[cells + 1]!, m.u[cells + 2]!];
  return Float64Array.from(philoxWords(k0, k1, n, (base + draw) >>> 0), (word) => (word >>> 8) * 2 ** -24);
}

export const random = {
  /** Uniform in [0, 1), multiples of 2^-24: (out, words, draw, n). */
  uniform: {
    sig: 'ornn',
    extents: (_draw, n) => [n!, 4],
    label: ([, n]) => `${n}`,
    ref: (m, o, cells, draw, n) => {
      m.f.set(uniforms(m, cells!, draw!, n!), o!);
    },
    cases: CASES,
    ulp: 0,
    split: { work: [3], cost: 1.6, cut: () => 'inside' },
  },
  /**
   * Standard normal by Box and Muller: elements 2j and 2j+1 are √(-2 ln(1 - u)) times cos and sin of 2πv, where
   * u, v are uniform elements 2j and 2j+1. (out, words, draw, n)
   */
  normal: {
    sig: 'ornn',
    extents: (_draw, n) => [n!, 4],
    label: ([, n]) => `${n}`,
    ref: (m, o, cells, draw, n) => {
      const u = uniforms(m, cells!, draw!, n! + (n! % 2));
      for (let k = 0; k < n!; k++) {
        const pair = k - (k % 2);
        const radius = Math.sqrt(-2 * Math.log(1 - u[pair]!));
        const angle = 2 * Math.PI * u[pair + 1]!;
        m.f[o! + k] = radius * (k % 2 === 0 ? Math.cos(angle) : Math.sin(angle));
      }
    },
    cases: CASES,
    tolerance: 4e-6,
    split: { work: [3], cost: 3.8, cut: () => 'inside' },
  },
  /** x · 1/(1-p) where the uniform element is at least p, else 0: (out, x, words, draw, p, n). 0 ≤ p < 1. */
  dropout: {
    sig: 'oirnsn',
    extents: (_draw, _p, n) => [n!, n!, 4],
    label: ([, p, n]) => `${n} p ${p}`,
    ref: (m, o, x, cells, draw, p, n) => {
      const keep = m.round(1 / (1 - p!));
      const limit = m.round(p!);
      const u = uniforms(m, cells!, draw!, n!);
      for (let k = 0; k < n!; k++) m.f[o! + k] = u[k]! >= limit ? m.f[x! + k]! * keep : 0;
    },
    cases: CASES.map((c) => ({ ...c, args: [3, 0.3, c.args[1]!] })),
    domain: [-3, 3],
    ulp: 0,
    split: { work: [5], cost: 1.9, cut: () => 'inside' },
    inPlace: true,
  },
} as const satisfies Record<string, KernelRow>;
