// Random ops. A draw is a number in a stream of draws under one seed; every element depends on (seed, draw, index) alone,
// so results do not depend on the engine, on threads or on what else was drawn before the same draw.
import { launch } from '../kernels/launch.js';
import { philoxWords } from '../kernels/philox.js';
import { Storage } from '../memory/storage.js';
import { watcher } from '../memory/watcher.js';
import { checkNumber, checkOptions, rangeError } from '../tensor/errors.js';
import { apply, define, type Op, type OpRow } from '../tensor/op.js';
import { checkShape, type Shape } from '../tensor/shape.js';
import { asTensor, type Tensor, type TensorLike } from '../tensor/tensor.js';
import { add, floor, mul } from './pointwise.js';

/** The position of a generator: which draw comes next, under which key. */
export interface GeneratorState {
  seed: number;
  draws: number;
}

/** One draw: its key and its number. */
interface Draw {
  words: Storage;
}

/** A stream of draws. The library has one for tensors; data loaders have their own. */
export class Generator {
  private draws = 0;
  private seed = 0;

  constructor(seed = 0) {
    this.manualSeed(seed);
  }

  /** Starts the stream of `seed` from its beginning. */
  manualSeed(seed: number): void {
    this.seed = checkNumber('manualSeed', 'seed', seed, {
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
      integer: true,
    });
    this.draws = 0;
    watcher?.refuse('a generator is seeded');
  }

  /** The four words that a random kernel reads: key, draw. */
  draw(): Draw {
    const next = (): Int32Array => Int32Array.from([...this.key(), this.draws++, 0]);
    const words = Storage.of(next());
    words.live = next;
    return { words };
  }

  /** `n` random 32-bit words, computed here; for shuffles and other small things outside the heap. */
  words(n: number): Uint32Array {
    watcher?.refuse('random numbers are drawn outside tensors');
    const [k0, k1] = this.key();
    return philoxWords(k0, k1, n, this.draws++ >>> 0);
  }

  /** 0 … n-1 in random order (Fisher and Yates). */
  permutation(n: number): Int32Array {
    const words = this.words(n);
    const order = Int32Array.from({ length: n }, (_, k) => k);
    for (let k = n - 1; k > 0; k--) {
      // 32 random bits scaled to [0, k]: the bias is below k / 2^32.
      const j = Math.floor((words[k]! / 4294967296) * (k + 1));
      [order[k], order[j]] = [order[j]!, order[k]!];
    }
    return order;
  }

  get state(): GeneratorState {
    return { seed: this.seed, draws: this.draws };
  }

  set state({ seed, draws }: GeneratorState) {
    this.manualSeed(seed);
    this.draws = draws;
  }

  private key(): [number, number] {
    return [this.seed >>> 0, Math.floor(this.seed / 4294967296) >>> 0];
  }
}

/** The generator behind rand, randn, dropout and parameter initialisation. */
export const generator = new Generator(0);

/** Seeds all random numbers of tensors. Without it the seed is 0, so every program gives the same numbers on every run. */
export const manualSeed = (seed: number): void => generator.manualSeed(seed);

/** Draws the values of a storage on the heap, inside a scope. */
export type DrawInto = (to: Storage) => void;

function source(name: 'uniform' | 'normal'): [(where: string, shape: Shape) => Tensor, DrawInto] {
  const fill = (to: Storage, { words }: Draw): void =>
    launch(name, to.address(), words.address(), 0, to.length);
  const row: OpRow<{ shape: Shape; draw: Draw }> = {
    name,
    shape: (_xs, { shape }) => shape,
    forward: (y, _xs, { draw }) => fill(y.storage, draw),
    vjp: () => [],
  };
  return [
    (where, shape) => apply(row, [], { shape: checkShape(where, shape), draw: generator.draw() }),
    (to) => fill(to, generator.draw()),
  ];
}

const [uniform, drawUniform] = source('uniform');
const [normal, drawNormal] = source('normal');
export { drawNormal, drawUniform };

/** Uniform in [0, 1). */
export const rand = (shape: Shape): Tensor => uniform('rand', shape);
/** Standard normal. */
export const randn = (shape: Shape): Tensor => normal('randn', shape);

/** Whole numbers in [low, high). */
export function randint(low: number, high: number, shape: Shape): Tensor {
  checkNumber('randint', 'low', low, { integer: true });
  checkNumber('randint', 'high', high, { integer: true });
  if (!(high > low) || high - low > 2 ** 24)
    throw rangeError('randint', `[${low}, ${high}) must hold between 1 and 2^24 numbers`);
  return add(floor(mul(uniform('randint', shape), high - low)), low);
}

/** 0 … n-1 in random order, as integers ready to index with. */
export const randperm = (n: number): Int32Array =>
  generator.permutation(checkNumber('randperm', 'n', n, { min: 0, integer: true }));

const dropoutRow: OpRow<{ draw: Draw; p: number }> = {
  name: 'dropout',
  shape: ([x]) => x!,
  forward: (y, [x], { draw, p }) =>
    launch('dropout', y.storage.address(), x!.storage.address(), draw.words.address(), 0, p, y.size),
  // The same draw gives the same mask, so nothing is saved.
  vjp: (g, _y, _xs, attrs) => [apply(dropoutRow, [g], attrs)],
};

export interface DropoutOptions {
  /** Probability of a zero; 0.5 by default. */
  p?: number;
  training?: boolean;
}

/** Zeroes elements with probability p and scales the others by 1/(1-p); x itself when not training (Srivastava et al., 2014). */
export const dropout: Op<(x: TensorLike, options?: DropoutOptions) => Tensor> = define(
  (x: TensorLike, options: DropoutOptions = {}): Tensor => {
    checkOptions('dropout', options, ['p', 'training']);
    const p = checkNumber('dropout', 'p', options.p ?? 0.5, { min: 0, max: 1 });
    const t = asTensor('dropout', x);
    if (options.training === false || p === 0) return t;
    if (p === 1) return mul(t, 0);
    return apply(dropoutRow, [t], { draw: generator.draw(), p });
  },
  {
    samples: () => [
      {
        shapes: [[3, 5]],
        call: (x) => {
          // The same mask at each call, so that finite differences see one function.
          const saved = generator.state;
          const y = dropout(x, { p: 0.4 });
          generator.state = saved;
          return y;
        },
      },
    ],
    errors: () => [
      [() => dropout([1], { p: 1.5 }), /dropout: p must be a finite number >= 0 and <= 1, got 1.5/],
    ],
  },
  dropoutRow,
);
