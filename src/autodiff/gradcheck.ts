// gradcheck: a function's gradients against central differences, in double precision, along one random direction.
// Second order differentiates the first-order check itself.
import { inDouble } from '../kernels/launch.js';
import { openScope } from '../memory/arena.js';
import { generator } from '../ops/random.js';
import { add, mul, sum } from '../ops/index.js';
import { checkOptions, describe, typeError } from '../tensor/errors.js';
import { type Tensor, wrap, type TensorLike, asTensor } from '../tensor/tensor.js';
import { grad } from './grad.js';

export interface GradcheckOptions {
  /** 1 checks gradients, 2 (default) also the gradients of the gradients. */
  order?: 1 | 2;
  /** Step of the central difference. */
  eps?: number;
  /** Allowed |difference| relative to max(1, |value|). */
  tolerance?: number;
}

/**
 * Returns true if f's gradients agree with finite differences, and throws otherwise. f takes the inputs as tensors
 * and may return a tensor of any shape. It is run on the reference engine in double precision.
 * @throws Error that names the order, the analytic and the numeric value.
 */
export function gradcheck(
  f: (...xs: Tensor[]) => Tensor,
  inputs: readonly TensorLike[],
  options: GradcheckOptions = {},
): true {
  checkOptions('gradcheck', options, ['order', 'eps', 'tolerance']);
  const { order = 2, eps = 1e-5, tolerance = 1e-6 } = options;
  if (!Array.isArray(inputs))
    throw typeError('gradcheck', `inputs must be an array, got ${describe(inputs)}`);
  const given = (inputs as TensorLike[]).map((x) => asTensor('gradcheck', x));
  inDouble(() => {
    const scope = openScope();
    const saved = generator.state;
    try {
      const xs = given.map((t) => wrap(Float64Array.from(t.storage.values()), t.shape));
      checkDirection(f, xs, order, eps, tolerance, 1);
    } finally {
      generator.state = saved;
      scope.end();
    }
  });
  return true;
}

/** Random numbers in [-1, 1), the same at every call with the same arguments. */
function direction(t: Tensor, salt: number): Tensor {
  const values = Float64Array.from(
    { length: t.size },
    (_, k) => Math.sin(12.9898 * (k + 1) + 78.233 * salt) % 1,
  );
  return wrap(values, t.shape);
}

function checkDirection(
  f: (...xs: Tensor[]) => Tensor,
  xs: Tensor[],
  order: number,
  eps: number,
  tolerance: number,
  level: number,
): void {
  // A scalar function of the inputs: the output against a fixed random cotangent.
  const scalar = (ps: readonly Tensor[]): Tensor => {
    const y = f(...ps);
    return sum(mul(y, direction(y, level)));
  };
  const vs = xs.map((x, k) => direction(x, 10 * level + k));
  const moved = (t: number): number => scalar(xs.map((x, k) => add(x, mul(vs[k]!, t)))).item();
  const slope = (ps: readonly Tensor[]): Tensor => {
    const gs = grad(scalar as (ps: Tensor[]) => Tensor)([...ps]);
    return gs.map((g, k) => sum(mul(g, vs[k]!))).reduce((a, b) => add(a, b));
  };
  const analytic = slope(xs).item();
  const numeric = (moved(eps) - moved(-eps)) / (2 * eps);
  if (!(Math.abs(analytic - numeric) <= tolerance * Math.max(1, Math.abs(numeric))))
    throw new Error(
      `gradcheck: derivative of order ${level} differs: backward gives ${analytic}, central differences ${numeric}`,
    );
  if (level < order) checkDirection((...ps) => slope(ps), xs, order, eps, tolerance, level + 1);
}
