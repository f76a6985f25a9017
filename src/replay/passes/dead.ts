// Drops launches whose results nothing reads: gradients that no one asked for, statistics that only eager code uses.
import { accesses, launchesOf, OUTSIDE, type Graph } from '../graph.js';

export function dropDead(graph: Graph): Graph {
  const wanted = new Set(graph.outputs);
  const kept = graph.instructions
    .toReversed()
    .filter((instruction) => {
      const all = launchesOf(instruction).flatMap(accesses);
      if (!all.some(({ writes, owner }) => writes && (owner === OUTSIDE || wanted.has(owner)))) return false;
      for (const { reads, owner } of all) if (reads) wanted.add(owner);
      return true;
    })
    .reverse();
  return { ...graph, instructions: kept };
}
