// Scopes: the owners of step memory. A scope takes chunks of the heap and gives them all back when it ends; scopes may end
// in any order, because each has its own. A steady loop takes the same ones again, so the heap stays flat. What only the
// library has seen may be given back earlier.
import { FreeList } from './freelist.js';
import { alignUp, heap } from './heap.js';
import type { Storage } from './storage.js';
import { watcher } from './watcher.js';

/** Chunks are whole multiples of this. */
const CHUNK = 1 << 16;
const wholeChunks = (bytes: number): number => Math.ceil(bytes / CHUNK) * CHUNK;

/** The owner of the tensors that are made while it is the current scope. */
export class Scope {
  ended = false;
  /** Nothing is given back before the end, for those who want to look at it there. */
  hoards = false;
  /**
   * Values of so many bytes are let go while nobody is known to need them. What they are computed from must not change in
   * place before the end, so only those who know all that happens here may set it.
   */
  letsGoFrom = Infinity;
  /** What was allocated here, so that {@link evacuate} can save it. */
  readonly storages: Storage[] = [];
  private readonly chunks: number[] = [];
  private readonly free = new FreeList();
  private readonly afterwards: (() => void)[] = [];
  private total = 0;
  /** Where the last chunk ends. */
  private endsAt = 0;

  /** Returns the byte offset of uninitialised memory that lives as long as the scope, or until it is given back. */
  allocate(bytes: number): number {
    const want = alignUp(Math.max(bytes, 1));
    let offset = this.free.take(want);
    if (offset < 0) {
      this.extend(want);
      offset = this.free.take(want);
    }
    watcher?.allocated(offset, want);
    return offset;
  }

  /** Gives back what {@link allocate} handed out, before the end. */
  release(offset: number, bytes: number): void {
    this.free.give(offset, alignUp(Math.max(bytes, 1)));
  }

  /** Memory of somebody else that the scope may use until it ends. */
  borrow(offset: number, bytes: number): void {
    this.include(offset, bytes);
  }

  /** Runs `fn` when the scope has ended and its memory is free. */
  afterEnd(fn: () => void): void {
    this.afterwards.push(fn);
  }

  private extend(want: number): void {
    if (this.lengthen(want)) return;
    // Each chunk adds at least a quarter, so their number stays logarithmic and little lies idle.
    const bytes = wholeChunks(Math.max(want, this.total / 4));
    const offset = heap.allocate(bytes);
    this.chunks.push(offset);
    this.endsAt = offset + bytes;
    this.include(offset, bytes);
  }

  /** Makes the last chunk longer by what is missing, which leaves nothing idle; false where the heap behind it is taken. */
  private lengthen(want: number): boolean {
    const last = this.chunks.at(-1);
    if (last === undefined) return false;
    const bytes = wholeChunks(want - this.free.before(this.endsAt));
    if (!heap.lengthen(last, bytes)) return false;
    this.include(this.endsAt, bytes);
    this.endsAt += bytes;
    return true;
  }

  private include(offset: number, bytes: number): void {
    this.total += bytes;
    this.free.give(offset, bytes);
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
    for (const offset of this.chunks) heap.release(offset);
    this.chunks.length = 0;
    this.storages.length = 0;
    this.free.clear();
    for (const fn of this.afterwards.splice(0)) fn();
  }

  /** Ends the scope but saves its tensors: each becomes an ordinary garbage-collected array. */
  evacuate(): void {
    if (this.ended) return;
    // Some have moved meanwhile, to a block of their own or into an optimizer's run.
    for (const storage of this.storages) if (storage.scope === this) storage.leaveHeap();
    this.end();
  }
}

/** The scope of storages that were given back. */
export const OVER = new Scope();
OVER.ended = true;

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
