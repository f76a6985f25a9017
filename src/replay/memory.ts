// The memory plan: buffers whose lives do not meet share memory. Nothing but offsets comes out of this.
import { ALIGNMENT } from '../memory/heap.js';
import { accesses, launchesOf, ONCE, type Graph } from './graph.js';

export interface MemoryPlan {
  /** Distance of each buffer from the start of the plan's block; -1 for one that nothing uses. */
  readonly offsets: readonly number[];
  /** Bytes of the block. */
  readonly bytes: number;
  /** What all buffers would need side by side. */
  readonly apart: number;
}

interface Life {
  readonly buffer: number;
  readonly bytes: number;
  first: number;
  last: number;
}

/** From the first to the last instruction that touches each buffer, both included. */
function livesOf({ instructions, buffers, outputs }: Graph): Life[] {
  const lives = buffers.map(({ bytes }, buffer): Life => ({
    buffer,
    bytes: aligned(bytes),
    first: Infinity,
    last: -1,
  }));
  instructions.forEach((instruction, k) => {
    for (const launch of launchesOf(instruction))
      for (const { owner } of accesses(launch)) {
        const life = lives[owner];
        if (!life) continue;
        // What is computed once is there before the first run, and stays.
        life.first = instruction.part === ONCE ? -1 : Math.min(life.first, k);
        life.last = Math.max(life.last, instruction.part === ONCE ? Infinity : k);
      }
  });
  for (const life of lives) {
    const { source, constant } = buffers[life.buffer]!;
    // Staged values are there before the first instruction; constants stay for ever.
    if ((source || constant) && life.last >= 0) life.first = -1;
    if (constant && life.last >= 0) life.last = Infinity;
    if (outputs.has(life.buffer))
      [life.first, life.last] = [Math.min(life.first, instructions.length), Infinity];
  }
  return lives.filter(({ last }) => last >= 0);
}

const aligned = (bytes: number): number => Math.max(ALIGNMENT, Math.ceil(bytes / ALIGNMENT) * ALIGNMENT);

/** Largest first, each as low as the lives that it meets allow: close to the least possible block. */
export function planMemory(graph: Graph): MemoryPlan {
  const lives = livesOf(graph).sort((a, b) => b.bytes - a.bytes || a.first - b.first);
  const offsets = graph.buffers.map(() => -1);
  const placed: Life[] = [];
  let [bytes, apart] = [0, 0];
  for (const life of lives) {
    // `placed` is in the order of offsets, so the first gap that is wide enough is the lowest.
    let at = 0;
    for (const other of placed) {
      if (other.first > life.last || life.first > other.last) continue;
      const start = offsets[other.buffer]!;
      if (start - at >= life.bytes) break;
      at = Math.max(at, start + other.bytes);
    }
    offsets[life.buffer] = at;
    let place = placed.findIndex((other) => offsets[other.buffer]! > at);
    if (place < 0) place = placed.length;
    placed.splice(place, 0, life);
    bytes = Math.max(bytes, at + life.bytes);
    apart += life.bytes;
  }
  return { offsets, bytes, apart };
}
