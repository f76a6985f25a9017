// The memory plan: buffers share memory whose lives do not meet, or meet in a kernel that may work in place. Nothing but
// offsets comes out of this.
import { ALIGNMENT } from '../memory/heap.js';
import { table } from '../kernels/table.js';
import { accesses, isStrips, launchesOf, ONCE, type Graph, type Launch, type Span } from './graph.js';

export interface MemoryPlan {
  /** Distance of each buffer from the start of the plan's block; -1 for one that nothing uses. */
  readonly offsets: readonly number[];
  /** Bytes of the block. */
  readonly bytes: number;
  /** What all buffers would need side by side. */
  readonly apart: number;
}

interface Life {
  /** Buffers that follow each other in one place, each computed from the one before by a kernel that may work in place. */
  readonly buffers: number[];
  readonly bytes: number;
  first: number;
  last: number;
}

/** Before the first instruction, and after the last: small numbers, which take no memory of their own. */
const [BEFORE, AFTER] = [-1, 2 ** 30];

/** From the first to the last instruction that touches each buffer, both included. */
function livesOf({ instructions, buffers, outputs }: Graph): Life[] {
  const lives = buffers.map(({ bytes }, buffer): Life => ({
    buffers: [buffer],
    bytes: aligned(bytes),
    first: AFTER,
    last: BEFORE,
  }));
  const touch = (launch: Launch, from: number, to: number): void => {
    const all = accesses(launch);
    for (let k = 0; k < all.length; k++) {
      const life = lives[all[k]!.owner];
      if (!life) continue;
      life.first = Math.min(life.first, from);
      life.last = Math.max(life.last, to);
    }
  };
  instructions.forEach((instruction, k) => {
    // What is computed once is there before the first run, and stays.
    const once = instruction.part === ONCE;
    launchesOf(instruction).forEach((launch) => touch(launch, once ? BEFORE : k, once ? AFTER : k));
  });
  lives.forEach((life, buffer) => {
    const { source, constant } = buffers[buffer]!;
    // Staged values are there before the first instruction; constants stay for ever.
    if ((source || constant) && life.last >= 0) life.first = BEFORE;
    if (constant && life.last >= 0) life.last = AFTER;
    if (outputs.has(buffer)) [life.first, life.last] = [Math.min(life.first, instructions.length), AFTER];
  });
  return joined(instructions, lives).filter(({ last }) => last >= 0);
}

/** Lives of which one ends where a kernel may compute the other in its place become one. */
function joined(instructions: Graph['instructions'], lives: Life[]): Life[] {
  instructions.forEach((instruction, k) => {
    if (isStrips(instruction) || !table[instruction.kernel].inPlace) return;
    const [to, from, ...others] = accesses(instruction);
    const [begun, ended] = [lives[to!.owner], from && lives[from.owner]];
    if (!begun || !ended || begun.first !== k || ended.last !== k || ended.first === BEFORE) return;
    // All of one from all of the other; operands are dense or broadcast, so elements keep their places.
    const isWhole = (one: Span): boolean => one.from === 0 && aligned(one.to) === ended.bytes;
    if (to!.to !== from!.to || begun.bytes !== ended.bytes) return;
    if (![to!, from!, ...others.filter(({ owner }) => owner === from!.owner)].every(isWhole)) return;
    ended.last = begun.last;
    ended.buffers.push(...begun.buffers);
    lives[to!.owner] = ended;
  });
  return [...new Set(lives)];
}

const aligned = (bytes: number): number => Math.max(ALIGNMENT, Math.ceil(bytes / ALIGNMENT) * ALIGNMENT);

/** The lowest place for a buffer beside those that live when it does; `placed` is in the order of offsets. */
function placeFor(life: Life, placed: readonly Life[], offsets: readonly number[]): number {
  let at = 0;
  // Thousands of steps for some graphs, and iterators would leave an object behind for each.
  for (let k = 0; k < placed.length; k++) {
    const other = placed[k]!;
    if (other.first > life.last || life.first > other.last) continue;
    const start = offsets[other.buffers[0]!]!;
    if (start - at >= life.bytes) return at;
    at = Math.max(at, start + other.bytes);
  }
  return at;
}

/** Largest first, each as low as the lives that it meets allow: close to the least possible block. */
export function planMemory(graph: Graph): MemoryPlan {
  const lives = livesOf(graph).sort((a, b) => b.bytes - a.bytes || a.first - b.first);
  const offsets = graph.buffers.map(() => -1);
  const placed: Life[] = [];
  let [bytes, apart] = [0, 0];
  for (const life of lives) {
    const at = placeFor(life, placed, offsets);
    for (const buffer of life.buffers) offsets[buffer] = at;
    let place = placed.length;
    while (place > 0 && offsets[placed[place - 1]!.buffers[0]!]! > at) place--;
    placed.splice(place, 0, life);
    bytes = Math.max(bytes, at + life.bytes);
    apart += life.bytes * life.buffers.length;
  }
  return { offsets, bytes, apart };
}
