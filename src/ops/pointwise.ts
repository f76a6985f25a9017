// Elementwise ops: a kernel and a gradient rule each, or a composition of others.
import { launch } from '../kernels/launch.js';
import { checkChoice, checkOptions } from '../tensor/errors.js';
import { apply, define, type InputGrad, type Op, type OpRow } from '../tensor/op.js';
import { broadcastShapes } from '../tensor/shape.js';
import { asTensor, type Tensor, type TensorLike } from '../tensor/tensor.js';
import { binary, composed, KINK, POSITIVE, unary, type Binary } from './elementwise.js';
import { broadcastTo } from './move.js';

/** a + b, with broadcasting. */
export const add = binary('add', { vjp: (g) => [g, g], reads: 'none' });
/** a - b, with broadcasting. */
export const sub = binary('sub', { vjp: (g) => [g, () => neg(g)], reads: 'none' });
/** a · b, elementwise, with broadcasting. */
export const mul = binary('mul', {
  vjp: (g, _y, a, b) => [() => mul(g, b), () => mul(g, a)],
  reads: 'inputs',
});
/** a / b, with broadcasting. */
export const div = binary('div', {
  // d(a/b) = da/b - (a/b) db/b
  vjp: (g, y, _a, b) => [() => div(g, b), () => neg(div(mul(g, y), b))],
});
/** a^b, with broadcasting; the gradient by b is 0 where a = 0 and b >= 0, as in torch. */
export const pow = binary('pow', {
  // d a^b = b a^(b-1) da + a^b ln a db
  vjp: (g, y, a, b) => [
    () => mul(g, where(eq(b, 0), 0, mul(b, pow(a, sub(b, 1))))),
    () => mul(g, where(eq(a, 0), 0, mul(y, log(where(eq(a, 0), 1, a))))),
  ],
});

// The gradient goes to the larger operand; ties share it in halves, as in torch.
const share =
  (first: Binary) =>
  (g: Tensor, _y: Tensor, a: Tensor, b: Tensor): [InputGrad, InputGrad] => [
    () => mul(g, add(first(a, b), mul(eq(a, b), 0.5))),
    () => mul(g, add(first(b, a), mul(eq(a, b), 0.5))),
  ];
/** The larger of a and b; NaN if either is. */
export const maximum = binary('maximum', { vjp: (...v) => share(gt)(...v), domain: [-2, 2] });
/** The smaller of a and b; NaN if either is. */
export const minimum = binary('minimum', { vjp: (...v) => share(lt)(...v), domain: [-2, 2] });

/** 1 where a = b, else 0. */
export const eq = binary('eq', { vjp: null });
/** 1 where a ≠ b, else 0. */
export const ne = binary('ne', { vjp: null });
/** 1 where a < b, else 0. */
export const lt = binary('lt', { vjp: null });
/** 1 where a ≤ b, else 0. */
export const le = binary('le', { vjp: null });
/** 1 where a > b, else 0. */
export const gt = binary('gt', { vjp: null });
/** 1 where a ≥ b, else 0. */
export const ge = binary('ge', { vjp: null });

