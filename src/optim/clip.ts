// Clipping by global norm: all gradients are one vector, whose direction stays.
import { inStepScope } from '../autodiff/backward.js';
import { checkNumber, checkOptions, describe, NonFiniteError, typeError } from '../tensor/errors.js';
import { Tensor } from '../tensor/tensor.js';
import { normOf, scaleAll } from './flat.js';
import type { Params } from './options.js';

export interface ClipOptions {
  /** Throws when the norm is NaN or infinite (false). */
  errorIfNonFinite?: boolean;
}

/** torch's constant: the factor is `max / (norm + 1e-6)`. */
const EPS = 1e-6;

/**
 * Scales the gradients of `params` down so that their common Euclidean norm is at most `max`; returns the norm before,
 * summed in double. Parameters without gradient are skipped, and they need not belong to an optimizer. A norm that is not
 * finite leaves the gradients as they are (torch makes them all NaN or 0): check it, or let it throw.
 *
 * Pascanu, Mikolov and Bengio, "On the Difficulty of Training Recurrent Neural Networks", ICML 2013.
 * @throws NonFiniteError if asked to; nothing is changed then.
 * @example
 * loss.backward();
 * optim.clipGradNorm(model.parameters(), 1);
 * opt.step();
 */
export function clipGradNorm(params: Params, max: number, options: ClipOptions = {}): number {
  const where = 'optim.clipGradNorm';
  checkOptions(where, options, ['errorIfNonFinite']);
  checkNumber(where, 'max', max, { min: 0 });
  const gradients = [...new Set(tensorsOf(where, params))].flatMap((t) => (t.grad ? [t.grad.storage] : []));
  return inStepScope(() => {
    const norm = normOf(gradients);
    if (!Number.isFinite(norm)) {
      if (!options.errorIfNonFinite) return norm;
      throw new NonFiniteError(`${where}: the norm of the gradients is ${norm}; they are unchanged`);
    }
    const factor = max / (norm + EPS);
    if (factor < 1) scaleAll(gradients, factor);
    return norm;
  });
}

function tensorsOf(where: string, params: unknown): Tensor[] {
  if (typeof (params as Partial<Params> | null)?.[Symbol.iterator] !== 'function')
    throw typeError(where, `params must be tensors or [name, tensor] pairs, got ${describe(params)}`);
  return Array.from(params as Params, (item) => {
    const t: unknown = Array.isArray(item) ? (item as unknown[])[1] : item;
    if (t instanceof Tensor) return t;
    throw typeError(where, `params must hold tensors, got ${describe(t)}`);
  });
}
