// What the loop asks of a model: to be called, and where it has them, modes and named parameters. Also the loop's manners
// towards the rest of the process.
import { setImmediate } from 'node:timers/promises';
import { describe, typeError } from '../tensor/errors.js';
import type { Tensor } from '../tensor/tensor.js';

/** An `nn.Module`, or a plain function of one input. */
export interface Model {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- a model says itself what it takes
  (x: any): Tensor;
  training?: boolean;
  train?(mode?: boolean): unknown;
  namedParameters?(): Iterable<[string, Tensor]>;
}

export function checkModel(where: string, model: unknown): void {
  if (typeof model !== 'function')
    throw typeError(where, `model must be a module or a function, got ${describe(model)}`);
}

/** Puts a model into training or evaluation; a plain function has no modes. */
export const setMode = (model: Model, training: boolean): void => void model.train?.(training);

/** The first parameter or gradient with a value that is not finite, in words; null if there is none. */
export function firstNonFinite(model: Model): string | null {
  const bad = (t: Tensor | null): boolean => t?.storage.values().some((v) => !Number.isFinite(v)) ?? false;
  const named = [...(model.namedParameters?.() ?? [])];
  const parameter = named.find(([, t]) => bad(t));
  if (parameter) return `parameter "${parameter[0]}" holds a value that is not finite`;
  const gradient = named.find(([, t]) => bad(t.grad));
  return gradient ? `the gradient of "${gradient[0]}" is not finite` : null;
}

/** Work longer than this without giving way would be felt by a server's other requests. */
const BUSY_MS = 50;

/** Returns a function that lets timers, signals and requests run if they have waited for about 50 ms. */
export function makeWay(): () => Promise<void> {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < BUSY_MS) return;
    await setImmediate();
    last = performance.now();
  };
}
