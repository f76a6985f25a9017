// The layers of the Transformer (Vaswani et al., 2017, section 3.1), batch first, with PyTorch's parameter names.
import { add, gelu, relu } from '../ops/index.js';
import { checkOptions } from '../tensor/errors.js';
import type { Tensor, TensorLike } from '../tensor/tensor.js';
import { MultiheadAttention, type AttentionOptions, type Mask } from './attention.js';
import { Dropout } from './dropout.js';
import { Linear } from './linear.js';
import { Module } from './module.js';
import { LayerNorm } from './norm.js';
import { choice, flag, number, readOptions, showOptions, whole } from './options.js';

export interface TransformerLayerOptions {
  /** Width of the hidden layer (default 2048). */
  dimFeedforward?: number;
  /** Probability of dropping an attention weight, a hidden unit or an element of a branch (default 0.1). */
  dropout?: number;
  /** Activation of the hidden layer (default 'relu'). */
  activation?: 'relu' | 'gelu';
  /** Added to the variance in layer norms (default 1e-5). */
  layerNormEps?: number;
  /** Normalise before each branch, not after its sum (default false). */
  normFirst?: boolean;
}

const fields = {
  dimFeedforward: whole(1, 2048),
  dropout: number({ min: 0, max: 1 }, 0.1),
  activation: choice(['relu', 'gelu'], 'relu'),
  layerNormEps: number({ above: 0 }, 1e-5),
  normFirst: flag(false),
};
const DEFAULTS = {
  dimFeedforward: 2048,
  dropout: 0.1,
  activation: 'relu',
  layerNormEps: 1e-5,
  normFirst: false,
};

/** What encoder and decoder layers share: self-attention, the hidden layer, and branches with norm and dropout. */
abstract class TransformerLayer<Inputs extends [TensorLike, ...unknown[]]> extends Module<Inputs> {
  self_attn: MultiheadAttention;
  linear1: Linear;
  linear2: Linear;
  norm1: LayerNorm;
  norm2: LayerNorm;
  dropout: Dropout;
  protected readonly settings: Required<TransformerLayerOptions>;

  constructor(
    readonly dModel: number,
    readonly numHeads: number,
    options: TransformerLayerOptions,
  ) {
    super();
    const read = readOptions<TransformerLayerOptions>(this.constructor.name, options, fields);
    this.settings = read;
    this.self_attn = new MultiheadAttention(dModel, numHeads, { dropout: read.dropout });
    this.linear1 = new Linear(dModel, read.dimFeedforward);
    this.linear2 = new Linear(read.dimFeedforward, dModel);
    this.norm1 = new LayerNorm(dModel, { eps: read.layerNormEps });
    this.norm2 = new LayerNorm(dModel, { eps: read.layerNormEps });
    this.dropout = new Dropout(read.dropout);
  }

  /** x + branch(norm(x)), or norm(x + branch(x)). */
  protected residual(x: Tensor, norm: LayerNorm, branch: (x: Tensor) => Tensor): Tensor {
    if (this.settings.normFirst) return add(x, this.dropout(branch(norm(x))));
    return norm(add(x, this.dropout(branch(x))));
  }

  protected attendSelf(x: Tensor, options: AttentionOptions): Tensor {
    return this.self_attn(x, x, x, options)[0];
  }

  protected feedForward(x: Tensor): Tensor {
    const hidden = this.linear1(x);
    return this.linear2(this.dropout(this.settings.activation === 'gelu' ? gelu(hidden) : relu(hidden)));
  }

  protected override signature(): string {
    const told = Object.entries(this.settings).map(
      ([name, value]) => [name, [value, DEFAULTS[name as keyof typeof DEFAULTS]]] as const,
    );
    return `${this.dModel}, ${this.numHeads}${showOptions(Object.fromEntries(told))}`;
  }
}

/** Masks of an encoder layer's self-attention. */
export type EncoderOptions = Omit<AttentionOptions, 'needWeights'>;

/**
 * Self-attention and a hidden layer, each in a residual branch: [batch, length, dModel] to the same shape.
 * @example new nn.TransformerEncoderLayer(64, 4, { dimFeedforward: 256, normFirst: true })(x, { isCausal: true })
 */
export class TransformerEncoderLayer extends TransformerLayer<[x: TensorLike, options?: EncoderOptions]> {
  constructor(dModel: number, numHeads: number, options: TransformerLayerOptions = {}) {
    super(dModel, numHeads, options);
  }

  override forward(x: TensorLike, options: EncoderOptions = {}): Tensor {
    checkOptions(this.constructor.name, options, ['attnMask', 'keyPaddingMask', 'isCausal']);
    const attended = this.residual(this.tensor(x), this.norm1, (t) => this.attendSelf(t, options));
    return this.residual(attended, this.norm2, (t) => this.feedForward(t));
  }
}

/** Masks of a decoder layer: those of its own positions, and those of the memory's. */
export interface DecoderOptions extends EncoderOptions {
  memoryMask?: Mask | null;
  memoryKeyPaddingMask?: Mask | null;
}

/**
 * Self-attention, attention to the encoder's output `memory`, and a hidden layer, each in a residual branch:
 * x [batch, length, dModel] and memory [batch, length', dModel] to x's shape.
 * @example new nn.TransformerDecoderLayer(64, 4)(x, memory, { isCausal: true })
 */
export class TransformerDecoderLayer extends TransformerLayer<
  [x: TensorLike, memory: TensorLike, options?: DecoderOptions]
> {
  multihead_attn: MultiheadAttention;
  norm3: LayerNorm;

  constructor(dModel: number, numHeads: number, options: TransformerLayerOptions = {}) {
    super(dModel, numHeads, options);
    this.multihead_attn = new MultiheadAttention(dModel, numHeads, { dropout: this.settings.dropout });
    this.norm3 = new LayerNorm(dModel, { eps: this.settings.layerNormEps });
  }

  override forward(x: TensorLike, memory: TensorLike, options: DecoderOptions = {}): Tensor {
    const known = ['attnMask', 'keyPaddingMask', 'isCausal', 'memoryMask', 'memoryKeyPaddingMask'];
    checkOptions(this.constructor.name, options, known);
    const { memoryMask = null, memoryKeyPaddingMask = null, ...own } = options;
    const masks = { attnMask: memoryMask, keyPaddingMask: memoryKeyPaddingMask };
    const encoded = this.tensor(memory);
    const self = this.residual(this.tensor(x), this.norm1, (t) => this.attendSelf(t, own));
    const crossed = this.residual(
      self,
      this.norm2,
      (t) => this.multihead_attn(t, encoded, encoded, masks)[0],
    );
    return this.residual(crossed, this.norm3, (t) => this.feedForward(t));
  }
}
