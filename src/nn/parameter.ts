// What a tensor in a module is: a parameter, which optimizers change, or a buffer, which the module itself keeps. Both
// live outside every scope, and on the heap for good since a kernel first read them, if not from the start.
import { outsideScopes } from '../memory/arena.js';
import { heap } from '../memory/heap.js';
import { Storage } from '../memory/storage.js';
import { sizeOf, type Shape } from '../tensor/shape.js';
import { asTensor, realArray, Tensor, wrap, type TensorLike } from '../tensor/tensor.js';

export type Role = 'parameter' | 'buffer';

const roles = new WeakMap<Tensor, Role>();

/** The role of a tensor that a module holds. A leaf that requires gradients becomes a parameter by being found there. */
export function roleOf(t: Tensor): Role | null {
  const known = roles.get(t);
  if (known) return known;
  if (!t.requiresGrad || t.node) return null;
  roles.set(t, 'parameter');
  return 'parameter';
}

function lasting(role: Role, t: Tensor): Tensor {
  t.storage.settles = true;
  t.requiresGrad = role === 'parameter';
  roles.set(t, role);
  return t;
}

/**
 * A parameter of zeros, to be filled by an initialiser. It lies on the heap from the start: an array would be garbage once it
 * moves there, which may stay for long.
 */
export const zeroParameter = (shape: Shape): Tensor =>
  lasting(
    'parameter',
    heap.width === 4
      ? new Tensor(Storage.onHeap(sizeOf(shape)), shape)
      : wrap(realArray(sizeOf(shape)), shape),
  );

/** A buffer filled with `value`. */
export const fullBuffer = (shape: Shape, value: number): Tensor =>
  lasting('buffer', wrap(realArray(sizeOf(shape)).fill(value), shape));

const copyOf = (where: string, value: TensorLike): Tensor =>
  outsideScopes(() => {
    const t = asTensor(where, value);
    return wrap(t.storage.values().slice(), t.shape);
  });

/**
 * A copy of `value` as a parameter: a leaf that requires gradients and belongs to the module that holds it in a field.
 * @example class Scale extends nn.Module { gain = nn.parameter([1]); forward(x: Tensor) { return x.mul(this.gain); } }
 */
export const parameter = (value: TensorLike): Tensor => lasting('parameter', copyOf('parameter', value));

/** A copy of `value` as a buffer: saved in the state dict of the module that holds it, but not trained. */
export const buffer = (value: TensorLike): Tensor => lasting('buffer', copyOf('buffer', value));
