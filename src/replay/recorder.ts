// The recorder: sees one eager call and writes down what a replay needs. Every pointer of every launch becomes a buffer and
// a distance into it; the buffers know where their first values came from.
import type { Scope } from '../memory/arena.js';
import type { Cells, Storage } from '../memory/storage.js';
import { watched, type HostPart, type Watcher } from '../memory/watcher.js';
import type { KernelName } from '../kernels/table.js';
import { table } from '../kernels/table.js';
import { isPointer } from '../kernels/row.js';
import type { Tensor } from '../tensor/tensor.js';
import { homeOf, type Input } from './arguments.js';
import { userLine } from './userline.js';

/** Owner of an argument that is a number. */
export const NUMBER = -2;
/** Owner of a pointer to memory that outlives the step: the argument is its address, 0 for an absent one. */
export const OUTSIDE = -1;

/** A buffer, and a distance in bytes into it. */
export interface Place {
  readonly buffer: number;
  readonly delta: number;
}

/** One launch. A pointer's owner is a buffer's number, or {@link OUTSIDE}; its argument is then the distance in bytes. */
export interface Entry {
  readonly kernel: KernelName;
  readonly args: readonly number[];
  readonly owners: readonly number[];
  /** Launches of one part run without a look from JavaScript between them. */
  readonly part: number;
}

/** Where the values of a staged buffer come from. */
export type Source =
  /** From the argument `input`. */
  | { readonly from: 'input'; readonly input: number; readonly value: (of: unknown) => unknown }
  /** Given anew for every replay. */
  | { readonly from: 'live'; readonly value: () => ArrayLike<number> }
  /** From an array that is there at every call, `key`; or, where `key` is another every time, a constant. */
  | { readonly from: 'held'; readonly key: unknown; readonly value: () => unknown };

export interface TracedBuffer {
  readonly bytes: number;
  readonly kind: Storage['kind'];
  /** Null for what kernels compute. */
  readonly source: Source | null;
  /** What lay there when it was recorded; kept of constants only. */
  readonly content: Cells | null;
}

/** What must be as it was for a plan to serve. */
export interface Guards {
  readonly variables: ReadonlyMap<Tensor, boolean>;
  /** Whether a tensor had a gradient before the call. */
  readonly gradients: ReadonlyMap<Tensor, boolean>;
  readonly modes: ReadonlyMap<{ training: boolean }, boolean>;
  /** Places of storages that outlive the step. */
  readonly places: ReadonlyMap<Storage, number>;
}

export class Recorder implements Watcher {
  readonly entries: Entry[] = [];
  readonly buffers: TracedBuffer[] = [];
  readonly hosts: HostPart[] = [];
  readonly variables = new Map<Tensor, boolean>();
  readonly gradients = new Map<Tensor, boolean>();
  readonly modes = new Map<{ training: boolean }, boolean>();
  readonly places = new Map<Storage, number>();
  /** Storages whose values changed in place. */
  readonly changes = new Set<Storage>();
  /** Tensors that have a gradient now, and which. */
  readonly adopted = new Map<Tensor, Tensor>();
  /** Storages that are read when the step is over. */
  readonly kept = new Map<Storage, Place>();
  /** What the caller wants to find in the plan. */
  result: unknown;
  /** Why this call can not be replayed, or null. */
  refusal: string | null = null;
  part = 0;
  /** Whether the call ended before its last part, so that it is no example of the others. */
  cut = false;
  private readonly homes = new Map<unknown, number>();
  private readonly cleared = new Set<Tensor>();
  /** Buffers of storages that were let go. */
  private readonly away = new Map<Storage, number>();
  /** Whose place the output of the next launch takes, which may still read what lies there. */
  private over: { readonly offset: number; readonly buffer: number } | null = null;
  /** Whether what was computed before is computed again: a plan keeps it, so its launches are no part of the recording. */
  private repeating = 0;
  /** Live intervals by their starts, in order, and the buffers there. */
  private readonly starts: number[] = [];
  private readonly owners: number[] = [];

