// Tensors from nothing, or from plain arrays. Nothing here tracks gradients unless `requiresGrad` asks for it.
import { Storage } from '../memory/storage.js';
import { checkNumber, checkOptions, rangeError, shapeError, showShape } from '../tensor/errors.js';
import { checkShape, sizeOf, type Shape } from '../tensor/shape.js';
import { asTensor, realArray, Tensor, wrap, type TensorLike, type TensorOptions } from '../tensor/tensor.js';

const KNOWN = ['shape', 'requiresGrad'] as const;

/** A tensor of the given numbers, which are copied. `shape` lays them out in row-major order. */
export function tensor(values: TensorLike, options: TensorOptions = {}): Tensor {
  checkOptions('tensor', options, KNOWN);
  let t = asTensor('tensor', values);
  if (values instanceof Tensor) {
    const { storage } = t;
    const copy = storage.isArray ? { from: storage } : null;
    t = new Tensor(Storage.of((copy ? storage.peek() : storage.values()).slice(), copy), t.shape);
  }
  if (options.shape) {
    const shape = checkShape('tensor', options.shape);
    if (sizeOf(shape) !== t.size)
      throw shapeError('tensor', `${t.size} values do not fill shape ${showShape(shape)}`);
    t = new Tensor(t.storage, shape);
  }
  t.requiresGrad = options.requiresGrad ?? false;
  return t;
}

type Created = Pick<TensorOptions, 'requiresGrad'>;

/** A tensor filled with `value`. */
export function full(shape: Shape, value: number, options: Created = {}): Tensor {
  checkOptions('full', options, ['requiresGrad']);
  const checked = checkShape('full', shape);
  const t = wrap(realArray(sizeOf(checked)).fill(value), checked);
  t.requiresGrad = options.requiresGrad ?? false;
  return t;
}

export const zeros = (shape: Shape, options?: Created): Tensor => full(shape, 0, options);
export const ones = (shape: Shape, options?: Created): Tensor => full(shape, 1, options);

/** start, start + step, … below end. One argument is the end; the start is 0 then. */
export function arange(start: number, end?: number, step = 1): Tensor {
  const [from, to] = end === undefined ? [0, start] : [start, end];
  for (const [name, v] of Object.entries({ start: from, end: to, step })) checkNumber('arange', name, v);
  if (step === 0) throw rangeError('arange', 'step must not be 0');
  const n = Math.max(0, Math.ceil((to - from) / step));
  return wrap(
    realArray(n).map((_, k) => from + k * step),
    [n],
  );
}

/** n numbers at equal distances from start to end, both included. */
export function linspace(start: number, end: number, n: number): Tensor {
  checkNumber('linspace', 'n', n, { min: 0, integer: true });
  const gap = n > 1 ? (end - start) / (n - 1) : 0;
  return wrap(
    realArray(n).map((_, k) => (k === n - 1 && n > 1 ? end : start + k * gap)),
    [n],
  );
}

/** The identity matrix. */
export function eye(n: number): Tensor {
  checkNumber('eye', 'n', n, { min: 0, integer: true });
  const values = realArray(n * n);
  for (let k = 0; k < n; k++) values[k * (n + 1)] = 1;
  return wrap(values, [n, n]);
}
