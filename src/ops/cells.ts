// The cells of the recurrent layers: one time step as a kernel, and as ops for gradients of gradients. Both say the same
// of one cell; ops/recurrent.ts walks them through time.
import { launch } from '../kernels/launch.js';
import type { Tensor } from '../tensor/tensor.js';
import { concat, split } from './join.js';
import { add, mul, sigmoid, sub, tanh } from './pointwise.js';

/** Addresses of a step: hidden state and, where there is one, cell state, before and after; products with x and with h. */
export interface StepPlaces {
  h: number;
  c: number;
  /** Four blocks that the backward step needs. */
  saved: number;
  x: number;
  product: number;
  hBefore: number;
  cBefore: number;
}

/** Addresses of a backward step: gradients by both products and of what is carried, from those by h'. */
export interface GradPlaces extends Pick<StepPlaces, 'saved' | 'c' | 'hBefore' | 'cBefore'> {
  gx: number;
  gProduct: number;
  carried: number;
  /** The parts of the gradient by h', from the output and from the next step's product; the latter 0 at the last step. */
  gy: number;
  gh: number;
  carry: number;
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
  run(at: StepPlaces, batch: number, hidden: number): void;
  runGrad(at: GradPlaces, batch: number, hidden: number): void;
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
  run: (at, batch, hidden) =>
    launch('lstmCell', at.h, at.c, at.saved, at.x, at.product, at.cBefore, batch, hidden),
  runGrad: (at, batch, hidden) =>
    launch(
      'lstmCellGrad',
      at.gx,
      at.carried,
      at.gy,
      at.gh,
      at.carry,
      at.saved,
      at.cBefore,
      at.c,
      batch,
      hidden,
    ),
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
  run: (at, batch, hidden) => launch('gruCell', at.h, at.saved, at.x, at.product, at.hBefore, batch, hidden),
  runGrad: (at, batch, hidden) =>
    launch(
      'gruCellGrad',
      at.gx,
      at.gProduct,
      at.carried,
      at.gy,
      at.gh,
      at.carry,
      at.saved,
      at.hBefore,
      batch,
      hidden,
    ),
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