  constructor(
    inputs: readonly Input[],
    private readonly scope: Scope,
  ) {
    inputs.forEach((input, k) => {
      const home = homeOf(input);
      if (this.homes.has(home)) return;
      this.homes.set(home, k);
      const storage = home as Partial<Storage>;
      if (typeof storage.offset !== 'number') return;
      // A tensor over an ordinary array is the array; one that lies on the heap already is an interval of it.
      if (storage.offset < 0) this.homes.set((home as Storage).peek(), k);
      else this.enter(storage.offset, this.input(home as Storage, k));
    });
  }

  allocated(offset: number, bytes: number): void {
    if (this.repeating === 0) this.enter(offset, { bytes, kind: 'real', source: null, content: null });
  }

  letGo(storage: Storage): void {
    this.away.set(storage, this.placeOf(storage.offset)!.buffer);
  }

  comesBack(storage: Storage, make: () => void): void {
    this.repeating++;
    try {
      make();
    } finally {
      this.repeating--;
    }
    this.lay(storage.offset, this.away.get(storage)!);
  }

  replaced(storage: Storage): void {
    const { offset } = storage;
    this.over = { offset, buffer: this.placeOf(offset)!.buffer };
    const { bytes, kind } = this.buffers[this.over.buffer]!;
    this.enter(offset, { bytes, kind, source: null, content: null });
  }

  launched(kernel: string, args: readonly number[]): void {
    if (this.repeating > 0) return;
    const { over } = this;
    this.over = null;
    const name = kernel as KernelName;
    const { sig } = table[name];
    const owners = new Array<number>(args.length).fill(NUMBER);
    const own = args.slice();
    for (let k = 0; k < args.length; k++) {
      if (!isPointer(sig[k]!)) continue;
      const at = this.find(args[k]!);
      if (at < 0) {
        owners[k] = OUTSIDE;
        continue;
      }
      const buffer =
        over !== null && args[k] === over.offset && sig[k] === 'i' ? over.buffer : this.owners[at]!;
      owners[k] = buffer;
      own[k] = args[k]! - this.starts[at]!;
      if ('oup'.includes(sig[k]!) && this.buffers[buffer]!.source?.from === 'input')
        this.refuse('an argument is changed in place');
    }
    this.entries.push({ kernel: name, args: own, owners, part: this.part });
  }

  addressed(storage: Storage): void {
    if (this.homes.has(storage)) return;
    if (storage.scope === null) this.places.set(storage, storage.offset);
    else if (storage.scope !== this.scope && this.find(storage.offset) < 0)
      this.refuse('a tensor of an enclosing scope is used that is not among the arguments');
  }

  staged(storage: Storage, offset: number, bytes: number): void {
    const at = this.find(offset);
    const known = at >= 0 && this.starts[at] === offset ? this.buffers[this.owners[at]!]! : null;
    if (known?.source) return;
    const source = this.sourceOf(storage);
    const content = source.from === 'held' ? storage.peek().slice() : null;
    this.enter(offset, { bytes, kind: storage.kind, source, content });
  }

  read(storage: Storage): void {
    const computed = storage.scope !== null || storage.block !== null;
    const source = computed ? null : this.sourceOf(storage);
    if (computed || source!.from === 'input') this.refuse('values are read');
  }

  changed(storage: Storage): void {
    this.changes.add(storage);
  }

  leaf(t: Tensor): void {
    if (!this.variables.has(t)) this.variables.set(t, t.requiresGrad);
  }

  gradAsked(t: Tensor): void {
    if (!this.cleared.has(t) && !this.gradients.has(t) && !this.adopted.has(t))
      this.gradients.set(t, t.grad !== null);
  }

  gradCleared(t: Tensor): void {
    this.cleared.add(t);
    this.adopted.delete(t);
  }

  gradAdopted(t: Tensor): void {
    if (t.grad) this.adopted.set(t, t.grad);
  }

  mode(owner: { training: boolean }, training: boolean): void {
    this.modes.set(owner, training);
  }

  host(part: HostPart): void {
    if (this.hosts.some(({ owner }) => owner === part.owner))
      this.refuse('an optimizer steps twice in one call');
    this.hosts.push(part);
    for (const storage of part.outputs) this.keep(storage);
  }

  refuse(reason: string): void {
    this.refusal ??= `${reason}${userLine()}`;
  }

  /** JavaScript decides, unseen, between two parts; if it says no, the call ends here. */
  between(decide: () => boolean): boolean {
    const goes = watched(null, decide);
    this.part++;
    this.cut ||= !goes;
    return goes;
  }

