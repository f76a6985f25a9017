// What products and convolutions do to their sums at the end: a residual is added, then an activation applied.
import type { Cells } from '../row.js';
import { pointwise } from './pointwise.js';

/** Activations by number; each is the kernel of that name. */
export const ACTIVATIONS = ['none', 'relu', 'gelu', 'tanh', 'sigmoid'] as const;

/** Applies an activation to n elements from `at` on. */
export function activate(m: Cells, act: number, at: number, n: number): void {
  const name = ACTIVATIONS[act]!;
  if (name !== 'none') pointwise[name].ref(m, at, at, n);
}

/** The end of a label; bias and residual are the fourth and the fifth pointer. */
export const showEpilogue = (act: number, given: readonly boolean[]): string =>
  (given[3] ? ' +bias' : '') + (given[4] ? ' +residual' : '') + (act === 0 ? '' : ` ${ACTIVATIONS[act]!}`);
