// Convolution layers. Weights start uniform on ±1/√fanIn, as in PyTorch.
import { conv1d, conv2d, convTranspose2d, type Pair } from '../ops/index.js';
import { rangeError } from '../tensor/errors.js';
import type { Tensor, TensorLike } from '../tensor/tensor.js';
import { standard } from './init.js';
import { Module } from './module.js';
import { checkPair, flag, pair, positive, readOptions, showOptions, showPair, whole } from './options.js';
import { zeroParameter } from './parameter.js';

/** A number or one number each for height and width; of 1 dimension, a number. */
export interface ConvLayerOptions<Size extends Pair> {
  /** Step of the window (default 1). */
  stride?: Size;
  /** Zeros put round the input on each side (default 0). */
  padding?: Size;
  /** Distance between the window's elements (default 1). */
  dilation?: Size;
  /** Blocks of channels that do not mix (default 1). */
  groups?: number;
  /** Add a trained bias (default true). */
  bias?: boolean;
}

export interface ConvTransposeLayerOptions extends ConvLayerOptions<Pair> {
  /** Extra size on one side of the output (default 0), smaller than stride or dilation. */
  outputPadding?: Pair;
}

const planar = {
  stride: pair(1, 1),
  padding: pair(0, 0),
  dilation: pair(1, 1),
  groups: whole(1, 1),
  bias: flag(true),
};
const linear = { ...planar, stride: whole(1, 1), padding: whole(0, 0), dilation: whole(1, 1) };
const transposed = { ...planar, outputPadding: pair(0, 0) };
const DEFAULTS = { stride: 1, padding: 0, dilation: 1, groups: 1, outputPadding: 0, bias: true };

type Settings = Required<ConvLayerOptions<Pair>> & { outputPadding?: Pair };

/** What the convolution layers share: channels, window, options, weight and bias. */
abstract class Convolution extends Module<[TensorLike]> {
  weight: Tensor;
  bias: Tensor | null;

  constructor(
    readonly inChannels: number,
    readonly outChannels: number,
    readonly kernelSize: readonly number[],
    /** Stride, padding, dilation and groups, for the op. */
    protected readonly settings: Omit<Settings, 'bias'>,
    bias: boolean,
    weightShape: readonly number[],
  ) {
    super();
    this.weight = zeroParameter(weightShape);
    this.bias = bias ? zeroParameter([outChannels]) : null;
    standard(this.weight, this.bias);
  }

  /** The input as a tensor with the dimensions and channels that this layer takes. */
  protected checked(x: TensorLike, positions: string): Tensor {
    const t = this.tensor(x);
    const ndim = this.weight.ndim;
    if (t.ndim !== ndim || t.shape[1] !== this.inChannels)
      throw this.misfit(t, `[batch, ${this.inChannels}, ${positions}]`);
    return t;
  }

  protected override signature(): string {
    const kernel =
      this.kernelSize.length === 1 ? `${this.kernelSize[0]}` : showPair(this.kernelSize as [number, number]);
    const told = Object.entries({ ...this.settings, bias: this.bias !== null }).map(
      ([name, value]) => [name, [value, DEFAULTS[name as keyof typeof DEFAULTS]]] as const,
    );
    return `${this.inChannels}, ${this.outChannels}, ${kernel}${showOptions(Object.fromEntries(told))}`;
  }
}

function checkChannels(where: string, inChannels: number, outChannels: number, groups: number): void {
  positive(where, 'inChannels', inChannels);
  positive(where, 'outChannels', outChannels);
  if (inChannels % groups !== 0 || outChannels % groups !== 0)
    throw rangeError(
      where,
      `groups must divide the channels, got ${groups} for ${inChannels} in and ${outChannels} out`,
    );
}

/**
 * Cross-correlation over sequences: [batch, inChannels, length] to [batch, outChannels, length'].
 * Weight [outChannels, inChannels / groups, kernelSize].
 * @example new nn.Conv1d(16, 32, 3, { padding: 1 })
 */
export class Conv1d extends Convolution {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number,
    options: ConvLayerOptions<number> = {},
  ) {
    const { bias, ...rest } = readOptions<ConvLayerOptions<number>>('Conv1d', options, linear);
    checkChannels('Conv1d', inChannels, outChannels, rest.groups);
    const size = positive('Conv1d', 'kernelSize', kernelSize);
    super(inChannels, outChannels, [size], rest, bias, [outChannels, inChannels / rest.groups, size]);
  }

  override forward(x: TensorLike): Tensor {
    return conv1d(this.checked(x, 'length'), this.weight, this.bias, this.settings);
  }
}

/**
 * Cross-correlation over images: [batch, inChannels, height, width] to [batch, outChannels, height', width'].
 * Weight [outChannels, inChannels / groups, kernel height, kernel width].
 * @example new nn.Conv2d(1, 8, 5, { stride: 2, padding: 2 })
 */
export class Conv2d extends Convolution {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Pair,
    options: ConvLayerOptions<Pair> = {},
  ) {
    const { bias, ...rest } = readOptions<ConvLayerOptions<Pair>>('Conv2d', options, planar);
    checkChannels('Conv2d', inChannels, outChannels, rest.groups);
    const size = checkPair('Conv2d', 'kernelSize', kernelSize, 1);
    super(inChannels, outChannels, size, rest, bias, [outChannels, inChannels / rest.groups, ...size]);
  }

  override forward(x: TensorLike): Tensor {
    return conv2d(this.checked(x, 'height, width'), this.weight, this.bias, this.settings);
  }
}

/**
 * The transpose of a {@link Conv2d} with these options: it enlarges images where that one shrinks them.
 * Weight [inChannels, outChannels / groups, kernel height, kernel width].
 * @example new nn.ConvTranspose2d(8, 1, 4, { stride: 2, padding: 1 }) // doubles height and width
 */
export class ConvTranspose2d extends Convolution {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Pair,
    options: ConvTransposeLayerOptions = {},
  ) {
    const where = 'ConvTranspose2d';
    const { bias, ...rest } = readOptions<ConvTransposeLayerOptions>(where, options, transposed);
    checkChannels(where, inChannels, outChannels, rest.groups);
    const size = checkPair(where, 'kernelSize', kernelSize, 1);
    super(inChannels, outChannels, size, rest, bias, [inChannels, outChannels / rest.groups, ...size]);
  }

  override forward(x: TensorLike): Tensor {
    return convTranspose2d(this.checked(x, 'height, width'), this.weight, this.bias, this.settings);
  }
}
