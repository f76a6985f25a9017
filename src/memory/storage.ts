// Storage: where a tensor's numbers are. Three homes: a scope's arena (dies with it), a heap block (parameters, kept
// tensors, optimizer state), or an ordinary typed array, which is staged into the current scope when a kernel needs it.
import { ScopeError } from '../tensor/errors.js';
import { currentScope, OVER, type Scope } from './arena.js';
import { heap, type RealArray } from './heap.js';
import { watcher } from './watcher.js';

export type Kind = 'real' | 'int';
export type Cells = RealArray | Int32Array;

/** Heap blocks whose storage was collected. Few and long-lived, so a finalizer suffices. */
const blocks = new FinalizationRegistry<number>((offset) => heap.release(offset));

/** `make(from)` gave the values; without `make` they are those of `from`: an array, nested arrays or a storage. */
export interface Origin {
  readonly from: unknown;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- whatever `from` is
  readonly make?: (from: any) => Cells;
}

/** What the next reals in a scope get instead of its memory, if they are as many. */
let offered: Storage | null = null;

/** `offset` of values that were let go. */
const AWAY = -2;

export class Storage {
  /** Grows when the values change in place, so that staged copies and saved graphs can tell. */
  version = 0;
  /** Byte offset in the heap, or -1 for an ordinary array. */
  offset = -1;
  /** Bytes of one element on the heap. */
  width: 4 | 8 = 4;
  /** The owner of the arena memory behind `offset`, if that is where it is. */
  scope: Scope | null = null;
  /** The heap block that `offset` lies in; held so that it is not collected. */
  block: object | null = null;
  /** What an array was made from, for a recorded step that is replayed on other arguments. */
  origin: Origin | null = null;
  /** Gives the values anew for each replay of a recorded step: scalars of an optimizer, the numbers of random draws. */
  live: (() => ArrayLike<number>) | null = null;
  /** Moves to a heap block of its own when first used by a kernel: for long-lived values that many ops read. */
  settles = false;
  /**
   * Computes the values again, having called `place` for memory to write them to; null where that would be dear, or where
   * somebody needs them anyhow.
   */
  remake: ((place: () => void) => void) | null = null;
  /** Whether the block is this storage's alone. */
  private alone = false;
  private array: Cells | null = null;
  private stagedAt = 0;
  private stagedIn: Scope | null = null;
  private stagedVersion = -1;
  private stagedWidth: 4 | 8 = 4;

  private constructor(
    readonly length: number,
    readonly kind: Kind,
  ) {}

  /** Whether the values are an ordinary array, off the heap. */
  get isArray(): boolean {
    return this.offset === -1;
  }

  /** Uninitialised memory in the current scope, which must exist. */
  static inScope(length: number, kind: Kind = 'real'): Storage {
    const scope = currentScope();
    if (!scope) throw new Error('Storage.inScope: no scope is open');
    if (offered !== null && kind === 'real' && offered.length === length && offered.width === heap.width) {
      const storage = offered;
      offered = null;
      if (storage.scope !== null) watcher?.replaced(storage);
      return storage;
    }
    const storage = new Storage(length, kind);
    storage.width = kind === 'int' ? 4 : heap.width;
    storage.offset = scope.allocate(length * storage.width);
    storage.scope = scope;
    scope.storages.push(storage);
    return storage;
  }

  /** Runs `make`, which may compute its result in `place`: the first reals of that length that it asks a scope for. */
  static withPlace<T>(place: Storage, make: () => T): T {
    offered = place;
    try {
      return make();
    } finally {
      offered = null;
    }
  }

  /** An ordinary array, used as it is and never copied here. */
  static of(array: Cells, origin: Origin | null = null): Storage {
    const storage = new Storage(array.length, array instanceof Int32Array ? 'int' : 'real');
    storage.array = array;
    storage.origin = origin;
    return storage;
  }

  /** A heap block of zeros that lives as long as this object or one of its {@link part}s. */
  static onHeap(length: number): Storage {
    const storage = new Storage(length, 'real');
    storage.enterBlock(length);
    storage.peek().fill(0);
    return storage;
  }

  /** Gives a heap block, or memory of a scope, back now; nothing may use it any more. */
  free(): void {
    if (this.scope !== null && !this.scope.ended) {
      if (this.offset !== AWAY) this.scope.release(this.offset, this.length * this.width);
      this.scope = OVER;
    }
    if (this.block === null) return;
    blocks.unregister(this.block);
    heap.release(this.offset);
    this.block = null;
    this.alone = false;
    this.offset = -1;
    this.array = null;
  }

  /** Gives memory back for now, where the scope allows it and {@link remake} can bring the values back: once, to stay. */
  letGo(): void {
    const { scope } = this;
    const bytes = this.length * this.width;
    if (this.remake === null || this.offset < 0 || scope === null) return;
    if (scope.ended || scope.hoards || bytes < scope.letsGoFrom) return;
    watcher?.letGo(this);
    scope.release(this.offset, bytes);
    this.offset = AWAY;
  }

