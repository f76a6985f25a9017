// Whole training steps: forward, backward and update, through `trainStep`. Those of `native, eager` run with replay
// switched off, in a process of their own.
import { CASES, makeStep } from './models.js';
import type { Prepared, Work } from './runner.js';

/** Steps before the first that is timed: they record what the later ones replay. */
const RECORDING = 5;

function prepare(run: () => number): Prepared {
  for (let k = 0; k < RECORDING; k++) run();
  return { run };
}

export const steps: readonly Work[] = CASES.map((one) => ({
  name: one.name,
  kind: one.kind,
  args: [one.optimizer, one.parameters],
  prepare: () => prepare(makeStep(one)),
}));
