// What a sweep computes and nobody needs any more. Gradient rules are the library's own, so between two nodes nothing that
// they made can be in use but the gradients that are still on their way: the rest goes back to the scope at once, and a
// backward pass needs little more memory than the forward pass left it.
import { currentScope, type Scope } from '../memory/arena.js';
import type { Storage } from '../memory/storage.js';
import type { Node, Tensor } from '../tensor/tensor.js';

export class Leftovers {
  private readonly scope: Scope | null;
  /** How many gradients lie in a storage: reshaped ones and slices share theirs. */
  private readonly holds = new Map<Storage, number>();
  /** Storages that were made in this sweep and lived on. */
  private readonly own = new Set<Storage>();
  private readonly dropped: Storage[] = [];
  /** Where the scope's storages begin that are not looked at yet. */
  private mark: number;

  /** `graph`: the gradients are on the tape themselves, so all they were computed from is needed. */
  constructor(graph: boolean) {
    const scope = graph ? null : currentScope();
    this.scope = scope?.hoards ? null : scope;
    this.mark = scope?.storages.length ?? 0;
  }

  hold({ storage }: Tensor): void {
    count(this.holds, storage, 1);
  }

  drop({ storage }: Tensor): void {
    if (count(this.holds, storage, -1) === 0) this.dropped.push(storage);
  }

  /** Whether a gradient was made in this sweep and nobody needs it but the rule that comes next. */
  isSpent({ storage }: Tensor): boolean {
    return this.scope !== null && this.own.has(storage) && !counted(this.holds, storage);
  }

  /** Gives back what the forward pass made. */
  discard(storage: Storage): void {
    if (this.scope !== null && storage.scope === this.scope && !counted(this.holds, storage)) storage.free();
  }

  /** To be called between rules. */
  clear(): void {
    if (!this.scope) return;
    const { storages } = this.scope;
    let end = this.mark;
    for (let k = end; k < storages.length; k++) {
      const storage = storages[k]!;
      if (counted(this.holds, storage)) {
        storages[end++] = storage;
        this.own.add(storage);
      } else storage.free();
    }
    storages.length = this.mark = end;
    for (let k = 0; k < this.dropped.length; k++) {
      const storage = this.dropped[k]!;
      if (!counted(this.holds, storage) && this.own.delete(storage)) storage.free();
    }
    this.dropped.length = 0;
  }
}

/**
 * What a graph still needs, for a sweep whose graph nobody else sees: a tensor's memory goes with the last node that reads
 * it, and a leaf's gradient is complete after the last node that leads to it.
 */
export class Remains {
  /** How often nodes read or wrote a storage. */
  private readonly readers = new Map<Storage, number>();
  /** Nodes through which gradients of a leaf may come. */
  private readonly sources = new Map<Tensor, number>();

  /** `outputs` are looked at afterwards. */
  constructor(
    order: readonly Node[],
    outputs: readonly Tensor[],
    private readonly leftovers: Leftovers,
  ) {
    for (let n = 0; n < order.length; n++) {
      const { inputs, output } = order[n]!;
      count(this.readers, output.storage, 1);
      for (let k = 0; k < inputs.length; k++) {
        const x = inputs[k]!;
        count(this.readers, x.storage, 1);
        if (x.node === null && x.requiresGrad) count(this.sources, x, 1);
      }
    }
    for (const { storage } of outputs) count(this.readers, storage, 1);
  }

  /** Whether some node that is not done uses this memory. */
  needs(storage: Storage): boolean {
    return counted(this.readers, storage);
  }

  /** Says that a node has been visited; `complete` is told the leaves whose gradients are complete. */
  done({ inputs, output }: Node, complete: (leaf: Tensor) => void): void {
    this.forget(output.storage);
    for (let k = 0; k < inputs.length; k++) {
      const x = inputs[k]!;
      this.forget(x.storage);
      if (x.node === null && counted(this.sources, x) && count(this.sources, x, -1) === 0) complete(x);
    }
  }

  private forget(storage: Storage): void {
    if (count(this.readers, storage, -1) === 0) this.leftovers.discard(storage);
  }
}

/** Adds to a count; returns it. One that is 0 stays: a map that shrinks is made anew. */
function count<K>(counts: Map<K, number>, key: K, by: 1 | -1): number {
  const now = (counts.get(key) ?? 0) + by;
  counts.set(key, now);
  return now;
}

const counted = <K>(counts: ReadonlyMap<K, number>, key: K): boolean => (counts.get(key) ?? 0) > 0;