  private comeBack(): void {
    const { scope, remake } = this;
    if (scope!.ended) throw deadError();
    // What is kept beside these values outlives what they are needed for.
    offered = null;
    const make = (): void =>
      remake!(() => {
        this.offset = scope!.allocate(this.length * this.width);
        this.remake = null;
      });
    if (watcher) watcher.comesBack(this, make);
    else make();
  }

  /** The heap byte offset of the values; copies an ordinary array into the current scope, once a scope. */
  address(): number {
    if (this.offset >= 0 && (this.kind === 'int' || this.width === heap.width)) {
      if (this.scope !== null && this.scope.ended) throw deadError();
      watcher?.addressed(this);
      return this.offset;
    }
    if (this.offset === AWAY) {
      this.comeBack();
      return this.address();
    }
    if (this.settles && this.offset < 0 && heap.width === 4) {
      this.settle();
      watcher?.addressed(this);
      return this.offset;
    }
    return this.stage();
  }

  /** The values themselves, not a copy. Write through this only with {@link touch}. */
  values(): Cells {
    watcher?.read(this);
    return this.peek();
  }

  /** {@link values} without telling a recorder: for reads that a replay does by itself. */
  peek(): Cells {
    if (this.scope !== null && this.scope.ended) throw deadError();
    if (this.array) return this.array;
    if (this.offset === AWAY) this.comeBack();
    const View = this.kind === 'int' ? Int32Array : this.width === 4 ? Float32Array : Float64Array;
    const view = new View(heap.memory.buffer as unknown as ArrayBuffer, this.offset, this.length);
    if (this.scope === null) this.array = view;
    return view;
  }

  /** Says that the values were changed in place. */
  touch(): void {
    this.version++;
    this.remake = null;
    watcher?.changed(this);
  }

  /** Moves the values to an ordinary array; every tensor that shares this storage follows. */
  leaveHeap(): void {
    if (this.offset < 0) return;
    this.array = this.values().slice();
    this.offset = -1;
    this.scope = null;
    this.block = null;
    this.alone = false;
  }

  /** Takes over the memory of `other`, which holds a copy of the values. */
  become(other: Storage): void {
    this.array = null;
    this.offset = other.offset;
    this.width = other.width;
    this.scope = other.scope;
    other.scope?.storages.push(this);
  }

  /** Moves the values to a heap block that lives as long as this object. */
  settle(): void {
    const old = this.values();
    this.scope = null;
    this.array = null;
    this.enterBlock(this.length);
    this.peek().set(old);
  }

  /**
   * Moves the values into `run` from element `start` on; every tensor that shares this storage follows, and a block of its own
   * goes back at once.
   */
  moveInto(run: Storage, start: number): void {
    const old = this.values();
    const left = this.alone ? { block: this.block!, offset: this.offset } : null;
    this.becomePart(run, start);
    this.peek().set(old);
    if (!left) return;
    blocks.unregister(left.block);
    heap.release(left.offset);
  }

  /** A storage over elements `start … start + length` of this heap block. */
  part(start: number, length: number): Storage {
    const part = new Storage(length, 'real');
    part.becomePart(this, start);
    return part;
  }

  private becomePart(run: Storage, start: number): void {
    this.alone = run.alone = false;
    this.scope = null;
    this.array = null;
    this.block = run.block;
    this.width = run.width;
    this.offset = run.offset + start * run.width;
  }

  private enterBlock(length: number): void {
    this.width = heap.width;
    this.offset = heap.allocate(length * this.width);
    this.block = {};
    blocks.register(this.block, this.offset, this.block);
    this.alone = true;
  }

  private stage(): number {
    const scope = currentScope();
    if (!scope) throw new Error('Storage.address: an ordinary array can be staged only inside a scope');
    const source = this.peek();
    const fresh = this.stagedIn !== null && !this.stagedIn.ended && this.stagedVersion === this.version;
    const width = this.kind === 'int' ? 4 : heap.width;
    if (fresh && this.stagedWidth === heap.width) {
      watcher?.staged(this, this.stagedAt, this.length * width);
      return this.stagedAt;
    }
    const at = scope.allocate(this.length * width);
    const target = this.kind === 'int' ? heap.i32 : heap.real;
    target.set(source, at / width);
    this.stagedAt = at;
    this.stagedIn = scope;
    this.stagedVersion = this.version;
    this.stagedWidth = heap.width;
    watcher?.staged(this, at, this.length * width);
    return at;
  }
}

const deadError = (): ScopeError =>
  new ScopeError(
    'tensor: used after its scope ended; return it from the scope, or call keep() on it inside, if it must outlive the step',
  );
