// The dense layer.
import { linear } from '../ops/index.js';
import type { Tensor, TensorLike } from '../tensor/tensor.js';
import { standard } from './init.js';
import { Module } from './module.js';
import { flag, positive, readOptions, showOptions } from './options.js';
import { zeroParameter } from './parameter.js';

export interface LinearOptions {
  /** Add a trained bias (default true). */
  bias?: boolean;
}

/**
 * x Wᵀ + b over the last dimension: [..., inFeatures] to [..., outFeatures]. Weight [outFeatures, inFeatures] and bias
 * start uniform on ±1/√inFeatures.
 * @example new nn.Linear(784, 10)(images) // [batch, 784] -> [batch, 10]
 */
export class Linear extends Module<[TensorLike]> {
  readonly inFeatures: number;
  readonly outFeatures: number;
  weight: Tensor;
  bias: Tensor | null;

  constructor(inFeatures: number, outFeatures: number, options: LinearOptions = {}) {
    super();
    this.inFeatures = positive('Linear', 'inFeatures', inFeatures);
    this.outFeatures = positive('Linear', 'outFeatures', outFeatures);
    const { bias } = readOptions<LinearOptions>('Linear', options, { bias: flag(true) });
    this.weight = zeroParameter([outFeatures, inFeatures]);
    this.bias = bias ? zeroParameter([outFeatures]) : null;
    standard(this.weight, this.bias);
  }

  override forward(x: TensorLike): Tensor {
    const t = this.tensor(x);
    if (t.shape.at(-1) !== this.inFeatures) throw this.misfit(t, `[..., ${this.inFeatures}]`);
    return linear(t, this.weight, this.bias);
  }

  protected override signature(): string {
    return `${this.inFeatures}, ${this.outFeatures}${showOptions({ bias: [this.bias !== null, true] })}`;
  }
}
