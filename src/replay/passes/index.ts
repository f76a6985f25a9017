// The passes over a graph, in their order. Each can be left out, and none changes a bit of what the step computes.
import type { Graph } from '../graph.js';
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
  strips: cutStrips,
} as const satisfies Record<string, (graph: Graph) => Graph>;

export type PassName = keyof typeof PASSES;
export const PASS_NAMES = Object.keys(PASSES) as PassName[];

/** The graph after all passes but those in `off`. */
export function optimise(graph: Graph, off: ReadonlySet<string>): Graph {
  let now = graph;
  for (const [name, pass] of Object.entries(PASSES)) if (!off.has(name)) now = pass(now);
  return now;
}
