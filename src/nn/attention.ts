// Attention with several heads (Vaswani et al., "Attention is all you need", 2017, section 3.2). Batch first throughout.
import {
  add,
  dropout,
  linear,
  matmul,
  mean,
  mul,
  narrow,
  ones,
  permute,
  reshape,
  scaledDotProductAttention,
  softmax,
  split,
  transpose,
  triu,
  where,
} from '../ops/index.js';
import { checkOptions, rangeError, shapeError, showShape } from '../tensor/errors.js';
import { asTensor, Tensor, type Nested, type TensorLike } from '../tensor/tensor.js';
import { xavierUniform, zeros } from './init.js';
import { Linear } from './linear.js';
import { Module } from './module.js';
import { flag, number, positive, readOptions, showOptions } from './options.js';
import { zeroParameter } from './parameter.js';

type NestedFlags = boolean | readonly NestedFlags[];
/** What must not be attended to: true, or not 0. */
export type Mask = Tensor | readonly Nested[] | readonly NestedFlags[];

const isOn = (flags: NestedFlags | Nested): Nested =>
  Array.isArray(flags) ? flags.map(isOn) : Number(flags);

const asMask = (where: string, mask: Mask): Tensor =>
  mask instanceof Tensor ? mask : asTensor(where, isOn(mask));

export interface AttentionLayerOptions {
  /** Train biases (default true). */
  bias?: boolean;
  /** Probability with which an attention weight is dropped in training (default 0). */
  dropout?: number;
}

export interface AttentionOptions {
  /** [queries, keys], or [batch, heads or 1, queries, keys]: true where a query must not attend to a key. */
  attnMask?: Mask | null;
  /** [batch, keys]: true where a key is padding. */
  keyPaddingMask?: Mask | null;
  /** Keep every query from keys at later positions. */
  isCausal?: boolean;
  /** Return the weights, averaged over the heads, too. */
  needWeights?: boolean;
}

/**
 * Attention of queries [batch, queries, embedDim] to keys and values [batch, keys, embedDim], in `numHeads` heads of
 * embedDim / numHeads. Returns [output, weights], as PyTorch; weights [batch, queries, keys] are null unless asked for.
 * @example const [y] = new nn.MultiheadAttention(64, 4)(x, x, x, { isCausal: true });
 */
export class MultiheadAttention extends Module<
  [query: TensorLike, key?: TensorLike, value?: TensorLike, options?: AttentionOptions],
  [Tensor, Tensor | null]
