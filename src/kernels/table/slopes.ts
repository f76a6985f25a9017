// Kernel rows of the gradients of elementwise functions: (out, g, y or x, n).
import type { Cells, KernelRow, Range } from '../row.js';
import { elements } from '../split.js';
import { CURVED, PLAIN, SIZES } from './elementwise.js';
import { erf } from './pointwise.js';

/** The gradient of a unary function from its output: (out, g, y, n). */
function fromOutput(f: (g: number, y: number, round: Cells['round']) => number, domain: Range): KernelRow {
  return {
    sig: 'oiin',
    extents: (n) => [n!, n!, n!],
    ref: (m, o, g, y, n) => {
      for (let k = 0; k < n!; k++) m.f[o! + k] = f(m.f[g! + k]!, m.f[y! + k]!, m.round);
    },
    cases: SIZES.map((n) => ({ args: [n] })),
    inPlace: true,
    domain: [[-10, 10], domain],
    ulp: 0,
    split: elements('oiin', PLAIN),
  };
}

/** The gradient of a unary function from its input: (out, g, x, n). */
const fromInput = (slope: (x: number) => number): KernelRow => ({
  ...fromOutput((g, x) => g * slope(x), [-12, 12]),
  ulp: undefined,
  tolerance: 2e-6,
  split: elements('oiin', 4 * CURVED),
});

const sigmoid = (x: number): number => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const [K, C] = [Math.sqrt(2 / Math.PI), 0.044715];

export const slopes = {
  /** g where y > 0, else 0: the gradient of relu from its output. */
  reluGrad: fromOutput((g, y) => (y > 0 ? g : 0), [-1, 1]),
  /** g (1 - y)(1 + y): the gradient of tanh from its output; the product form keeps digits near |y| = 1. */
  tanhGrad: fromOutput((g, y, r) => g * r(r(1 - y) * r(1 + y)), [-1, 1]),
  /** g y (1 - y): the gradient of the logistic function from its output. */
  sigmoidGrad: fromOutput((g, y, r) => g * r(y * r(1 - y)), [0, 1]),
} as const satisfies Record<string, KernelRow>;

/** Rows that an engine may still lack. */
export const curvedSlopes = {
  /** g (Φ(x) + x φ(x)): the gradient of gelu. */
  geluGrad: fromInput(
    (x) => 0.5 * (1 + erf(x * Math.SQRT1_2)) + (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI),
  ),
  /** The gradient of geluTanh: with t = tanh(k (x + c x³)), g ((1 + t)/2 + x/2 (1 - t²) k (1 + 3 c x²)). */
  geluTanhGrad: fromInput((x) => {
    const t = Math.tanh(K * (x + C * x ** 3));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * K * (1 + 3 * C * x * x);
  }),
  /** g s (1 + x (1 - s)), s = sigmoid(x): the gradient of silu. */
  siluGrad: fromInput((x) => sigmoid(x) * (1 + x * (1 - sigmoid(x)))),
} as const satisfies Record<string, KernelRow>;
