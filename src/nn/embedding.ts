// The embedding table.
import { Storage } from '../memory/storage.js';
import { embedding, ne, unsqueeze, where, type IndexLike } from '../ops/index.js';
import { asTensor, Tensor } from '../tensor/tensor.js';
import { checkNumber, checkOptions } from '../tensor/errors.js';
import { normal } from './init.js';
import { Module } from './module.js';
import { positive } from './options.js';
import { zeroParameter } from './parameter.js';

export interface EmbeddingOptions {
  /** This id's row starts as zeros and gets no gradient. */
  paddingIdx?: number;
}

/**
 * Rows of a trained table [numEmbeddings, embeddingDim]: ids of any shape to [...ids, embeddingDim]. Rows start normal.
 * @example new nn.Embedding(1000, 64)([[1, 5], [7, 7]]) // [2, 2, 64]
 */
export class Embedding extends Module<[IndexLike]> {
  readonly paddingIdx: number | null;
  weight: Tensor;

  constructor(
    readonly numEmbeddings: number,
    readonly embeddingDim: number,
    options: EmbeddingOptions = {},
  ) {
    super();
    positive('Embedding', 'numEmbeddings', numEmbeddings);
    positive('Embedding', 'embeddingDim', embeddingDim);
    checkOptions('Embedding', options, ['paddingIdx']);
    this.paddingIdx =
      options.paddingIdx === undefined
        ? null
        : checkNumber('Embedding', 'paddingIdx', options.paddingIdx, {
            min: 0,
            below: numEmbeddings,
            integer: true,
          });
    this.weight = normal(zeroParameter([numEmbeddings, embeddingDim]));
    if (this.paddingIdx === null) return;
    const start = this.paddingIdx * embeddingDim;
    this.weight.storage.values().fill(0, start, start + embeddingDim);
  }

  override forward(ids: IndexLike): Tensor {
    const rows = embedding(this.weight, ids);
    if (this.paddingIdx === null) return rows;
    const real = unsqueeze(ne(asReals(ids), this.paddingIdx), -1);
    return where(real, rows, rows.detach());
  }

  protected override signature(): string {
    const padding = this.paddingIdx === null ? '' : `, { paddingIdx: ${this.paddingIdx} }`;
    return `${this.numEmbeddings}, ${this.embeddingDim}${padding}`;
  }
}

/** Ids as numbers that a comparison takes. */
function asReals(ids: IndexLike): Tensor {
  const make = (from: ArrayLike<number>): Float32Array => Float32Array.from(from);
  if (ids instanceof Int32Array) return new Tensor(Storage.of(make(ids), { from: ids, make }), [ids.length]);
  if (!(ids instanceof Tensor)) return asTensor('Embedding', ids);
  const { storage } = ids;
  if (storage.kind === 'real') return ids;
  return new Tensor(
    Storage.of(make(storage.peek()), { from: storage, make: (s: Int32Array) => make(s) }),
    ids.shape,
  );
}