> {
  readonly embedDim: number;
  readonly numHeads: number;
  readonly dropout: number;
  /** The projections of query, key and value, stacked. */
  in_proj_weight: Tensor;
  in_proj_bias: Tensor | null;
  out_proj: Linear;

  constructor(embedDim: number, numHeads: number, options: AttentionLayerOptions = {}) {
    super();
    const where = 'MultiheadAttention';
    this.embedDim = positive(where, 'embedDim', embedDim);
    this.numHeads = positive(where, 'numHeads', numHeads);
    if (embedDim % numHeads !== 0)
      throw rangeError(where, `numHeads must divide embedDim, got ${numHeads} and ${embedDim}`);
    const { bias, dropout } = readOptions<AttentionLayerOptions>(where, options, {
      bias: flag(true),
      dropout: number({ min: 0, max: 1 }, 0),
    });
    this.dropout = dropout;
    this.in_proj_weight = xavierUniform(zeroParameter([3 * embedDim, embedDim]));
    this.in_proj_bias = bias ? zeroParameter([3 * embedDim]) : null;
    this.out_proj = new Linear(embedDim, embedDim, { bias });
    if (this.out_proj.bias) zeros(this.out_proj.bias);
  }

  override forward(
    query: TensorLike,
    key: TensorLike = query,
    value: TensorLike = key,
    options: AttentionOptions = {},
  ): [Tensor, Tensor | null] {
    checkOptions(this.label, options, ['attnMask', 'keyPaddingMask', 'isCausal', 'needWeights']);
    const [q, k, v] = this.heads(this.checked(query), this.checked(key), this.checked(value), key === query);
    const sizes = [...q.shape.slice(0, 3), k.shape[2]!];
    const attnMask = this.additive(sizes, options);
    const { isCausal = false, needWeights = false } = options;
    const dropoutP = this.training ? this.dropout : 0;
    if (!needWeights)
      return [this.merged(scaledDotProductAttention(q, k, v, { attnMask, isCausal, dropoutP })), null];
    const scores = matmul(mul(q, Math.sqrt(this.numHeads / this.embedDim)), transpose(k, -2, -1));
    const seen = attnMask ? add(scores, attnMask) : scores;
    const causal = isCausal ? where(triu(ones(sizes.slice(2)), 1), -Infinity, seen) : seen;
    const weights = dropout(softmax(causal), { p: dropoutP });
    return [this.merged(matmul(weights, v)), mean(weights, 1)];
  }

  /** [batch, heads, length, width] as [batch, length, embedDim], projected. */
  private merged(y: Tensor): Tensor {
    return this.out_proj(reshape(permute(y, [0, 2, 1, 3]), [y.shape[0]!, y.shape[2]!, this.embedDim]));
  }

  private checked(x: TensorLike): Tensor {
    const t = this.tensor(x);
    if (t.ndim !== 3 || t.shape[2] !== this.embedDim)
      throw this.misfit(t, `[batch, length, ${this.embedDim}]`);
    return t;
  }

  /** The three projections, each as [batch, heads, length, embedDim / heads]. */
  private heads(query: Tensor, key: Tensor, value: Tensor, self: boolean): [Tensor, Tensor, Tensor] {
    if (key.shape[0] !== query.shape[0] || key.shape[0] !== value.shape[0] || key.shape[1] !== value.shape[1])
      throw shapeError(
        this.label,
        `query ${showShape(query.shape)}, key ${showShape(key.shape)} and value ${showShape(value.shape)} do not fit`,
      );
    const [e, width] = [this.embedDim, this.embedDim / this.numHeads];
    const [weight, bias] = [this.in_proj_weight, this.in_proj_bias];
    const [batch, length] = query.shape as [number, number];
    if (self && value === key) {
      // One product for all three where the inputs are one tensor; its heads move once, then the three lie in one run each.
      const packed = reshape(linear(query, weight, bias), [batch, length, 3, this.numHeads, width]);
      return split(permute(packed, [2, 0, 3, 1, 4]), 1, 0).map((t) =>
        reshape(t, [batch, this.numHeads, length, width]),
      ) as [Tensor, Tensor, Tensor];
    }
    return [query, key, value].map((x, k) => {
      const t = linear(x, narrow(weight, 0, k * e, e), bias && narrow(bias, 0, k * e, e));
      return permute(reshape(t, [batch, t.shape[1]!, this.numHeads, width]), [0, 2, 1, 3]);
    }) as [Tensor, Tensor, Tensor];
  }

  /** 0, or -Infinity where attending is not allowed, broadcastable to [batch, heads, queries, keys]; null without masks. */
  private additive(sizes: readonly number[], { attnMask, keyPaddingMask }: AttentionOptions): Tensor | null {
    const [batch, , , keys] = sizes as [number, number, number, number];
    const masks: Tensor[] = [];
    if (attnMask) masks.push(this.checkedMask('attnMask', asMask(this.label, attnMask), sizes));
    if (keyPaddingMask) {
      const t = asMask(this.label, keyPaddingMask);
      if (t.ndim !== 2 || t.shape[0] !== batch || t.shape[1] !== keys)
        throw shapeError(
          this.label,
          `keyPaddingMask has shape ${showShape(t.shape)}, expected [${batch}, ${keys}]`,
        );
      masks.push(reshape(t, [batch, 1, 1, keys]));
    }
    const blocked = masks.map((mask) => where(mask, -Infinity, 0));
    return blocked.length === 0 ? null : blocked.reduce((a, b) => add(a, b));
  }

  private checkedMask(name: string, mask: Tensor, shape: readonly number[]): Tensor {
    const fits =
      mask.shape.length <= 4 &&
      mask.shape.every((d, k) => {
        const at = k + 4 - mask.ndim;
        return d === shape[at] || (d === 1 && at < 2);
      });
    if (mask.ndim >= 2 && fits) return mask;
    throw shapeError(
      this.label,
      `${name} has shape ${showShape(mask.shape)}, expected ${showShape(shape.slice(2))} or ${showShape(shape)}`,
    );
  }

  protected override signature(): string {
    return `${this.embedDim}, ${this.numHeads}${showOptions({
      bias: [this.in_proj_bias !== null, true],
      dropout: [this.dropout, 0],
    })}`;
  }
}