/** -x. */
export const neg = unary('neg', { vjp: (g) => neg(g) });
/** |x|; the derivative at 0 is 0. */
export const abs = unary('abs', { vjp: (g, _y, x) => mul(g, sign(x)), domain: POSITIVE, order: KINK });
/** -1, 0 or 1. */
export const sign = unary('sign', { vjp: null });
/** x². */
export const square = unary('square', { vjp: (g, _y, x) => mul(g, mul(x, 2)) });
/** 1 / x. */
export const reciprocal = unary('reciprocal', { vjp: (g, y) => neg(mul(g, square(y))), domain: POSITIVE });
/** √x. */
export const sqrt = unary('sqrt', { vjp: (g, y) => div(mul(g, 0.5), y), domain: POSITIVE });
/** 1 / √x. */
export const rsqrt = unary('rsqrt', {
  // d x^(-1/2) = -1/2 x^(-3/2) dx
  vjp: (g, y, x) => mul(g, mul(div(y, x), -0.5)),
  domain: POSITIVE,
});
/** e^x. */
export const exp = unary('exp', { vjp: (g, y) => mul(g, y) });
/** e^x - 1, accurate near 0. */
export const expm1 = unary('expm1', { vjp: (g, y) => mul(g, add(y, 1)) });
/** ln x. */
export const log = unary('log', { vjp: (g, _y, x) => div(g, x), domain: POSITIVE });
/** ln(1 + x), accurate near 0. */
export const log1p = unary('log1p', { vjp: (g, _y, x) => div(g, add(x, 1)), domain: POSITIVE });
export const sin = unary('sin', { vjp: (g, _y, x) => mul(g, cos(x)) });
export const cos = unary('cos', { vjp: (g, _y, x) => neg(mul(g, sin(x))) });
/** tanh x; 1 - y² as (1 - y)(1 + y), which keeps digits near ±1. */
export const tanh = unary('tanh', { vjp: (g, y) => mul(g, mul(sub(1, y), add(y, 1))), fused: 'tanhGrad' });
/** 1 / (1 + e^-x). */
export const sigmoid = unary('sigmoid', { vjp: (g, y) => mul(g, mul(y, sub(1, y))), fused: 'sigmoidGrad' });
/** max(x, 0); the derivative at 0 is 0. */
export const relu = unary('relu', {
  vjp: (g, y) => mul(g, gt(y, 0)),
  fused: 'reluGrad',
  order: KINK,
  domain: POSITIVE,
});
/** `log(1 + e^x)`; linear for large x, so it never overflows. */
export const softplus = unary('softplus', { vjp: (g, _y, x) => mul(g, sigmoid(x)) });
/** x sigmoid(x). */
export const silu = unary('silu', {
  fusedInput: 'siluGrad',
  // d = s + x s (1 - s), s = sigmoid(x)
  vjp: (g, y, x) => {
    const s = sigmoid(x);
    return mul(g, add(s, mul(y, sub(1, s))));
  },
});
/** 2/√π ∫₀ˣ e^(-t²) dt. */
export const erf = unary('erf', {
  vjp: (g, _y, x) => mul(g, mul(exp(neg(square(x))), 2 / Math.sqrt(Math.PI))),
});
export const floor = unary('floor', { vjp: null });
export const ceil = unary('ceil', { vjp: null });
/** To the nearest integer, halves to even. */
export const round = unary('round', { vjp: null });
export const trunc = unary('trunc', { vjp: null });

