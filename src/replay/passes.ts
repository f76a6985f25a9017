// The passes over a graph, in their order. Each can be switched off, and none changes a result beyond its stated bound.
import type { Graph } from './graph.js';

export const PASSES = {} as const satisfies Record<string, (graph: Graph) => Graph>;
export type PassName = keyof typeof PASSES;

export const optimise = (graph: Graph, off: ReadonlySet<string>): Graph =>
  Object.entries(PASSES as Record<string, (graph: Graph) => Graph>).reduce(
    (now, [name, pass]) => (off.has(name) ? now : pass(now)),
    graph,
  );
