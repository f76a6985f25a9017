// DataLoader: batches in an order that depends on (seed, epoch) alone. Each iteration owns the memory of the tensors made
// in its body: they die when the next batch is asked for, or become ordinary arrays if the body gives way to other tasks.
import { openScope, outsideScopes, type Scope } from '../memory/arena.js';
import { generator, Generator } from '../ops/random.js';
import { flag, number, readOptions } from '../schedule/fields.js';
import { checkNumber, checkOptions, describe, rangeError, typeError } from '../tensor/errors.js';
import type { Dataset } from './dataset.js';

export interface LoaderOptions {
  /** Samples a batch (default 1); the last batch may be smaller. */
  batchSize?: number;
  /** A new random order in every epoch (default false). */
  shuffle?: boolean;
  /** Seed of the orders; the library's seed (`manualSeed`) by default. */
  seed?: number;
  /** Leave out a last batch that is not full (default false). */
  dropLast?: boolean;
}

/** Where a loader stands: `index` batches of epoch `epoch` were given out. The rest says which batches those were. */
export interface LoaderState {
  epoch: number;
  index: number;
  seed: number;
  batchSize: number;
  shuffle: boolean;
  dropLast: boolean;
  /** Samples in the dataset. */
  samples: number;
}

const POSITION = ['epoch', 'index'] as const;
const SETUP = ['seed', 'batchSize', 'shuffle', 'dropLast', 'samples'] as const;

/**
 * Batches of a dataset, any number of times: each `for` loop is an epoch with an order of its own.
 *
 * A tensor made in the loop's body dies with the iteration; `keep()` it, or take its number, to use it later. The batches
 * themselves may be kept. Bodies may `await`.
 * @example
 * const loader = new DataLoader(train, { batchSize: 64, shuffle: true, seed: 1 });
 * for (const [images, labels] of loader) step(images, labels);
 */
export class DataLoader<Batch> {
  readonly batchSize: number;
  readonly shuffle: boolean;
  readonly seed: number;
  readonly dropLast: boolean;
  /** Epoch and batches given out of the loop that was advanced last. */
  private position = { epoch: 0, index: 0 };
  /** Where the next loop starts. */
  private start = { epoch: 0, index: 0 };

  constructor(
    readonly dataset: Dataset<Batch>,
    options: LoaderOptions = {},
  ) {
    if (typeof dataset?.batch !== 'function' || !Number.isInteger(dataset.length))
      throw typeError('DataLoader', `expected a dataset with length and batch(), got ${describe(dataset)}`);
    const read = readOptions<LoaderOptions>('DataLoader', options, {
      batchSize: number({ min: 1, integer: true }, 1),
      shuffle: flag(false),
      seed: number({ min: 0, max: Number.MAX_SAFE_INTEGER, integer: true }, generator.state.seed),
      dropLast: flag(false),
    });
    this.batchSize = read.batchSize;
    this.shuffle = read.shuffle;
    this.seed = read.seed;
    this.dropLast = read.dropLast;
  }

  /** Batches in an epoch. */
  get length(): number {
    const batches = this.dataset.length / this.batchSize;
    return this.dropLast ? Math.floor(batches) : Math.ceil(batches);
  }

  [Symbol.iterator](): IterableIterator<Batch> {
    return new Epoch(this, {
      begin: () => {
        const { epoch, index } = this.start;
        this.start = { epoch: epoch + 1, index: 0 };
        return { epoch, index };
      },
      moved: (epoch, index) => (this.position = { epoch, index }),
    });
  }

  /** The samples of an epoch in their order. */
  order(epoch: number): Int32Array {
    const n = this.dataset.length;
    if (!this.shuffle) return Int32Array.from({ length: n }, (_, k) => k);
    const source = new Generator();
    source.state = { seed: this.seed, draws: epoch };
    return source.permutation(n);
  }

  /** Where the loop stands that was advanced last; taken in a loop's body, the current batch counts as given out. */
  stateDict(): LoaderState {
    const { seed, batchSize, shuffle, dropLast } = this;
    const { epoch, index } = this.position;
    const over = index > 0 && index >= this.length;
    const position = over ? { epoch: epoch + 1, index: 0 } : { epoch, index };
    return { ...position, seed, batchSize, shuffle, dropLast, samples: this.dataset.length };
  }

  /**
   * Lets the next loop go on from where `state` was taken, with the very same batches.
   * @throws RangeError if `state` is of a loader with other batches. `{ epoch, index }` alone is not checked for that.
   */
  loadStateDict(state: Pick<LoaderState, 'epoch' | 'index'> & Partial<LoaderState>): void {
    const where = 'DataLoader.loadStateDict';
    checkOptions(where, state, [...POSITION, ...SETUP]);
    checkNumber(where, 'epoch', state.epoch, { min: 0, integer: true });
    checkNumber(where, 'index', state.index, { min: 0, max: this.length, integer: true });
    const own = this.stateDict();
    for (const name of SETUP)
      if (state[name] !== undefined && state[name] !== own[name])
        throw rangeError(
          where,
          `${name} was ${String(state[name])} when the state was taken and is ${String(own[name])} now, so the batches differ`,
        );
    this.position = { epoch: state.epoch, index: state.index };
    this.start = { ...this.position };
  }
}

interface Progress {
  /** Claims the epoch and first batch of a loop. */
  begin(): { epoch: number; index: number };
  moved(epoch: number, index: number): void;
}

/** One pass over a loader. */
class Epoch<Batch> implements IterableIterator<Batch> {
  private epoch = -1;
  private index = 0;
  private order: Int32Array = new Int32Array();
  private over = false;
  private scope: Scope | null = null;
  private watched = false;

  constructor(
    private readonly loader: DataLoader<Batch>,
    private readonly progress: Progress,
  ) {}

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<Batch, undefined> {
    this.endScope();
    if (this.epoch < 0) {
      ({ epoch: this.epoch, index: this.index } = this.progress.begin());
      this.order = this.loader.order(this.epoch);
    }
    if (this.over || this.index >= this.loader.length) return this.return();
    const first = this.index * this.loader.batchSize;
    const indices = this.order.slice(first, first + this.loader.batchSize);
    // A batch may be kept, so it never lies in a scope.
    const value = outsideScopes(() => this.loader.dataset.batch(indices));
    this.progress.moved(this.epoch, ++this.index);
    this.scope = openScope();
    this.watch();
    return { done: false, value };
  }

  return(): IteratorResult<Batch, undefined> {
    this.over = true;
    this.endScope();
    return { done: true, value: undefined };
  }

  private endScope(): void {
    this.scope?.end();
    this.scope = null;
  }

  /**
   * Sees to it that no other task runs in this iteration's scope: when the body awaits (or the iterator is abandoned),
   * this microtask comes before the body's continuation, and takes the tensors made so far out of the scope.
   */
  private watch(): void {
    if (this.watched) return;
    this.watched = true;
    queueMicrotask(() => {
      this.watched = false;
      this.scope?.evacuate();
      this.scope = null;
    });
  }
}
