// The public scopes: step memory by hand, and computing without a graph.
import { launch } from '../kernels/launch.js';
import { currentScope, openScope, type Scope } from '../memory/arena.js';
import { Storage } from '../memory/storage.js';
import { describe, typeError } from '../tensor/errors.js';
import { withRecording } from '../tensor/op.js';
import { Tensor } from '../tensor/tensor.js';

/** Calls `visit` for every tensor in a value: itself, or inside arrays and plain objects. */
export function eachTensor(value: unknown, visit: (t: Tensor) => void): void {
  if (value instanceof Tensor) visit(value);
  else if (Array.isArray(value)) for (const v of value) eachTensor(v, visit);
  else if (value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype)
    for (const v of Object.values(value)) eachTensor(v, visit);
}

const isThenable = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';

const refusal = (): TypeError =>
  typeError(
    'scope',
    'the function is asynchronous, and a scope ends when the function returns',
    'put the scope inside it, round the synchronous part',
  );

/** Moves a tensor's values from an ending scope to the surrounding one, or to ordinary memory. */
function rescue(t: Tensor, from: Scope, target: Scope | null): void {
  const { storage } = t;
  if (storage.scope !== from) return;
  // What the tensor was computed from dies with the scope, so its graph can't be used any more.
  t.node = null;
  t.requiresGrad = false;
  if (!target || storage.kind === 'int') return storage.leaveHeap();
  const moved = Storage.inScope(storage.length);
  if (storage.length > 0)
    launch('copy', moved.address(), storage.address(), 1, 1, 1, storage.length, 0, 0, 0, 1, 0, 0, 0, 1);
  storage.become(moved);
}

/**
 * Runs `fn` and frees the memory of all tensors it made, except those it returns (alone, in arrays or in plain objects),
 * which come out without their graphs. Needed only for long computations outside `trainStep`, `grad` and loaders.
 * @throws TypeError if `fn` is asynchronous.
 */
export function scope<T>(fn: () => T): T {
  if (typeof fn !== 'function') throw typeError('scope', `expected a function, got ${describe(fn)}`);
  if (fn.constructor.name === 'AsyncFunction') throw refusal();
  const outer = currentScope();
  const inner = openScope();
  try {
    const result = fn();
    if (isThenable(result)) throw refusal();
    inner.leave();
    eachTensor(result, (t) => rescue(t, inner, outer));
    return result;
  } finally {
    inner.end();
  }
}

/** Runs `fn` without recording: its results have no graph. */
export function noGrad<T>(fn: () => T): T {
  if (typeof fn !== 'function') throw typeError('noGrad', `expected a function, got ${describe(fn)}`);
  if (fn.constructor.name === 'AsyncFunction')
    throw typeError(
      'noGrad',
      'the function is asynchronous',
      'call noGrad inside it, round the synchronous part',
    );
  return withRecording(false, fn);
}
