// Kernel rows of the recurrent layers: all steps of a layer in one direction, products with the weights included. States
// and blocks of `hidden` numbers lie in the order of time: steps go from the first to the last, in reverse from the last
// to the first, and each starts from the state beside its own. A row of the batch never meets another.
import type { Cells, KernelCase, KernelRow } from '../row.js';

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Time, batch, inputs, hidden. */
const SIZES = [
  [0, 2, 3, 4],
  [2, 0, 3, 4],
  [1, 1, 1, 1],
  [3, 2, 1, 3],
  [2, 5, 7, 16],
  [3, 9, 20, 37],
  [2, 33, 40, 48],
  // More threads than rows that are worth one.
  [3, 2, 60, 100],
] as const;

/** Of the weights: small, as a recurrence enlarges rounding errors from step to step. */
const WEIGHTS = [-0.3, 0.3] as const;

/** The number of a batch's row in memory, and of a state's among its time's neighbours. */
interface Step {
  row: number;
  before: number;
  after: number;
}

/** Every row of every step of a walk, in its order. */
function* walk(time: number, batch: number, reverse: number): Generator<Step> {
  for (let k = 0; k < time; k++) {
    const at = reverse ? time - 1 - k : k;
    const [before, after] = reverse ? [at + 1, at] : [at, at + 1];
    for (let q = 0; q < batch; q++)
      yield { row: at * batch + q, before: before * batch + q, after: after * batch + q };
  }
}

/** Σ a[p] w[p · step + j]. */
function inner(m: Cells, a: number, w: number, terms: number, step: number, j: number): number {
  let total = 0;
  for (let p = 0; p < terms; p++) total += m.f[a + p]! * m.f[w + p * step + j]!;
  return total;
}

/** Rows of the batch are cut inside the kernel; products cost 0.04 ns a multiplication. */
const byRows = (work: readonly number[], blocks: number): KernelRow['split'] => ({
  work,
  cost: 0.04 * blocks,
  cut: () => 'inside',
});

type Numbers5 = [time: number, batch: number, inputs: number, hidden: number, reverse: number];

/** A layer of cells with `blocks` blocks in a product; `states` pointers of states come first, then gates, x and weights. */
function forward(
  sig: string,
  states: number,
  blocks: number,
  step: (m: Cells, p: readonly number[], sizes: Numbers5, at: Step, j: number) => void,
): KernelRow {
  const pointers = states + 6;
  return {
    sig,
    extents: (...n) => {
      const [time, batch, inputs, hidden] = n as Numbers5;
      const state = batch * hidden;
      return [
        ...Array<number>(states).fill((time + 1) * state),
        4 * time * state,
        time * batch * inputs,
        blocks * inputs * hidden,
        blocks * hidden * hidden,
        blocks * hidden,
        blocks * hidden,
      ];
    },
    flops: (...n) => {
      const [time, batch, inputs, hidden] = n as Numbers5;
      return 2 * time * batch * blocks * hidden * (inputs + hidden);
    },
    ref: (m, ...args) => {
      const sizes = args.slice(pointers) as Numbers5;
      for (const at of walk(sizes[0], sizes[1], sizes[4]))
        for (let j = 0; j < sizes[3]; j++) step(m, args, sizes, at, j);
    },
    cases: SIZES.flatMap((sizes, k): KernelCase[] => [
      { args: [...sizes, 0], absent: k % 2 ? [pointers - 2] : [pointers - 1] },
      { args: [...sizes, 1] },
    ]),
    domain: [
      ...Array<readonly [number, number]>(states + 1).fill([-1, 1]),
      WEIGHTS,
      WEIGHTS,
      [-1, 1],
      [-1, 1],
    ],
    tolerance: 2e-5,
    split: byRows([pointers, pointers + 1, pointers + 3, pointers + 3], blocks),
  };
}

