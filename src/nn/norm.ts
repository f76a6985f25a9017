// Normalisation layers. Batch norm's running statistics change in place, through the kernels, so that a recorded step
// changes them too.
import { launch } from '../kernels/launch.js';
import { batchNorm, groupNorm, layerNorm } from '../ops/index.js';
import { rangeError, showShape } from '../tensor/errors.js';
import { sideEffect } from '../tensor/op.js';
import { checkShape, type Shape } from '../tensor/shape.js';
import { asTensor, inSomeScope, type Tensor, type TensorLike } from '../tensor/tensor.js';
import { ones } from './init.js';
import { Module } from './module.js';
import { flag, number, positive, readOptions, showOptions } from './options.js';
import { fullBuffer, zeroParameter } from './parameter.js';

export interface BatchNormLayerOptions {
  /** Added to the variance (default 1e-5). */
  eps?: number;
  /** Share of a batch's statistics in the running ones (default 0.1). */
  momentum?: number;
  /** Train a weight and a bias for each channel (default true). */
  affine?: boolean;
  /** Keep running statistics for evaluation (default true); without them a batch's own are always used. */
  trackRunningStats?: boolean;
}

const batchFields = {
  eps: number({ above: 0 }, 1e-5),
  momentum: number({ min: 0, max: 1 }, 0.1),
  affine: flag(true),
  trackRunningStats: flag(true),
};

const unitWeight = (shape: Shape): Tensor => ones(zeroParameter(shape));

/** Adds 1 to a counter that the kernels may hold, if the step around it keeps its results. */
const increment = (counter: Tensor): void =>
  sideEffect(() =>
    inSomeScope(
      () => {
        if (counter.storage.offset < 0) counter.storage.settle();
        launch('accumulate', counter.storage.address(), asTensor('BatchNorm', 1).storage.address(), 1);
        counter.storage.touch();
      },
      () => [],
    ),
  );

/** Batch norm over [batch, features, …]; subclasses say how many dimensions follow. Ioffe and Szegedy (2015). */
abstract class BatchNorm extends Module<[TensorLike]> {
  readonly eps: number;
  readonly momentum: number;
  weight: Tensor | null;
  bias: Tensor | null;
  running_mean: Tensor | null;
  running_var: Tensor | null;
  /** Training batches seen so far. */
  num_batches_tracked: Tensor | null;

  constructor(
    readonly numFeatures: number,
    options: BatchNormLayerOptions,
  ) {
    super();
    const where = this.constructor.name;
    positive(where, 'numFeatures', numFeatures);
    const read = readOptions<BatchNormLayerOptions>(where, options, batchFields);
    this.eps = read.eps;
    this.momentum = read.momentum;
    this.weight = read.affine ? unitWeight([numFeatures]) : null;
    this.bias = read.affine ? zeroParameter([numFeatures]) : null;
    this.running_mean = read.trackRunningStats ? fullBuffer([numFeatures], 0) : null;
    this.running_var = read.trackRunningStats ? fullBuffer([numFeatures], 1) : null;
    this.num_batches_tracked = read.trackRunningStats ? fullBuffer([], 0) : null;
  }

  protected abstract fits(t: Tensor): boolean;
  protected abstract readonly wanted: string;

  override forward(x: TensorLike): Tensor {
    const t = this.tensor(x);
    if (!this.fits(t) || t.shape[1] !== this.numFeatures) throw this.misfit(t, this.wanted);
    const tracked = this.running_mean !== null;
    const training = this.training || !tracked;
    if (training && t.size / this.numFeatures <= 1)
      throw this.misfit(t, 'with more than one value per channel in training');
    const y = batchNorm(t, {
      runningMean: this.running_mean,
      runningVar: this.running_var,
      weight: this.weight,
      bias: this.bias,
      momentum: this.momentum,
      eps: this.eps,
      training,
    });
    if (this.training && this.num_batches_tracked) increment(this.num_batches_tracked);
    return y;
  }

  protected override signature(): string {
    return `${this.numFeatures}${showOptions({
      eps: [this.eps, 1e-5],
      momentum: [this.momentum, 0.1],
      affine: [this.weight !== null, true],
      trackRunningStats: [this.running_mean !== null, true],
    })}`;
  }
}

/**
 * Batch normalisation of [batch, features] or [batch, features, length] (Ioffe and Szegedy, 2015). In training with the
 * batch's mean and variance, in evaluation with running averages of them.
 */
export class BatchNorm1d extends BatchNorm {
  constructor(numFeatures: number, options: BatchNormLayerOptions = {}) {
    super(numFeatures, options);
  }

