// The cells of the recurrent layers: a walk through time as a kernel, and one step as ops for gradients of gradients. Both
// say the same of one cell.
import { launch } from '../kernels/launch.js';
import type { Tensor } from '../tensor/tensor.js';
import { concat, split } from './join.js';
import { add, mul, sigmoid, sub, tanh } from './pointwise.js';

/** Addresses of a walk forwards: states in the order of time, one more than there are steps, gates and inputs. */
export interface WalkPlaces {
  h: number;
  c: number;
  /** Four blocks a step, which the way back needs. */
  gates: number;
  x: number;
  /** Weights [inputs, blocks · hidden] and [hidden, blocks · hidden]. */
  wx: number;
  wh: number;
  /** 0 where there is none. */
  bx: number;
  bh: number;
}

/** Addresses of a walk back: gradients by both products, and of what goes on from step to step, from those by outputs. */
export interface BackPlaces {
  gx: number;
  gProduct: number;
  gh: number;
  carried: number;
  gy: number;
  gates: number;
  /** Cell states, or hidden states where there are none. */
  states: number;
  /** Weights [blocks · hidden, hidden]. */
  wh: number;
}

/** How many steps of how many rows; `reverse` 1 for steps from the last time to the first. */
export interface WalkSizes {
  time: number;
  batch: number;
  hidden: number;
  reverse: 0 | 1;
}

/** A step's outcome in ops: the state [h', c'] or [h'], and what `back` needs. */
export interface StepTensors {
  state: Tensor[];
  saved: Tensor[];
}

export interface Cell {
  /** Blocks of `hidden` numbers in a product. */
  readonly blocks: number;
  /** Whether there is a cell state; its gradient is then what is carried from step to step. */
  readonly cells: boolean;
  run(at: WalkPlaces, sizes: WalkSizes, inputs: number): void;
  /** `through`: whether the gradient by the state that the walk starts from is wanted as far as it comes through the product. */
  runGrad(at: BackPlaces, sizes: WalkSizes, through: 0 | 1): void;
  step(x: Tensor, product: Tensor, state: readonly Tensor[]): StepTensors;
  /** Gradients [by x, by the product, of what is carried]. */
  back(gh: Tensor, carry: Tensor | null, saved: readonly Tensor[]): [Tensor, Tensor, Tensor];
}

const blocksOf = (t: Tensor, n: number): Tensor[] => split(t, t.shape[1]! / n, 1);
const sigmoidSlope = (s: Tensor): Tensor => mul(s, sub(1, s));
const tanhSlope = (t: Tensor): Tensor => mul(sub(1, t), add(1, t));

// c' = σ(f) c + σ(i) tanh(g), h' = σ(o) tanh(c')
export const lstmCell: Cell = {
  blocks: 4,
  cells: true,
  run: (at, { time, batch, hidden, reverse }, inputs) =>
    launch(
      'lstm',
      at.h,
      at.c,
      at.gates,
      at.x,
      at.wx,
      at.wh,
      at.bx,
      at.bh,
      time,
      batch,
      inputs,
      hidden,
      reverse,
    ),
  runGrad: (at, { time, batch, hidden, reverse }, through) => {
    const { gx, gh, carried, gy, gates, states, wh } = at;
    launch('lstmGrad', gx, gh, carried, gy, gates, states, wh, time, batch, hidden, reverse, through);
  },
  step: (x, product, [, c]) => {
    const [a, b, d, e] = blocksOf(add(x, product), 4) as [Tensor, Tensor, Tensor, Tensor];
    const [i, f, g, o] = [sigmoid(a), sigmoid(b), tanh(d), sigmoid(e)];
    const next = add(mul(f, c!), mul(i, g));
    const t = tanh(next);
    return { state: [mul(o, t), next], saved: [i, f, g, o, c!, t] };
  },
  back: (gh, carry, saved) => {
    const [i, f, g, o, c, t] = saved as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
    const own = mul(mul(gh, o), tanhSlope(t));
    const gc = carry ? add(carry, own) : own;
    const gx = concat(
      [
        mul(mul(gc, g), sigmoidSlope(i)),
        mul(mul(gc, c), sigmoidSlope(f)),
        mul(mul(gc, i), tanhSlope(g)),
        mul(mul(gh, t), sigmoidSlope(o)),
      ],
      1,
    );
    return [gx, gx, mul(gc, f)];
  },
};

// h' = (1 - z) n + z h = n + z (h - n), n = tanh(x_n + σ(r) p_n)
export const gruCell: Cell = {
  blocks: 3,
  cells: false,
  run: (at, { time, batch, hidden, reverse }, inputs) =>
    launch('gru', at.h, at.gates, at.x, at.wx, at.wh, at.bx, at.bh, time, batch, inputs, hidden, reverse),
  runGrad: (at, { time, batch, hidden, reverse }, through) => {
    const { gx, gProduct, gh, carried, gy, gates, states, wh } = at;
    launch(
      'gruGrad',
      gx,
      gProduct,
      gh,
      carried,
      gy,
      gates,
      states,
      wh,
      time,
      batch,
      hidden,
      reverse,
      through,
    );
  },
  step: (x, product, [h]) => {
    const [xr, xz, xn] = blocksOf(x, 3) as [Tensor, Tensor, Tensor];
    const [pr, pz, pn] = blocksOf(product, 3) as [Tensor, Tensor, Tensor];
    const [r, z] = [sigmoid(add(xr, pr)), sigmoid(add(xz, pz))];
    const n = tanh(add(xn, mul(r, pn)));
    return { state: [add(n, mul(z, sub(h!, n)))], saved: [r, z, n, pn, h!] };
  },
  back: (gh, carry, saved) => {
    const [r, z, n, pn, h] = saved as [Tensor, Tensor, Tensor, Tensor, Tensor];
    const g = carry ? add(gh, carry) : gh;
    const gn = mul(mul(g, sub(1, z)), tanhSlope(n));
    const gr = mul(mul(gn, pn), sigmoidSlope(r));
    const gz = mul(mul(g, sub(h, n)), sigmoidSlope(z));
    return [concat([gr, gz, gn], 1), concat([gr, gz, mul(gn, r)], 1), mul(g, z)];
  },
};
