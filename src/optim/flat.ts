// Flat memory: the parameters of a group, their gradients and each state array as runs of one heap block, so that an
// update is one pass. Each parameter starts at a cache line; the gaps are 0 in every run and stay 0 under any update.
import { launch } from '../kernels/launch.js';
import { heap } from '../memory/heap.js';
import { Storage } from '../memory/storage.js';
import type { Region } from '../memory/watcher.js';
import { realArray, Tensor } from '../tensor/tensor.js';

/** Elements: 64 bytes of float32, a cache line and the widest vector. */
const LINE = 16;
const padded = (n: number): number => Math.ceil(n / LINE) * LINE;

/** Heap blocks that hold gradient runs: between neighbours in them there is nothing but zeros. */
const gradientBlocks = new WeakSet<object>();

/** Parameters `first … last` that one launch can update together. */
export interface Segment {
  first: number;
  last: number;
}

/** The runs of one group. */
export class Flat {
  /** Updates that each parameter has had; a JavaScript integer, so it never saturates. */
  readonly steps: number[];
  readonly starts: readonly number[];
  readonly params: Storage;
  private readonly grads: Storage;
  private readonly slots: readonly Storage[];
  private readonly arrays = new Map<string, Storage>();
  private readonly length: number;

  constructor(
    readonly tensors: readonly Tensor[],
    readonly names: readonly string[],
  ) {
    let length = 0;
    this.starts = tensors.map((t) => (length += padded(t.size)) - padded(t.size));
    this.length = length;
    this.steps = tensors.map(() => 0);
    this.params = Storage.onHeap(length);
    // First, as the gradients can then be where the parameters were.
    tensors.forEach((t, i) => t.storage.moveInto(this.params, this.starts[i]!));
    this.grads = Storage.onHeap(length);
    if (this.grads.block) gradientBlocks.add(this.grads.block);
    this.slots = tensors.map((t, i) => this.grads.part(this.starts[i]!, t.size));
  }

  /** Bytes of a real in these runs. */
  get width(): 4 | 8 {
    return this.params.width;
  }

  /** Whether a step updates parameter `i`. */
  isActive(i: number): boolean {
    const t = this.tensors[i]!;
    return t.requiresGrad && t.grad !== null;
  }

  /** Brings parameter `i` and its gradient into the runs, if something moved them; a scope must be open. */
  takeIn(i: number): void {
    const [t, slot, start] = [this.tensors[i]!, this.slots[i]!, this.starts[i]!];
    const { storage, grad } = t;
    if (storage.offset !== this.params.offset + start * this.width) storage.moveInto(this.params, start);
    t.gradSlot = slot;
    if (!grad || grad.storage === slot) return;
    copy(slot, grad.storage);
    t.adoptGrad(new Tensor(slot, t.shape));
  }

  /** The gradients that a step would use, in order; a scope must be open. */
  gradients(): Storage[] {
    return this.slots.filter((_, i) => {
      if (!this.isActive(i)) return false;
      this.takeIn(i);
      return true;
    });
  }

  /** Longest runs of active parameters with equal step counts and equal `kind`. */
  segments(kind: (i: number) => unknown): Segment[] {
    const segments: Segment[] = [];
    for (let i = 0; i < this.tensors.length; i++) {
      if (!this.isActive(i)) continue;
      const open = segments.at(-1);
      const joins = open?.last === i - 1 && this.steps[i] === this.steps[i - 1] && kind(i) === kind(i - 1);
      if (joins) open.last = i;
      else segments.push({ first: i, last: i });
    }
    return segments;
  }

  /** Elements from the start of `first` to the end of `last`, with its gap. */
  extent({ first, last }: Segment): number {
    return (this.starts[last + 1] ?? this.length) - this.starts[first]!;
  }

  /** Byte offset of parameter `i` in a run. */
  at(run: Storage, i: number): number {
    return run.address() + this.starts[i]! * this.width;
  }

  gradAt(i: number): number {
    return this.at(this.grads, i);
  }

