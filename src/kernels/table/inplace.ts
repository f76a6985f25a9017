// Kernel rows that choose, fill, and change arrays in place.
import type { KernelRow } from '../row.js';
import { elements } from '../split.js';
import { PLAIN, SIZES } from './elementwise.js';

export const inplace = {
  /** a where c is not 0, else b: (out, c, a, b, n). */
  where: {
    sig: 'oiiin',
    extents: (n) => [n!, n!, n!, n!],
    ref: (m, o, c, a, b, n) => {
      for (let k = 0; k < n!; k++) m.f[o! + k] = m.f[c! + k] !== 0 ? m.f[a! + k]! : m.f[b! + k]!;
    },
    cases: SIZES.map((n) => ({ args: [n] })),
    domain: [
      [-1, 1],
      [-9, 9],
      [-9, 9],
    ],
    ulp: 0,
    split: elements('oiiin', PLAIN),
  },
  /** out = value: (out, value, n). */
  fill: {
    sig: 'osn',
    extents: (_value, n) => [n!],
    ref: (m, o, value, n) => void m.f.fill(value!, o!, o! + n!),
    cases: SIZES.map((n) => ({ args: [1.5, n] })),
    ulp: 0,
    split: elements('osn', PLAIN),
  },
  /** y += x: (y, x, n). */
  accumulate: {
    sig: 'uin',
    extents: (n) => [n!, n!],
    ref: (m, y, x, n) => {
      for (let k = 0; k < n!; k++) m.f[y! + k] = m.f[y! + k]! + m.f[x! + k]!;
    },
    cases: SIZES.map((n) => ({ args: [n] })),
    domain: [-10, 10],
    ulp: 0,
    split: elements('uin', PLAIN),
  },
  /** y += alpha x; x is not read where alpha is 0: (y, x, alpha, n). */
  axpy: {
    sig: 'uisn',
    extents: (_alpha, n) => [n!, n!],
    ref: (m, y, x, alpha, n) => {
      const r = m.round;
      const a = r(alpha!);
      if (alpha! === 0) return;
      for (let k = 0; k < n!; k++) m.f[y! + k] = m.f[y! + k]! + r(a * m.f[x! + k]!);
    },
    cases: [{ args: [0, 9] }, ...SIZES.map((n) => ({ args: [0.37, n] }))],
    domain: [-10, 10],
    ulp: 0,
    split: elements('uisn', PLAIN),
  },
  /** x *= cell: (x, cell, n). */
  scale: {
    sig: 'ufn',
    extents: (n) => [n!, 1],
    ref: (m, x, cell, n) => {
      for (let k = 0; k < n!; k++) m.f[x! + k] = m.f[x! + k]! * m.f[cell!]!;
    },
    cases: SIZES.map((n) => ({ args: [n], cells: [0.37] })),
    domain: [-10, 10],
    ulp: 0,
    split: elements('ufn', PLAIN),
  },
  /** x = shift + scale x, in double and rounded once: (x, scale, shift, n). */
  affine: {
    sig: 'ussn',
    extents: (_scale, _shift, n) => [n!],
    ref: (m, x, scale, shift, n) => {
      for (let k = 0; k < n!; k++) m.f[x! + k] = shift! + scale! * m.f[x! + k]!;
    },
    cases: SIZES.map((n) => ({ args: [0.37, -1.1, n] })),
    domain: [-10, 10],
    ulp: 0,
    split: elements('ussn', PLAIN),
  },
  /** r += momentum (scale x - r), the running statistics of batch norm: (r, x, momentum, scale, n). */
  blend: {
    sig: 'uissn',
    extents: (_momentum, _scale, n) => [n!, n!],
    ref: (m, rp, x, momentum, scale, n) => {
      const r = m.round;
      const [a, s] = [r(momentum!), r(scale!)];
      for (let k = 0; k < n!; k++) {
        const old = m.f[rp! + k]!;
        m.f[rp! + k] = old + r(a * r(r(s * m.f[x! + k]!) - old));
      }
    },
    cases: SIZES.map((n) => ({ args: [0.1, 1.25, n] })),
    domain: [-10, 10],
    ulp: 0,
    split: elements('uissn', PLAIN),
  },
} as const satisfies Record<string, KernelRow>;
