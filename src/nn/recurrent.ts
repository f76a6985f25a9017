// Recurrent layers. Parameter names, gate orders and layouts are PyTorch's.
import { add, concat, dropout, gru, lstm, narrow, reshape, transpose } from '../ops/index.js';
import { full } from '../ops/create.js';
import { describe, shapeError, showShape, typeError } from '../tensor/errors.js';
import { sameShape } from '../tensor/shape.js';
import type { Tensor, TensorLike } from '../tensor/tensor.js';
import { uniform } from './init.js';
import { Module } from './module.js';
import { flag, number, positive, readOptions, showOptions, whole } from './options.js';
import { zeroParameter } from './parameter.js';

export interface RecurrentOptions {
  /** Layers on top of each other (default 1). */
  numLayers?: number;
  /** Train biases (default true). */
  bias?: boolean;
  /** Inputs and outputs are [batch, time, features], not [time, batch, features] (default false). */
  batchFirst?: boolean;
  /** Probability of dropping an output of a layer below the last in training (default 0). */
  dropout?: number;
  /** Run a second set of layers backwards in time and put its outputs beside (default false). */
  bidirectional?: boolean;
}

const fields = {
  numLayers: whole(1, 1),
  bias: flag(true),
  batchFirst: flag(false),
  dropout: number({ min: 0, max: 1 }, 0),
  bidirectional: flag(false),
};
const DEFAULTS = { numLayers: 1, bias: true, batchFirst: false, dropout: 0, bidirectional: false };

/** The parameters of one layer in one direction. */
interface Weights {
  ih: Tensor;
  hh: Tensor;
  bih: Tensor | null;
  bhh: Tensor | null;
}

/** What LSTM and GRU share: parameters, layers, directions and the walk through time. */
abstract class Recurrent<State> extends Module<[x: TensorLike, state?: State], [Tensor, State]> {
  protected readonly settings: Required<RecurrentOptions>;
  private readonly suffixes: readonly string[];

  constructor(
    readonly inputSize: number,
    readonly hiddenSize: number,
    private readonly gates: number,
    options: RecurrentOptions,
  ) {
    super();
    const where = this.constructor.name;
    positive(where, 'inputSize', inputSize);
    positive(where, 'hiddenSize', hiddenSize);
    this.settings = readOptions<RecurrentOptions>(where, options, fields);
    const { numLayers, bidirectional } = this.settings;
    const directions = bidirectional ? ['', '_reverse'] : [''];
    this.suffixes = Array.from({ length: numLayers }, (_, k) => directions.map((d) => `l${k}${d}`)).flat();
    this.suffixes.forEach((suffix, k) => this.addParameters(suffix, k < directions.length));
  }

  private get directions(): number {
    return this.settings.bidirectional ? 2 : 1;
  }

  /** Adds weight_ih_l0 and the like, uniform on ±1/√hiddenSize. */
  private addParameters(suffix: string, first: boolean): void {
    const rows = this.gates * this.hiddenSize;
    const width = first ? this.inputSize : this.directions * this.hiddenSize;
    const shapes = {
      weight_ih: [rows, width],
      weight_hh: [rows, this.hiddenSize],
      ...(this.settings.bias ? { bias_ih: [rows], bias_hh: [rows] } : {}),
    };
    const bound = 1 / Math.sqrt(this.hiddenSize);
    for (const [name, shape] of Object.entries(shapes))
      Object.assign(this, { [`${name}_${suffix}`]: uniform(zeroParameter(shape), -bound, bound) });
  }

  private weights(suffix: string): Weights {
    const own = this as unknown as Record<string, Tensor | undefined>;
    return {
      ih: own[`weight_ih_${suffix}`]!,
      hh: own[`weight_hh_${suffix}`]!,
      bih: own[`bias_ih_${suffix}`] ?? null,
      bhh: own[`bias_hh_${suffix}`] ?? null,
    };
  }

  /** A layer in one direction, from its first states [batch, hidden]: its outputs, and its last states [1, batch, hidden]. */
  protected abstract layer(x: Tensor, w: Weights, start: readonly Tensor[], reverse: boolean): Tensor[];

