// What can be trained on: loaders, arrays, generators and streams, of batches or of single pairs. Everything becomes an
// iterator of batches, and nothing is read ahead.
import type { IndexLike } from '../ops/gather.js';
import { reshape } from '../ops/move.js';
import { describe, typeError } from '../tensor/errors.js';
import { asTensor, type Nested, type Tensor, type TensorLike } from '../tensor/tensor.js';

/** What the model is called with; an Int32Array (ids) is passed as it is, everything else as a Tensor. */
export type Input = TensorLike | Int32Array;
/** What the loss compares with; class labels are an Int32Array, integers, or a Tensor of them. */
export type Target = TensorLike | IndexLike;
/** One example, or a batch of them. */
export type Pair = readonly [x: Input, y: Target];

type Pairs = Iterable<Pair> | AsyncIterable<Pair>;
/**
 * Where batches come from: a DataLoader, an array of batches, any (async) iterable, or a function that returns one. A
 * pair whose `y` is a number is a single example and gets a batch dimension.
 */
export type TrainData = Pairs | (() => Pairs);

type PairIterator = Iterator<Pair> | AsyncIterator<Pair>;

function open(where: string, data: TrainData): PairIterator {
  const source: unknown = typeof data === 'function' && !isIterable(data) ? (data as () => Pairs)() : data;
  const many = source as Partial<Iterable<Pair> & AsyncIterable<Pair>> | null;
  const iterator = many?.[Symbol.iterator]?.() ?? many?.[Symbol.asyncIterator]?.();
  if (iterator) return iterator;
  throw typeError(
    where,
    `data must be a loader, an iterable of [x, y] or a function that returns one, got ${describe(source)}`,
  );
}

const isIterable = (value: object): boolean => Symbol.iterator in value || Symbol.asyncIterator in value;

/** Whether `data` can be gone through only once, as a generator object can. */
export const isOneTime = (data: TrainData): boolean =>
  typeof data === 'object' && data !== null && 'next' in data && typeof data.next === 'function';

function checkPair(where: string, item: unknown): Pair {
  if (Array.isArray(item) && item.length === 2 && item[0] !== undefined && item[1] !== undefined)
    return item as unknown as Pair;
  throw typeError(where, `data must give pairs [x, y], got ${describe(item)}`);
}

/** The same values with a batch dimension of 1 in front. */
function alone(value: Input | Target): Input | Target {
  if (value instanceof Int32Array) return [Array.from(value)];
  if (typeof value === 'number' || Array.isArray(value)) return [value] as readonly Nested[];
  const t = asTensor('fit', value as Tensor | Float32Array);
  return reshape(t.detach(), [1, ...t.shape]);
}

/** A batch as the loop uses it. */
export interface Batch {
  x: Tensor | Int32Array;
  y: Target;
  /** Examples in it. */
  size: number;
}

/** A pair from the data as a batch; with `online`, or if its y is a number, it is a single example. */
export function toBatch(where: string, item: unknown, online: boolean): Batch {
  const [x, y] = checkPair(where, item);
  const single = online || typeof y === 'number';
  const input = single ? alone(x) : x;
  const batch = input instanceof Int32Array ? input : asTensor(where, input as TensorLike);
  const size = batch instanceof Int32Array ? batch.length : (batch.shape[0] ?? 1);
  return { x: batch, y: (single ? alone(y) : y) as Target, size };
}

/** Goes through `data` once: `next()` gives a batch or null at the end, `close()` ends it early. */
export function openBatches(where: string, data: TrainData, online: boolean): Batches {
  const iterator = open(where, data);
  return {
    async next() {
      const item = await iterator.next();
      return item.done ? null : toBatch(where, item.value, online);
    },
    async close() {
      await iterator.return?.();
    },
  };
}

export interface Batches {
  next(): Promise<Batch | null>;
  close(): Promise<void>;
}
