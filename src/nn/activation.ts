// Activations as layers, for Sequential. The ops are the same without one: relu(x), x.relu().
import { gelu, relu, sigmoid, silu, tanh } from '../ops/index.js';
import type { Tensor, TensorLike } from '../tensor/tensor.js';
import { Module } from './module.js';
import { choice, readOptions, showOptions } from './options.js';

/** max(x, 0). */
export class ReLU extends Module<[TensorLike]> {
  override forward(x: TensorLike): Tensor {
    return relu(x);
  }
}

export interface GELUOptions {
  /** 'none' (default) is x Φ(x) with the exact distribution function, 'tanh' the usual approximation. */
  approximate?: 'none' | 'tanh';
}

/** x Φ(x) (Hendrycks and Gimpel, 2016). */
export class GELU extends Module<[TensorLike]> {
  readonly approximate: 'none' | 'tanh';

  constructor(options: GELUOptions = {}) {
    super();
    const fields = { approximate: choice(['none', 'tanh'], 'none') };
    this.approximate = readOptions<GELUOptions>('GELU', options, fields).approximate;
  }

  override forward(x: TensorLike): Tensor {
    return gelu(x, { approximate: this.approximate });
  }

  protected override signature(): string {
    return showOptions({ approximate: [this.approximate, 'none'] }).slice(2);
  }
}

/** x / (1 + e^-x), also called swish. */
export class SiLU extends Module<[TensorLike]> {
  override forward(x: TensorLike): Tensor {
    return silu(x);
  }
}

/** The hyperbolic tangent. */
export class Tanh extends Module<[TensorLike]> {
  override forward(x: TensorLike): Tensor {
    return tanh(x);
  }
}

/** 1 / (1 + e^-x). */
export class Sigmoid extends Module<[TensorLike]> {
  override forward(x: TensorLike): Tensor {
    return sigmoid(x);
  }
}
