// Pooling layers over images [batch, channels, height, width].
import { avgPool2d, maxPool2d, type Pair } from '../ops/index.js';
import type { Tensor, TensorLike } from '../tensor/tensor.js';
import { Module } from './module.js';
import { checkPair, flag, pair, readOptions, showOptions, showPair } from './options.js';

export interface MaxPoolLayerOptions {
  /** Step of the window; as wide as the window by default. */
  stride?: Pair;
  /** Rows and columns added on each side (default 0), at most half the window. */
  padding?: Pair;
}

export interface AvgPoolLayerOptions extends MaxPoolLayerOptions {
  /** Whether padding counts in the mean (default true). */
  countIncludePad?: boolean;
}

type Sizes = readonly [number, number];

/** Largest value under each window. */
export class MaxPool2d extends Module<[TensorLike]> {
  readonly kernelSize: Sizes;
  readonly stride: Sizes;
  readonly padding: Sizes;

  constructor(kernelSize: Pair, options: MaxPoolLayerOptions = {}) {
    super();
    this.kernelSize = checkPair('MaxPool2d', 'kernelSize', kernelSize, 1);
    const read = readOptions<MaxPoolLayerOptions>('MaxPool2d', options, {
      stride: pair(1, this.kernelSize),
      padding: pair(0, 0),
    });
    [this.stride, this.padding] = [read.stride as Sizes, read.padding as Sizes];
  }

  override forward(x: TensorLike): Tensor {
    const t = this.tensor(x);
    if (t.ndim !== 4) throw this.misfit(t, '[batch, channels, height, width]');
    return maxPool2d(t, this.kernelSize, { stride: this.stride, padding: this.padding });
  }

  protected override signature(): string {
    const options = showOptions({ stride: [this.stride, this.kernelSize], padding: [this.padding, [0, 0]] });
    return `${showPair(this.kernelSize)}${options}`;
  }
}

/** Mean under each window. */
export class AvgPool2d extends Module<[TensorLike]> {
  readonly kernelSize: Sizes;
  readonly stride: Sizes;
  readonly padding: Sizes;
  readonly countIncludePad: boolean;

  constructor(kernelSize: Pair, options: AvgPoolLayerOptions = {}) {
    super();
    this.kernelSize = checkPair('AvgPool2d', 'kernelSize', kernelSize, 1);
    const read = readOptions<AvgPoolLayerOptions>('AvgPool2d', options, {
      stride: pair(1, this.kernelSize),
      padding: pair(0, 0),
      countIncludePad: flag(true),
    });
    [this.stride, this.padding] = [read.stride as Sizes, read.padding as Sizes];
    this.countIncludePad = read.countIncludePad;
  }

  override forward(x: TensorLike): Tensor {
    const t = this.tensor(x);
    if (t.ndim !== 4) throw this.misfit(t, '[batch, channels, height, width]');
    const { stride, padding, countIncludePad } = this;
    return avgPool2d(t, this.kernelSize, { stride, padding, countIncludePad });
  }

  protected override signature(): string {
    return `${showPair(this.kernelSize)}${showOptions({
      stride: [this.stride, this.kernelSize],
      padding: [this.padding, [0, 0]],
      countIncludePad: [this.countIncludePad, true],
    })}`;
  }
}
