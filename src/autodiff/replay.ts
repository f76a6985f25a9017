// compile: runs a function in step memory, keyed by its input shapes. Execution is eager for now; what replay will need
// holds already: one door, per-step values in cells, counter-based draws, signatures that say what each pointer is.
import { currentScope, openScope } from '../memory/arena.js';
import { describe, typeError } from '../tensor/errors.js';
import { eachTensor } from './scope.js';

/**
 * Returns a function of the same signature as `fn` that owns the memory of `fn`'s intermediates: only what it returns
 * survives a call.
 */
export function compile<F extends (...args: never[]) => unknown>(fn: F): F {
  if (typeof fn !== 'function') throw typeError('compile', `expected a function, got ${describe(fn)}`);
  if (fn.constructor.name === 'AsyncFunction') throw typeError('compile', 'the function is asynchronous');
  const run = (...args: Parameters<F>): unknown => {
    // Inside a step the surrounding scope owns everything, and a graph may lead through this call.
    if (currentScope()) return fn(...args);
    const scope = openScope();
    try {
      const result = fn(...args);
      let graph = false;
      eachTensor(result, (t) => (graph ||= t.requiresGrad));
      if (graph) scope.evacuate();
      else eachTensor(result, (t) => t.storage.leaveHeap());
      return result;
    } finally {
      scope.end();
    }
  };
  return run as F;
}
