// Kernel rows of elementwise functions; their arguments are in elementwise.ts.
import type { KernelRow } from '../row.js';
import { elements } from '../split.js';
import { binary, CURVED, unary, withLong } from './elementwise.js';

const { NaN: nan, POSITIVE_INFINITY: inf, NEGATIVE_INFINITY: ninf } = Number;

/** Round half to even, as IEEE 754 and every SIMD unit do; `Math.round` does not. */
function roundEven(x: number): number {
  const low = Math.floor(x);
  const gap = x - low;
  if (gap < 0.5) return low === 0 && (x < 0 || Object.is(x, -0)) ? -0 : low;
  if (gap > 0.5) return low + 1 === 0 ? -0 : low + 1;
  return low % 2 === 0 ? low : low + 1 === 0 ? -0 : low + 1;
}

/** erf by its Maclaurin series below 3 and by the continued fraction of erfc above: double precision to about 1e-15. */
export function erf(x: number): number {
  if (Number.isNaN(x)) return nan;
  const t = Math.abs(x);
  if (t > 6) return Math.sign(x);
  if (t < 3) {
    let term = x;
    let sum = x;
    for (let k = 1; Math.abs(term) > 1e-17 * Math.abs(sum); k++) {
      term *= (-x * x) / k;
      sum += term / (2 * k + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let k = 60; k > 0; k--) fraction = k / 2 / (t + fraction);
  return Math.sign(x) * (1 - Math.exp(-t * t) / Math.sqrt(Math.PI) / (t + fraction));
}

const sigmoid = (x: number): number => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const SQRT_2_OVER_PI = Math.sqrt(2 / Math.PI);

// NaN rule: maximum and minimum give NaN if either is NaN (as torch); -0 < +0 is not promised.
const maximum = (a: number, b: number): number => (a !== a || b !== b ? nan : a > b ? a : b);
const minimum = (a: number, b: number): number => (a !== a || b !== b ? nan : a < b ? a : b);

/** `a^b` as C defines it: unlike JavaScript, `1^anything` is 1 and so is `(-1)^±Infinity`. */
const power = (a: number, b: number): number =>
  a === 1 || (a === -1 && Math.abs(b) === inf) ? 1 : Math.pow(a, b);

const truth = (b: boolean): number => (b ? 1 : 0);

export const pointwise = {
  neg: unary((x) => -x, {
    special: [
      [nan, nan],
      [0, -0],
      [inf, ninf],
    ],
  }),
  abs: unary(Math.abs, {
    special: [
      [nan, nan],
      [-0, 0],
      [ninf, inf],
    ],
  }),
  sign: unary((x) => (x > 0 ? 1 : x < 0 ? -1 : x), {
    special: [
      [nan, nan],
      [ninf, -1],
      [0, 0],
    ],
  }),
  square: unary((x) => x * x, {
    special: [
      [nan, nan],
      [ninf, inf],
      [1e30, inf],
    ],
  }),
  reciprocal: unary((x) => 1 / x, {
    special: [
      [nan, nan],
      [0, inf],
      [-0, ninf],
      [inf, 0],
    ],
  }),
  sqrt: unary(Math.sqrt, {
    domain: [0, 1e4],
    special: [
      [nan, nan],
      [-1, nan],
      [-0, -0],
      [inf, inf],
    ],
  }),
  rsqrt: unary((x, r) => 1 / r(Math.sqrt(x)), {
    domain: [1e-4, 1e4],
    special: [
      [nan, nan],
      [0, inf],
      [inf, 0],
    ],
  }),
  floor: unary(Math.floor, {
    special: [
      [nan, nan],
      [1e20, 1e20],
      [-0.5, -1],
      [inf, inf],
    ],
  }),
  ceil: unary(Math.ceil, {
    special: [
      [nan, nan],
      [-1e20, -1e20],
      [0.5, 1],
      [ninf, ninf],
    ],
  }),
  round: unary(roundEven, {
    special: [
      [nan, nan],
      [2.5, 2],
      [3.5, 4],
      [-0.5, -0],
      [1e20, 1e20],
    ],
  }),
  trunc: unary(Math.trunc, {
    special: [
      [nan, nan],
      [-1.5, -1],
      [1e20, 1e20],
      [inf, inf],
    ],
  }),
  /** relu(NaN) is NaN, as in torch. */
  relu: unary((x) => (x < 0 ? 0 : x), {
    special: [
      [nan, nan],
      [ninf, 0],
      [inf, inf],
      [-1, 0],
    ],
  }),
  exp: unary(Math.exp, {
    domain: [-87, 88],
    ulp: 2,
    special: [
      [nan, nan],
      [ninf, 0],
      [inf, inf],
      [0, 1],
      [89, inf],
      [-110, 0],
    ],
  }),
  expm1: unary(Math.expm1, {
    domain: [-20, 80],
    ulp: 4,
    special: [
      [nan, nan],
      [ninf, -1],
      [inf, inf],
      [0, 0],
      [1e-20, 1e-20],
      [-110, -1],
      [89, inf],
    ],
  }),
  log: unary(Math.log, {
    domain: [1e-6, 1e6],
    ulp: 2,
    special: [
      [nan, nan],
      [0, ninf],
      [-0, ninf],
      [-1, nan],
      [inf, inf],
      [1, 0],
      [1e-40, Math.log(Math.fround(1e-40))],
    ],
  }),
  log1p: unary(Math.log1p, {
    domain: [-0.99, 1e4],
    ulp: 4,
    special: [
      [nan, nan],
      [-1, ninf],
      [-2, nan],
      [inf, inf],
      [0, 0],
      [1e-20, 1e-20],
    ],
  }),
  /** The error is a few units of 2^-24 of the range [-1, 1]; near a zero far from 0 that is many ulp. */
  sin: unary(Math.sin, {
    ulp: 4,
    special: [
      [nan, nan],
      [inf, nan],
      [ninf, nan],
      [0, 0],
      [1e-20, 1e-20],
    ],
  }),
  cos: unary(Math.cos, {
    ulp: 4,
    special: [
      [nan, nan],
      [inf, nan],
      [ninf, nan],
      [0, 1],
    ],
  }),
  tanh: unary(Math.tanh, {
    domain: [-10, 10],
    ulp: 4,
    special: [
      [nan, nan],
      [ninf, -1],
      [inf, 1],
      [0, 0],
      [1e-20, 1e-20],
      [100, 1],
    ],
  }),
  sigmoid: unary(sigmoid, {
    domain: [-80, 80],
    ulp: 4,
    special: [
      [nan, nan],
      [ninf, 0],
      [inf, 1],
      [0, 0.5],
      [100, 1],
    ],
  }),
  /** log(1 + e^x), without overflow. */
  softplus: unary((x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))), {
    domain: [-80, 80],
    ulp: 4,
    special: [
      [nan, nan],
      [ninf, 0],
      [inf, inf],
      [1000, 1000],
      [0, Math.LN2],
    ],
  }),
  silu: unary((x) => x * sigmoid(x), {
    domain: [-80, 80],
    ulp: 6,
    special: [
      [nan, nan],
      [inf, inf],
      [0, 0],
    ],
  }),
  erf: unary(erf, {
    domain: [-5, 5],
    ulp: 6,
    special: [
      [nan, nan],
      [ninf, -1],
      [inf, 1],
      [0, 0],
      [1e-20, erf(1e-20)],
    ],
  }),

  add: withLong(binary((a, b) => a + b)),
  sub: binary((a, b) => a - b),
  mul: binary((a, b) => a * b),
  div: binary((a, b) => a / b),
  pow: binary(power, {
    domain: [
      [0.01, 10],
      [-6, 6],
    ],
    ulp: 16,
  }),
  maximum: binary(maximum),
  minimum: binary(minimum),
  eq: binary((a, b) => truth(a === b), { domain: [-2, 2] }),
  ne: binary((a, b) => truth(a !== b), { domain: [-2, 2] }),
  lt: binary((a, b) => truth(a < b)),
  le: binary((a, b) => truth(a <= b)),
  gt: binary((a, b) => truth(a > b)),
  ge: binary((a, b) => truth(a >= b)),

  /** gelu with the exact erf: x Φ(x). Below -13 the result is -0 or a subnormal. */
  gelu: {
    ...unary((x) => (x === ninf ? 0 : 0.5 * x * erfcSafe(-x / Math.SQRT2)), {
      domain: [-5, 80],
      special: [
        [nan, nan],
        [inf, inf],
        [ninf, 0],
        [0, 0],
      ],
    }),
    ulp: undefined,
    tolerance: 2e-6,
    split: elements('oin', 2 * CURVED),
  },
  /** gelu by tanh: x/2 (1 + tanh(√(2/π)(x + 0.044715 x³))). */
  geluTanh: {
    ...unary((x) => (x === ninf ? 0 : 0.5 * x * (1 + Math.tanh(SQRT_2_OVER_PI * (x + 0.044715 * x ** 3)))), {
      domain: [-5, 80],
      special: [
        [nan, nan],
        [inf, inf],
        [ninf, 0],
        [0, 0],
      ],
    }),
    ulp: undefined,
    tolerance: 2e-6,
    split: elements('oin', 2 * CURVED),
  },
} as const satisfies Record<string, KernelRow>;

/** erfc(t), with relative accuracy for large t, where 1 - erf(t) has none. */
function erfcSafe(t: number): number {
  if (t < 2.5) return 1 - erf(t);
  let fraction = 0;
  for (let k = 60; k > 0; k--) fraction = k / 2 / (t + fraction);
  return Math.exp(-t * t) / Math.sqrt(Math.PI) / (t + fraction);
}
