// What a recorder of steps is told by the layers below it. There is at most one at a time, and everything here costs one
// comparison with null while there is none.
import type { Storage } from './storage.js';
import type { Tensor } from '../tensor/tensor.js';

/** Memory that outlives a step, by name. */
export interface Region {
  readonly name: string;
  /** Which of the arrays of that name: nothing for the values, `.grad`, `.expAvg` … */
  readonly array: string;
  /** Byte offset in the heap. */
  readonly from: number;
  readonly bytes: number;
}

/** State outside the heap that a step reads and changes, such as an optimizer's step counts; replay repeats both. */
export interface HostPart {
  /** Whose state it is; a recorded step holds at most one part of each owner. */
  readonly owner: object;
  /** The memory that it updates, for those who want to read a plan. */
  readonly regions: () => Region[];
  /**
   * Before a replayed step changes anything: computes the scalars of this step (they lie in storages with
   * {@link Storage.live}). False if the launches would not be the recorded ones.
   */
  renew(): boolean;
  /** What `finish` reads. */
  readonly outputs: readonly Storage[];
  /** After the launches; `read` gives the values that the replayed launches left in a storage of the recording. */
  finish(read: (storage: Storage) => ArrayLike<number>): void;
}

export interface Watcher {
  /** A scope handed out memory. */
  allocated(offset: number, bytes: number): void;
  /** A scope takes the memory of this storage back, though its values may be asked for again. */
  letGo(storage: Storage): void;
  /** They are: `make` gives them new memory and launches once more what computed them. */
  comesBack(storage: Storage, make: () => void): void;
  /** The next launch computes other values in the place of these, which it reads. */
  replaced(storage: Storage): void;
  launched(kernel: string, args: readonly number[]): void;
  /** A kernel is about to get the place of this storage on the heap. */
  addressed(storage: Storage): void;
  /** The values of an ordinary array lie at `offset` for the kernels. */
  staged(storage: Storage, offset: number, bytes: number): void;
  /** JavaScript looks at the values. */
  read(storage: Storage): void;
  /** The values changed in place. */
  changed(storage: Storage): void;
  /** An op takes a tensor that no op computed. */
  leaf(t: Tensor): void;
  /** A backward pass looks whether this tensor has a gradient already. */
  gradAsked(t: Tensor): void;
  gradCleared(t: Tensor): void;
  gradAdopted(t: Tensor): void;
  /** A layer looks whether it is in training. */
  mode(owner: { training: boolean }, training: boolean): void;
  host(part: HostPart): void;
  /** Something happens that a replay could not repeat. */
  refuse(reason: string): void;
}

export let watcher: Watcher | null = null;

/** Runs `fn` under the eyes of `by`, or of nobody. */
export function watched<T>(by: Watcher | null, fn: () => T): T {
  const saved = watcher;
  watcher = by;
  try {
    return fn();
  } finally {
    watcher = saved;
  }
}
