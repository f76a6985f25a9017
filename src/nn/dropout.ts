// Dropout: active in training only.
import { dropout } from '../ops/index.js';
import { checkNumber } from '../tensor/errors.js';
import type { Tensor, TensorLike } from '../tensor/tensor.js';
import { Module } from './module.js';

/**
 * In training zeroes each element with probability p and scales the others by 1/(1-p) (Srivastava et al., 2014); in
 * evaluation returns its input. The masks come from the library's seeded generator.
 */
export class Dropout extends Module<[TensorLike]> {
  readonly p: number;

  constructor(p = 0.5) {
    super();
    this.p = checkNumber('Dropout', 'p', p, { min: 0, max: 1 });
  }

  override forward(x: TensorLike): Tensor {
    return dropout(this.tensor(x), { p: this.p, training: this.training });
  }

  protected override signature(): string {
    return `${this.p}`;
  }
}