const geluExact = unary('gelu', {
  fusedInput: 'geluGrad',
  // d = Φ(x) + x φ(x)
  vjp: (g, _y, x) => {
    const cdf = mul(add(erf(mul(x, Math.SQRT1_2)), 1), 0.5);
    const pdf = mul(exp(mul(square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
    return mul(g, add(cdf, mul(x, pdf)));
  },
});
const geluByTanh = unary('geluTanh', {
  fusedInput: 'geluTanhGrad',
  // y = x/2 (1 + t), t = tanh(k (x + c x³)): d = (1 + t)/2 + x/2 (1 - t²) k (1 + 3 c x²)
  vjp: (g, _y, x) => {
    const [k, c] = [Math.sqrt(2 / Math.PI), 0.044715];
    const t = tanh(mul(add(x, mul(mul(square(x), x), c)), k));
    const slope = mul(mul(mul(sub(1, t), add(t, 1)), x), mul(add(mul(square(x), 3 * c), 1), k / 2));
    return mul(g, add(mul(add(t, 1), 0.5), slope));
  },
});

/** x Φ(x) with the exact normal distribution, or its tanh approximation. */
export const gelu: Op<(x: TensorLike, options?: { approximate?: 'none' | 'tanh' }) => Tensor> = define(
  (x: TensorLike, options: { approximate?: 'none' | 'tanh' } = {}): Tensor => {
    checkOptions('gelu', options, ['approximate']);
    const how = checkChoice('gelu', 'approximate', options.approximate ?? 'none', ['none', 'tanh']);
    return how === 'tanh' ? geluByTanh(x) : geluExact(x);
  },
  {
    samples: () => [{ shapes: [[2, 3]] }, { shapes: [[5]], call: (x) => gelu(x, { approximate: 'tanh' }) }],
    errors: () => [
      [() => gelu(1, { approximate: 'erf' as never }), /gelu: approximate must be one of "none", "tanh"/],
    ],
  },
  geluExact.row!,
);

const whereRow: OpRow<null> = {
  name: 'where',
  shape: ([c]) => c!,
  forward: (y, [c, a, b]) =>
    launch(
      'where',
      y.storage.address(),
      c!.storage.address(),
      a!.storage.address(),
      b!.storage.address(),
      y.size,
    ),
  vjp: (g, _y, [c]) => [null, () => where(c!, g, 0), () => where(c!, 0, g)],
};

/** a where condition is not 0, else b; all three broadcast. */
export const where: Op<(condition: TensorLike, a: TensorLike, b: TensorLike) => Tensor> = define(
  (condition: TensorLike, a: TensorLike, b: TensorLike): Tensor => {
    const xs = [condition, a, b].map((x) => asTensor('where', x));
    const shape = broadcastShapes(
      'where',
      broadcastShapes('where', xs[0]!.shape, xs[1]!.shape),
      xs[2]!.shape,
    );
    return apply(
      whereRow,
      xs.map((x) => broadcastTo(x, shape)),
      null,
    );
  },
  {
    samples: () => [
      {
        shapes: [[2, 3], [3]],
        call: (a, b) =>
          where(
            [
              [1, 0, 1],
              [0, 0, 1],
            ],
            a,
            b,
          ),
      },
      { shapes: [[2], []], call: (a, b) => where([0, 1], a, b) },
    ],
    errors: () => [
      [() => where([1, 0], [1, 2, 3], 0), /where: shapes do not broadcast, lhs \[2\], rhs \[3\]/],
    ],
  },
  whereRow,
);

/** 2^x. */
export const exp2 = composed('exp2', (x) => exp(mul(x, Math.LN2)));
export const log2 = composed('log2', (x) => mul(log(x), Math.LOG2E), POSITIVE);
export const log10 = composed('log10', (x) => mul(log(x), Math.LOG10E), POSITIVE);
export const tan = composed('tan', (x) => div(sin(x), cos(x)), [-1, 1]);
/** ln sigmoid(x), without underflow. */
export const logSigmoid = composed('logSigmoid', (x) => neg(softplus(neg(x))));
/** min(max(x, 0), 6). */
export const relu6 = composed('relu6', (x) => clamp(x, 0, 6), POSITIVE, KINK);
/** x tanh(softplus(x)). */
export const mish = composed('mish', (x) => mul(x, tanh(softplus(x))));
/** x / (1 + |x|). */
export const softsign = composed('softsign', (x) => div(x, add(abs(x), 1)), POSITIVE);
/** min(max(x/6 + 1/2, 0), 1). */
export const hardsigmoid = composed('hardsigmoid', (x) => clamp(add(div(x, 6), 0.5), 0, 1), [-2, 2], KINK);
/** x hardsigmoid(x). */
export const hardswish = composed('hardswish', (x) => mul(x, hardsigmoid(x)));

/** x limited to [min, max]; either bound may be left out. The gradient passes at the bounds, as in torch. */
export const clamp: Op<(x: TensorLike, min?: number, max?: number) => Tensor> = define(
  (x: TensorLike, min: number = -Infinity, max: number = Infinity): Tensor => {
    const t = asTensor('clamp', x);
    // A product with the constant mask, plus the bounds outside it: the mask makes the gradient at the bounds 1.
    const inside = mul(ge(t, min), le(t, max));
    return where(inside, t, minimum(maximum(t.detach(), min), max));
  },
  { samples: () => [{ shapes: [[2, 3]], call: (x) => clamp(x, -1, 1.5) }], order: KINK },
);

/** x for x > 0, else slope · x. */
export const leakyRelu: Op<(x: TensorLike, options?: { negativeSlope?: number }) => Tensor> = define(
  (x: TensorLike, options: { negativeSlope?: number } = {}): Tensor => {
    checkOptions('leakyRelu', options, ['negativeSlope']);
    const t = asTensor('leakyRelu', x);
    return where(gt(t, 0), t, mul(t, options.negativeSlope ?? 0.01));
  },
  { samples: () => [{ shapes: [[7]], call: (x) => leakyRelu(x, { negativeSlope: 0.2 }) }], order: KINK },
);

/** x for x > 0, else alpha (e^x - 1). */
export const elu: Op<(x: TensorLike, options?: { alpha?: number }) => Tensor> = define(
  (x: TensorLike, options: { alpha?: number } = {}): Tensor => {
    checkOptions('elu', options, ['alpha']);
    const t = asTensor('elu', x);
    const positive = gt(t, 0);
    return where(positive, t, mul(expm1(where(positive, 0, t)), options.alpha ?? 1));
  },
  { samples: () => [{ shapes: [[7]], call: (x) => elu(x, { alpha: 0.7 }) }] },
);
