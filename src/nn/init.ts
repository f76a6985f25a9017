// Initialisers: they fill a tensor in place from the library's seeded generator and return it. Names, defaults and fans
// are PyTorch's.
import { openScope } from '../memory/arena.js';
import { launch } from '../kernels/launch.js';
import { heap } from '../memory/heap.js';
import { Storage, type Cells } from '../memory/storage.js';
import { drawNormal, drawUniform, type DrawInto } from '../ops/random.js';
import {
  checkChoice,
  checkNumber,
  checkOptions,
  describe,
  shapeError,
  showShape,
  typeError,
} from '../tensor/errors.js';
import { sizeOf, type Shape } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';

function valuesOf(where: string, t: Tensor): Cells {
  if (!(t instanceof Tensor)) throw typeError(where, `expected a Tensor, got ${describe(t)}`);
  return t.storage.values();
}

/** Overwrites the values of `t` with `scale · draws + shift`. */
function fill(where: string, t: Tensor, draw: DrawInto, scale: number, shift: number): Tensor {
  const { storage } = t;
  const values = valuesOf(where, t);
  const isThere = !storage.isArray && storage.width === heap.width;
  const scope = openScope();
  try {
    const place = isThere ? storage : Storage.inScope(t.size);
    draw(place);
    launch('affine', place.address(), scale, shift, t.size);
    if (!isThere) values.set(place.values());
  } finally {
    scope.end();
  }
  storage.touch();
  return t;
}

/** Fills with uniform numbers in [low, high). */
export function uniform(t: Tensor, low = 0, high = 1): Tensor {
  checkNumber('init.uniform', 'low', low);
  checkNumber('init.uniform', 'high', high, { min: low });
  return fill('init.uniform', t, drawUniform, high - low, low);
}

/** Fills with normal numbers. */
export function normal(t: Tensor, mean = 0, std = 1): Tensor {
  checkNumber('init.normal', 'mean', mean);
  checkNumber('init.normal', 'std', std, { min: 0 });
  return fill('init.normal', t, drawNormal, std, mean);
}

/** Fills with `value`. */
export function constant(t: Tensor, value: number): Tensor {
  valuesOf('init.constant', t).fill(checkNumber('init.constant', 'value', value));
  t.storage.touch();
  return t;
}

/** Fills with 0. */
export const zeros = (t: Tensor): Tensor => constant(t, 0);
/** Fills with 1. */
export const ones = (t: Tensor): Tensor => constant(t, 1);

/** Inputs and outputs of one unit of a weight [out, in, …window]: the window's size times channels. */
export function fans(where: string, shape: Shape): { fanIn: number; fanOut: number } {
  if (shape.length < 2)
    throw shapeError(where, `fan in and fan out need at least 2 dimensions, got shape ${showShape(shape)}`);
  const window = sizeOf(shape, 2);
  return { fanIn: shape[1]! * window, fanOut: shape[0]! * window };
}

const NONLINEARITIES = ['linear', 'sigmoid', 'tanh', 'relu', 'leakyRelu', 'selu'] as const;
export type Nonlinearity = (typeof NONLINEARITIES)[number];

/** The factor by which a weight's spread must grow to make up for what the activation takes away; as torch's. */
export function gain(nonlinearity: Nonlinearity, negativeSlope = 0.01): number {
  switch (checkChoice('init.gain', 'nonlinearity', nonlinearity, NONLINEARITIES)) {
    case 'tanh':
      return 5 / 3;
    case 'relu':
      return Math.SQRT2;
    case 'leakyRelu':
      return Math.sqrt(2 / (1 + negativeSlope ** 2));
    case 'selu':
      return 3 / 4;
    default:
      return 1;
  }
}

export interface KaimingOptions {
  /** Slope of leakyRelu for negative inputs (default 0, which is relu). */
  a?: number;
  /** Keep the variance of activations (fanIn, default) or of gradients (fanOut). */
  mode?: 'fanIn' | 'fanOut';
  nonlinearity?: Nonlinearity;
}

/** Standard deviation of He et al., "Delving deep into rectifiers" (2015), eq. 10 and 14: gain / √fan. */
function kaimingStd(where: string, t: Tensor, options: KaimingOptions): number {
  checkOptions(where, options, ['a', 'mode', 'nonlinearity']);
  const { a = 0, mode = 'fanIn', nonlinearity = 'leakyRelu' } = options;
  checkNumber(where, 'a', a);
  const fan = fans(where, t.shape)[checkChoice(where, 'mode', mode, ['fanIn', 'fanOut'])];
  return fan === 0 ? 0 : gain(nonlinearity, a) / Math.sqrt(fan);
}

/** Uniform on ±√3 gain/√fan (He et al., 2015). With `a: √5` this is the default of Linear and the convolutions. */
export function kaimingUniform(t: Tensor, options: KaimingOptions = {}): Tensor {
  const bound = Math.sqrt(3) * kaimingStd('init.kaimingUniform', t, options);
  return uniform(t, -bound, bound);
}

/** Normal with standard deviation gain/√fan (He et al., 2015). */
export const kaimingNormal = (t: Tensor, options: KaimingOptions = {}): Tensor =>
  normal(t, 0, kaimingStd('init.kaimingNormal', t, options));

/** Standard deviation of Glorot and Bengio (2010), eq. 16: gain √(2 / (fanIn + fanOut)). */
function xavierStd(where: string, t: Tensor, scale: number): number {
  const { fanIn, fanOut } = fans(where, t.shape);
  return checkNumber(where, 'gain', scale, { min: 0 }) * Math.sqrt(2 / Math.max(fanIn + fanOut, 1));
}

/** Uniform on ±gain √(6 / (fanIn + fanOut)) (Glorot and Bengio, 2010). */
export function xavierUniform(t: Tensor, scale = 1): Tensor {
  const bound = Math.sqrt(3) * xavierStd('init.xavierUniform', t, scale);
  return uniform(t, -bound, bound);
}

/** Normal with standard deviation gain √(2 / (fanIn + fanOut)) (Glorot and Bengio, 2010). */
export const xavierNormal = (t: Tensor, scale = 1): Tensor =>
  normal(t, 0, xavierStd('init.xavierNormal', t, scale));

/** What Linear and the convolutions start from, as in PyTorch: weight and bias uniform on ±1/√fanIn. */
export function standard(weight: Tensor, bias: Tensor | null): void {
  kaimingUniform(weight, { a: Math.sqrt(5) });
  const { fanIn } = fans('init', weight.shape);
  if (bias && fanIn > 0) uniform(bias, -1 / Math.sqrt(fanIn), 1 / Math.sqrt(fanIn));
}