  /** Says that the values of a storage are read when the step is over. False if no launch computed them. */
  keep(storage: Storage): boolean {
    const place = storage.offset >= 0 ? this.placeOf(storage.offset) : null;
    if (place) this.kept.set(storage, place);
    return place !== null;
  }

  /** The argument whose memory this is, if it lies on the heap already; else null. */
  inputAt(storage: Storage): number | null {
    return this.homes.get(storage) ?? null;
  }

  /** Notes an ordinary array that no kernel sees, so that two recordings are compared by it too. */
  hold(storage: Storage): Source {
    const source = this.sourceOf(storage);
    const content = source.from === 'held' ? storage.peek().slice() : null;
    this.buffers.push({ bytes: 0, kind: storage.kind, source, content });
    return source;
  }

  /** Lets go of the arguments. */
  forget(): void {
    this.homes.clear();
  }

  /** The buffer behind a place on the heap; null for memory that outlives the step. */
  placeOf(offset: number): Place | null {
    const at = this.find(offset);
    return at < 0 ? null : { buffer: this.owners[at]!, delta: offset - this.starts[at]! };
  }

  private input(storage: Storage, input: number): TracedBuffer {
    const width = storage.kind === 'int' ? 4 : storage.width;
    const source: Source = { from: 'input', input, value: (of) => of };
    return { bytes: storage.length * width, kind: storage.kind, source, content: null };
  }

  /** Follows the origins of an array back to an argument, or to what was there before. */
  sourceOf(storage: Storage): Source {
    if (storage.live) return { from: 'live', value: storage.live };
    const makes: ((from: unknown) => unknown)[] = [];
    const made = (of: unknown): unknown => {
      let value = of;
      for (let k = makes.length - 1; k >= 0; k--) value = makes[k]!(value);
      return value;
    };
    for (let at = storage; ;) {
      // An origin may check the values, so it goes before the array that it passes on.
      const own = this.homes.get(at) ?? (at.origin || at.offset >= 0 ? undefined : this.homes.get(at.peek()));
      if (own !== undefined) return { from: 'input', input: own, value: made };
      if (!at.origin) {
        const end = at;
        return { from: 'held', key: end, value: () => made(end.peek()) };
      }
      const { from, make } = at.origin;
      if (make) makes.push(make);
      const input = this.homes.get(from);
      if (input !== undefined) return { from: 'input', input, value: made };
      if (!isStorage(from)) return { from: 'held', key: from, value: () => made(from) };
      at = from;
    }
  }

  /** Notes a new buffer that begins at `offset`; what lay there before is gone. */
  private enter(offset: number, buffer: TracedBuffer): void {
    this.lay(offset, this.buffers.push(buffer) - 1);
  }

  /** Notes that buffer `id` lies at `offset` now. */
  private lay(offset: number, id: number): void {
    const { bytes } = this.buffers[id]!;
    let at = this.above(offset);
    // Step memory is handed out upwards, so nearly always this is the end of the list.
    const before = at - 1;
    if (before >= 0 && this.starts[before]! + this.buffers[this.owners[before]!]!.bytes > offset) at = before;
    let end = at;
    while (end < this.starts.length && this.starts[end]! < offset + bytes) end++;
    this.starts.splice(at, end - at, offset);
    this.owners.splice(at, end - at, id);
  }

  /** Where a buffer begins, or -1 if other memory took its place. */
  addressOf(buffer: number): number {
    return this.starts[this.owners.indexOf(buffer)] ?? -1;
  }

  /** Index of the interval that holds `offset`, or -1. */
  private find(offset: number): number {
    const at = this.above(offset) - 1;
    if (at < 0) return -1;
    return offset < this.starts[at]! + Math.max(1, this.buffers[this.owners[at]!]!.bytes) ? at : -1;
  }

  /** Number of starts that are not above `offset`. */
  private above(offset: number): number {
    let low = 0;
    let high = this.starts.length;
    if (high === 0 || this.starts[high - 1]! <= offset) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.starts[middle]! <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

const isStorage = (value: unknown): value is Storage =>
  typeof value === 'object' && value !== null && 'peek' in value;