/** The way back of a layer; `outputs` pointers of gradients by products come first. */
function backward(
  sig: string,
  outputs: number,
  blocks: number,
  step: (m: Cells, p: readonly number[], hidden: number, q: number, at: Step, j: number) => void,
): KernelRow {
  const pointers = outputs + 6;
  return {
    sig,
    extents: (...n) => {
      const [time, batch, hidden] = n as [number, number, number];
      const state = batch * hidden;
      return [
        ...Array<number>(outputs).fill(blocks * time * state),
        state,
        state,
        time * state,
        4 * time * state,
        (time + 1) * state,
        blocks * hidden * hidden,
      ];
    },
    flops: (time, batch, hidden) => 2 * time! * batch! * blocks * hidden! * hidden!,
    ref: (m, ...args) => {
      const [time, batch, hidden, reverse, through] = args.slice(pointers) as Numbers5;
      const steps = [...walk(time, batch, reverse)];
      const [byProduct, gh, w] = [args[outputs - 1]!, args[outputs]!, args[pointers - 1]!];
      steps.reverse().forEach((at, k) => {
        const q = at.row % batch;
        for (let j = 0; j < hidden; j++) step(m, args, hidden, q, at, j);
        if (k >= steps.length - batch && !through) return;
        const wide = blocks * hidden;
        for (let j = 0; j < hidden; j++)
          m.f[gh + q * hidden + j] = inner(m, byProduct + at.row * wide, w, wide, hidden, j);
      });
    },
    cases: SIZES.flatMap(([time, batch, , hidden], k): KernelCase[] => [
      { args: [time, batch, hidden, 0, k % 2] },
      { args: [time, batch, hidden, 1, 1 - (k % 2)] },
    ]),
    domain: [[-1, 1], [-1, 1], [-1, 1], [0, 1], [-2, 2], WEIGHTS],
    tolerance: 2e-5,
    split: byRows([pointers, pointers + 1, pointers + 2, pointers + 2], blocks),
  };
}

