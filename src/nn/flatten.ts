// Flatten: from images to rows.
import { flatten } from '../ops/index.js';
import { checkNumber } from '../tensor/errors.js';
import type { Tensor, TensorLike } from '../tensor/tensor.js';
import { Module } from './module.js';

/** Merges the dimensions startDim … endDim into one; by default all but the first: [batch, c, h, w] to [batch, c·h·w]. */
export class Flatten extends Module<[TensorLike]> {
  readonly startDim: number;
  readonly endDim: number;

  constructor(startDim = 1, endDim = -1) {
    super();
    this.startDim = checkNumber('Flatten', 'startDim', startDim, { integer: true });
    this.endDim = checkNumber('Flatten', 'endDim', endDim, { integer: true });
  }

  override forward(x: TensorLike): Tensor {
    const t = this.tensor(x);
    const [start, end] = [this.startDim, this.endDim].map((d) => (d < 0 ? d + t.ndim : d)) as [
      number,
      number,
    ];
    if (start < 0 || end >= t.ndim || start > end)
      throw this.misfit(t, `that has the dimensions ${this.startDim} to ${this.endDim}`);
    return flatten(t, start, end);
  }

  protected override signature(): string {
    return this.startDim === 1 && this.endDim === -1 ? '' : `${this.startDim}, ${this.endDim}`;
  }
}