  protected override fits(t: Tensor): boolean {
    return t.ndim === 2 || t.ndim === 3;
  }

  protected override get wanted(): string {
    return `[batch, ${this.numFeatures}] or [batch, ${this.numFeatures}, length]`;
  }
}

/** Batch normalisation of images [batch, features, height, width]; see {@link BatchNorm1d}. */
export class BatchNorm2d extends BatchNorm {
  constructor(numFeatures: number, options: BatchNormLayerOptions = {}) {
    super(numFeatures, options);
  }

  protected override fits(t: Tensor): boolean {
    return t.ndim === 4;
  }

  protected override get wanted(): string {
    return `[batch, ${this.numFeatures}, height, width]`;
  }
}

export interface GroupNormLayerOptions {
  /** Added to the variance (default 1e-5). */
  eps?: number;
  /** Train a weight and a bias for each channel (default true). */
  affine?: boolean;
}

/** Normalisation of each sample over groups of channels and all positions of [batch, channels, …] (Wu and He, 2018). */
export class GroupNorm extends Module<[TensorLike]> {
  readonly eps: number;
  weight: Tensor | null;
  bias: Tensor | null;

  constructor(
    readonly numGroups: number,
    readonly numChannels: number,
    options: GroupNormLayerOptions = {},
  ) {
    super();
    positive('GroupNorm', 'numGroups', numGroups);
    positive('GroupNorm', 'numChannels', numChannels);
    if (numChannels % numGroups !== 0)
      throw rangeError('GroupNorm', `${numGroups} groups do not divide ${numChannels} channels`);
    const read = readOptions<GroupNormLayerOptions>('GroupNorm', options, {
      eps: batchFields.eps,
      affine: batchFields.affine,
    });
    this.eps = read.eps;
    this.weight = read.affine ? unitWeight([numChannels]) : null;
    this.bias = read.affine ? zeroParameter([numChannels]) : null;
  }

  override forward(x: TensorLike): Tensor {
    const t = this.tensor(x);
    if (t.ndim < 2 || t.shape[1] !== this.numChannels)
      throw this.misfit(t, `[batch, ${this.numChannels}, ...]`);
    return groupNorm(t, this.numGroups, { weight: this.weight, bias: this.bias, eps: this.eps });
  }

  protected override signature(): string {
    const options = showOptions({ eps: [this.eps, 1e-5], affine: [this.weight !== null, true] });
    return `${this.numGroups}, ${this.numChannels}${options}`;
  }
}

export interface LayerNormLayerOptions {
  /** Added to the variance (default 1e-5). */
  eps?: number;
  /** Train a weight of the normalised shape (default true). */
  elementwiseAffine?: boolean;
  /** With a weight, train a bias too (default true). */
  bias?: boolean;
}

/**
 * Normalisation over the last dimensions, whose sizes are given (Ba, Kiros and Hinton, 2016).
 * @example new nn.LayerNorm(64)(tokens) // [batch, length, 64]
 */
export class LayerNorm extends Module<[TensorLike]> {
  readonly normalizedShape: Shape;
  readonly eps: number;
  weight: Tensor | null;
  bias: Tensor | null;

  constructor(normalizedShape: number | Shape, options: LayerNormLayerOptions = {}) {
    super();
    this.normalizedShape = [...checkShape('LayerNorm', normalizedShape)];
    if (this.normalizedShape.length === 0 || this.normalizedShape.includes(0))
      throw rangeError('LayerNorm', `needs sizes >= 1, got ${showShape(this.normalizedShape)}`);
    const read = readOptions<LayerNormLayerOptions>('LayerNorm', options, {
      eps: batchFields.eps,
      elementwiseAffine: flag(true),
      bias: flag(true),
    });
    this.eps = read.eps;
    this.weight = read.elementwiseAffine ? unitWeight(this.normalizedShape) : null;
    this.bias = read.elementwiseAffine && read.bias ? zeroParameter(this.normalizedShape) : null;
  }

  override forward(x: TensorLike): Tensor {
    const t = this.tensor(x);
    const lead = t.ndim - this.normalizedShape.length;
    if (lead < 0 || this.normalizedShape.some((d, k) => d !== t.shape[lead + k]))
      throw this.misfit(t, `[..., ${this.normalizedShape.join(', ')}]`);
    return layerNorm(t, this.normalizedShape, { weight: this.weight, bias: this.bias, eps: this.eps });
  }

  protected override signature(): string {
    const affine = this.weight !== null;
    return `${showShape(this.normalizedShape)}${showOptions({
      eps: [this.eps, 1e-5],
      elementwiseAffine: [affine, true],
      bias: [affine ? this.bias !== null : true, true],
    })}`;
  }
}