export const recurrent = {
  /**
   * Long short-term memory. With the blocks i, f, g, o of x Wx + bx + h Wh + bh, the first two and the last through σ and g
   * through tanh: c' = f c + i g, h' = o tanh c'. `h` and `c` have a state more than there are steps, of which the first
   * to start from is given; `gates` gets the blocks, [time, batch, 4 · hidden]. x [time, batch, inputs],
   * Wx [inputs, 4 · hidden], Wh [hidden, 4 · hidden]; biases may be absent.
   * (h, c, gates, x, wx, wh, bx, bh, time, batch, inputs, hidden, reverse)
   */
  lstm: forward('uuoiiiiinnnnn', 2, 4, (m, p, [, , inputs, hidden], { row, before, after }, j) => {
    const [h, c, gates, x, wx, wh, bx, bh] = p as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const wide = 4 * hidden;
    const block = (k: number): number => {
      const at = k * hidden + j;
      const fromX = inner(m, x + row * inputs, wx, inputs, wide, at) + (bx ? m.f[bx + at]! : 0);
      return fromX + inner(m, h + before * hidden, wh, hidden, wide, at) + (bh ? m.f[bh + at]! : 0);
    };
    const [i, f, g, o] = [sigmoid(block(0)), sigmoid(block(1)), Math.tanh(block(2)), sigmoid(block(3))];
    const next = f * m.f[c + before * hidden + j]! + i * g;
    [i, f, g, o].forEach((v, k) => {
      m.f[gates + row * wide + k * hidden + j] = v;
    });
    m.f[c + after * hidden + j] = next;
    m.f[h + after * hidden + j] = o * Math.tanh(next);
  }),
  /**
   * Its gradients by x Wx and h Wh, in `gx`, from those by the outputs, `gy`. `gh` and `gc` are the gradients by the states
   * that the walk ends in, and become those by the state that it starts from; `gh` only if `through`. `c` is as lstm left
   * it, w is Wh transposed, [4 · hidden, hidden]. (gx, gh, gc, gy, gates, c, w, time, batch, hidden, reverse, through)
   */
  lstmGrad: backward('ouuiiiinnnnn', 1, 4, (m, p, hidden, q, { row, before, after }, j) => {
    const [gx, gh, gc, gy, gates, c] = p as [number, number, number, number, number, number];
    const own = q * hidden + j;
    const [i, f, g, o] = [0, 1, 2, 3].map((k) => m.f[gates + (4 * row + k) * hidden + j]!) as [
      number,
      number,
      number,
      number,
    ];
    const outer = m.f[gy + row * hidden + j]! + m.f[gh + own]!;
    const t = Math.tanh(m.f[c + after * hidden + j]!);
    const inward = m.f[gc + own]! + outer * o * (1 - t) * (1 + t);
    const blocks = [
      inward * g * i * (1 - i),
      inward * m.f[c + before * hidden + j]! * f * (1 - f),
      inward * i * (1 - g) * (1 + g),
      outer * t * o * (1 - o),
    ];
    blocks.forEach((v, k) => {
      m.f[gx + (4 * row + k) * hidden + j] = v;
    });
    m.f[gc + own] = inward * f;
  }),
  /**
   * Gated recurrent units. With the blocks r, z, n of x Wx + bx, called a, and of h Wh + bh, called p: r = σ(a_r + p_r),
   * z = σ(a_z + p_z), n = tanh(a_n + r p_n), h' = n + z (h - n). `gates` gets r, z, n and p_n; all else as for lstm, with
   * three blocks in the weights. (h, gates, x, wx, wh, bx, bh, time, batch, inputs, hidden, reverse)
   */
  gru: forward('uoiiiiinnnnn', 1, 3, (m, p, [, , inputs, hidden], { row, before, after }, j) => {
    const [h, gates, x, wx, wh, bx, bh] = p as [number, number, number, number, number, number, number];
    const wide = 3 * hidden;
    const [ar, az, an, pr, pz, pn] = [0, 1, 2, 3, 4, 5].map((k) => {
      const at = (k % 3) * hidden + j;
      return k < 3
        ? inner(m, x + row * inputs, wx, inputs, wide, at) + (bx ? m.f[bx + at]! : 0)
        : inner(m, h + before * hidden, wh, hidden, wide, at) + (bh ? m.f[bh + at]! : 0);
    }) as [number, number, number, number, number, number];
    const [r, z] = [sigmoid(ar + pr), sigmoid(az + pz)];
    const n = Math.tanh(an + r * pn);
    [r, z, n, pn].forEach((v, k) => {
      m.f[gates + (4 * row + k) * hidden + j] = v;
    });
    m.f[h + after * hidden + j] = n + z * (m.f[h + before * hidden + j]! - n);
  }),
  /**
   * Its gradients by x Wx and by h Wh, as lstmGrad; `gd` is the part of the gradient by h that goes past the product.
   * (gx, gp, gh, gd, gy, gates, h, w, time, batch, hidden, reverse, through)
   */
  gruGrad: backward('oouuiiiinnnnn', 2, 3, (m, p, hidden, q, { row, before }, j) => {
    const [gx, gp, gh, gd, gy, gates, h] = p as [number, number, number, number, number, number, number];
    const own = q * hidden + j;
    const [r, z, n, pn] = [0, 1, 2, 3].map((k) => m.f[gates + (4 * row + k) * hidden + j]!) as [
      number,
      number,
      number,
      number,
    ];
    const g = m.f[gy + row * hidden + j]! + m.f[gh + own]! + m.f[gd + own]!;
    const gn = g * (1 - z) * (1 - n) * (1 + n);
    const [gr, gz] = [gn * pn * r * (1 - r), g * (m.f[h + before * hidden + j]! - n) * z * (1 - z)];
    [gr, gz, gn].forEach((v, k) => {
      m.f[gx + (3 * row + k) * hidden + j] = v;
    });
    [gr, gz, gn * r].forEach((v, k) => {
      m.f[gp + (3 * row + k) * hidden + j] = v;
    });
    m.f[gd + own] = g * z;
  }),
} as const satisfies Record<string, KernelRow>;
