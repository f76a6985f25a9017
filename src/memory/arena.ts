// Scopes: the owners of step memory. A scope bumps through chunks of the heap and gives them all back when it ends;
// scopes may end in any order, because each has its own chunks.
import { ALIGNMENT, heap } from './heap.js';
import type { Storage } from './storage.js';
import { watcher } from './watcher.js';

const CHUNK = 1 << 20;

interface Chunk {
  offset: number;
  bytes: number;
}

/** Chunks that no scope uses, smallest first: a steady loop takes the same ones again and the heap stays flat. */
const pool: Chunk[] = [];

function takeChunk(bytes: number): Chunk {
  const at = pool.findIndex((chunk) => chunk.bytes >= bytes);
  if (at >= 0) return pool.splice(at, 1)[0]!;
  return { offset: heap.allocate(bytes), bytes };
}

function giveChunk(chunk: Chunk): void {
  const at = pool.findIndex((other) => other.bytes > chunk.bytes);
  pool.splice(at < 0 ? pool.length : at, 0, chunk);
}

/** The owner of the tensors that are made while it is the current scope. */
export class Scope {
  ended = false;
  /** What was allocated here, so that {@link evacuate} can save it. */
  readonly storages: Storage[] = [];
  private readonly chunks: Chunk[] = [];
  private cursor = 0;
  private limit = 0;
  private total = 0;

  /** Returns the byte offset of uninitialised memory that lives as long as the scope. */
  allocate(bytes: number): number {
    const start = this.cursor;
    const end = start + Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    if (end <= this.limit) {
      this.cursor = end;
      watcher?.allocated(start, end - start);
      return start;
    }
    // Each chunk at least doubles the scope, so their number stays logarithmic.
    const chunk = takeChunk(nextPowerOfTwo(Math.max(CHUNK, bytes, this.total)));
    this.chunks.push(chunk);
    this.total += chunk.bytes;
    this.cursor = chunk.offset;
    this.limit = chunk.offset + chunk.bytes;
    return this.allocate(bytes);
  }

  /** Takes the scope off the stack while its memory still stands, so that results can be copied out of it. */
  leave(): void {
    const at = stack.lastIndexOf(this);
    if (at >= 0) stack.splice(at, 1);
  }

  /** Ends the scope: its memory goes back and its tensors are dead. */
  end(): void {
    if (this.ended) return;
    this.ended = true;
    this.leave();
    for (const chunk of this.chunks) giveChunk(chunk);
    this.chunks.length = 0;
    this.storages.length = 0;
  }

  /** Ends the scope but saves its tensors: each becomes an ordinary garbage-collected array. */
  evacuate(): void {
    if (this.ended) return;
    // Some have moved meanwhile, to a block of their own or into an optimizer's run.
    for (const storage of this.storages) if (storage.scope === this) storage.leaveHeap();
    this.end();
  }
}

function nextPowerOfTwo(n: number): number {
  let power = CHUNK;
  while (power < n) power *= 2;
  return power;
}

const stack: Scope[] = [];

/** The innermost open scope, or null. */
export const currentScope = (): Scope | null => stack[stack.length - 1] ?? null;

/** Opens a scope inside the current one; whoever opens it ends it. */
export function openScope(): Scope {
  const scope = new Scope();
  stack.push(scope);
  return scope;
}

/** Runs `fn` with no current scope: what it makes is ordinary garbage-collected memory. */
export function outsideScopes<T>(fn: () => T): T {
  const saved = stack.splice(0);
  try {
    return fn();
  } finally {
    stack.splice(0, 0, ...saved);
  }
}