  /** The run of a state array; made, filled with `fill`, when first asked for. */
  array(name: string, fill: number): Storage {
    let run = this.arrays.get(name);
    if (run) return run;
    run = Storage.onHeap(this.length);
    if (fill !== 0) run.values().fill(fill);
    this.arrays.set(name, run);
    return run;
  }

  /** Each parameter, its gradient and its part of every state array, by name. */
  regions(): Region[] {
    const runs = new Map([['', this.params], ['grad', this.grads], ...this.arrays]);
    return [...runs].flatMap(([array, run]) =>
      this.names.map((name, i) => ({
        name,
        array: array && `.${array}`,
        from: run.offset + this.starts[i]! * this.width,
        bytes: padded(this.tensors[i]!.size) * this.width,
      })),
    );
  }

  /** A copy of the state array of parameter `i`, or null if there is no such array. */
  read(name: string, i: number): Float32Array | Float64Array | null {
    const run = this.arrays.get(name);
    const [from, n] = [this.starts[i]!, this.tensors[i]!.size];
    return run ? (run.values().slice(from, from + n) as Float32Array) : null;
  }

  /** Overwrites the state array of parameter `i`, which must exist: with values, or with one value. */
  write(name: string, i: number, values: ArrayLike<number> | number): void {
    const run = this.arrays.get(name);
    if (!run) return;
    const [from, n] = [this.starts[i]!, this.tensors[i]!.size];
    if (typeof values === 'number') run.values().fill(values, from, from + n);
    else run.values().set(values, from);
    run.touch();
  }
}

function copy(to: Storage, from: Storage): void {
  if (to.length > 0) launch('copy', to.address(), from.address(), 1, 1, 1, to.length, 0, 0, 0, 1, 0, 0, 0, 1);
  to.touch();
}

interface Span {
  address: number;
  length: number;
  block: object | null;
}

/** The values as few runs of memory; a scope must be open, and ordinary arrays come as copies in it. */
function spansOf(storages: readonly Storage[]): Span[] {
  const spans: Span[] = [];
  for (const storage of storages) {
    if (storage.length === 0) continue;
    const span = { address: storage.address(), length: storage.length, block: storage.block };
    const last = spans.at(-1);
    const gap = last ? (span.address - last.address) / heap.width - last.length : -1;
    const joins = last?.block === span.block && span.block !== null && gradientBlocks.has(span.block);
    if (last && joins && gap >= 0 && gap < LINE) last.length += gap + span.length;
    else spans.push(span);
  }
  return spans;
}

/** The scalars of a launch on the heap, rounded once from double; a scope must be open. A replay asks for them anew. */
export const cellsOf = (scalars: () => readonly number[]): number => {
  const now = scalars();
  const cells = realArray(now.length);
  cells.set(now);
  const storage = Storage.of(cells);
  storage.live = scalars;
  return storage.address();
};

/**
 * The Euclidean norm over all values, summed in double; a scope must be open. Infinite also where it exceeds the largest
 * float32, as kernels hand it back in two of those.
 */
export function normOf(storages: readonly Storage[]): number {
  const parts = spansOf(storages).map(({ address, length }) => {
    const out = Storage.inScope(2);
    launch('norm2', out.address(), address, length);
    return out;
  });
  let norm = 0;
  for (const part of parts) {
    const [high, low] = part.peek() as Float32Array;
    // An infinite high part leaves no meaning to the low one.
    norm = Math.hypot(norm, Number.isFinite(high) ? high! + low! : high!);
  }
  return norm;
}

/** Multiplies all values by `factor` where they are; a scope must be open. */
export function scaleAll(storages: readonly Storage[], factor: number): void {
  const isOnHeap = (s: Storage): boolean => s.offset >= 0 && s.width === heap.width;
  const cell = cellsOf(() => [factor]);
  for (const { address, length } of spansOf(storages.filter(isOnHeap)))
    launch('scale', address, cell, length);
  for (const storage of storages) {
    if (!isOnHeap(storage)) {
      const values = storage.values();
      const rounded = values instanceof Float32Array ? Math.fround(factor) : factor;
      values.forEach((v, k) => (values[k] = v * rounded));
    }
    storage.touch();
  }
}