  /** All layers: the output of the last, and the last states [layers · directions, batch, hidden]. */
  protected run(input: TensorLike, initial: readonly (TensorLike | undefined)[]): [Tensor, Tensor[]] {
    const { batchFirst, numLayers } = this.settings;
    const given = this.tensor(input);
    if (given.ndim !== 3 || given.shape[2] !== this.inputSize || given.shape[batchFirst ? 1 : 0] === 0)
      throw this.misfit(given, `[${batchFirst ? 'batch, time' : 'time, batch'}, ${this.inputSize}]`);
    let x = batchFirst ? transpose(given, 0, 1) : given;
    const starts = initial.map((s) => this.checkedState(s, x.shape[1]!));
    const last: Tensor[][] = [];
    for (let layer = 0; layer < numLayers; layer++) {
      if (layer > 0) x = dropout(x, { p: this.settings.dropout, training: this.training });
      const sides = Array.from({ length: this.directions }, (_, d) => {
        const k = layer * this.directions + d;
        const start = starts.map((s) => reshape(narrow(s, 0, k, 1), s.shape.slice(1)));
        const suffix = this.suffixes[k]!;
        const [outputs, ...state] = this.layer(x, this.weights(suffix), start, suffix.endsWith('_reverse'));
        last.push(state);
        return outputs!;
      });
      x = sides.length > 1 ? concat(sides, 2) : sides[0]!;
    }
    const states = starts.map((_, i) =>
      concat(
        last.map((state) => state[i]!),
        0,
      ),
    );
    return [batchFirst ? transpose(x, 0, 1) : x, states];
  }

  private checkedState(given: TensorLike | undefined, batch: number): Tensor {
    const shape = [this.suffixes.length, batch, this.hiddenSize];
    if (given === undefined) return full(shape, 0);
    const t = this.tensor(given);
    if (sameShape(t.shape, shape)) return t;
    throw shapeError(this.label, `the state has shape ${showShape(t.shape)}, expected ${showShape(shape)}`);
  }

  protected override signature(): string {
    const told = Object.entries(this.settings).map(
      ([name, value]) => [name, [value, DEFAULTS[name as keyof typeof DEFAULTS]]] as const,
    );
    return `${this.inputSize}, ${this.hiddenSize}${showOptions(Object.fromEntries(told))}`;
  }
}

/**
 * Long short-term memory (Hochreiter and Schmidhuber, 1997; forget gate of Gers et al., 2000). Takes x
 * [time, batch, inputSize] and an optional state [h, c], each [layers · directions, batch, hiddenSize]; returns
 * [output, [h, c]] with output [time, batch, directions · hiddenSize].
 * @example const [y, [h, c]] = new nn.LSTM(8, 32, { numLayers: 2 })(x);
 */
export class LSTM extends Recurrent<readonly [Tensor, Tensor]> {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    super(inputSize, hiddenSize, 4, options);
  }

  override forward(
    x: TensorLike,
    state?: readonly [TensorLike, TensorLike],
  ): [Tensor, readonly [Tensor, Tensor]] {
    if (state !== undefined && !(Array.isArray(state) && state.length === 2))
      throw typeError(this.label, `the state must be a pair [h, c], got ${describe(state)}`);
    const [output, [h, c]] = this.run(x, state ?? [undefined, undefined]);
    return [output, [h!, c!]];
  }

  protected override layer(
    x: Tensor,
    { ih, hh, bih, bhh }: Weights,
    [h, c]: readonly Tensor[],
    reverse: boolean,
  ): Tensor[] {
    // Both biases are added to the same sums, so they come in together, and have one gradient.
    return lstm(x, ih, hh, h!, c!, { biasH: bih && bhh && add(bih, bhh), reverse });
  }
}

/**
 * Gated recurrent unit (Cho et al., 2014), the reset gate applied after the hidden product, as in PyTorch and cuDNN. Takes x
 * [time, batch, inputSize] and an optional state h [layers · directions, batch, hiddenSize]; returns [output, h].
 * @example const [y, h] = new nn.GRU(8, 32, { batchFirst: true })(x);
 */
export class GRU extends Recurrent<Tensor> {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    super(inputSize, hiddenSize, 3, options);
  }

  override forward(x: TensorLike, state?: TensorLike): [Tensor, Tensor] {
    const [output, [h]] = this.run(x, [state]);
    return [output, h!];
  }

  protected override layer(
    x: Tensor,
    { ih, hh, bih, bhh }: Weights,
    [h]: readonly Tensor[],
    reverse: boolean,
  ): Tensor[] {
    return gru(x, ih, hh, h!, { biasX: bih, biasH: bhh, reverse });
  }
}
