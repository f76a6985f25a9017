// The passes over a graph, in their order. Each can be left out, and none changes a bit of what the step computes. They share
// one draft, so that who touches what is found out once.
import type { Graph } from '../graph.js';
import { Draft } from '../uses.js';
import { foldConstants } from './constants.js';
import { forwardCopies } from './copies.js';
import { dropDead } from './dead.js';
import { foldEpilogues } from './epilogue.js';
import { rectifyAfterPooling } from './pooling.js';
import { cutStrips } from './strips.js';

export const PASSES = {
  constants: foldConstants,
  // Before epilogues: a relu behind a pool takes its gradient along. A step of a CNN is 2 to 3% slower with it in the convolution.
  pooling: rectifyAfterPooling,
  epilogue: foldEpilogues,
  copies: forwardCopies,
  dead: dropDead,
} as const satisfies Record<string, (draft: Draft) => Draft>;

/** The pass behind them, with which the draft ends: launches in strips have no place of their own. */
export const ENDING = { strips: cutStrips } as const satisfies Record<string, (draft: Draft) => Graph>;

export type PassName = keyof typeof PASSES | keyof typeof ENDING;
export const PASS_NAMES = Object.keys({ ...PASSES, ...ENDING }) as PassName[];

/** The graph after all passes but those in `off`. */
export function optimise(graph: Graph, off: ReadonlySet<string>): Graph {
  let draft = new Draft(graph);
  for (const [name, pass] of Object.entries(PASSES)) if (!off.has(name)) draft = pass(draft);
  return off.has('strips') ? draft.done() : ENDING.strips(draft);
}
