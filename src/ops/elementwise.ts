// What elementwise ops are made by: from a kernel and a gradient rule, or as a composition of others.
import { launch } from '../kernels/launch.js';
import type { KernelName } from '../kernels/table.js';
import {
  apply,
  define,
  type InputGrad,
  type Op,
  type OpFacts,
  type OpRow,
  type Sample,
} from '../tensor/op.js';
import { broadcastShapes, broadcastStrides, collapse } from '../tensor/shape.js';
import { asTensor, type Tensor, type TensorLike } from '../tensor/tensor.js';

export type Unary = Op<(x: TensorLike) => Tensor>;
export type Binary = Op<(a: TensorLike, b: TensorLike) => Tensor>;
export type Interval = readonly [number, number];
type UnaryRule = (g: Tensor, y: Tensor, x: Tensor) => Tensor;

interface UnaryFacts {
  /** dL/dx from dL/dy; null for functions that are flat where they have a derivative. */
  vjp: UnaryRule | null;
  /** Kernel (out, g, y, n) of the first-order rule. */
  fused?: KernelName;
  /** Kernel (out, g, x, n) of the first-order rule. */
  fusedInput?: KernelName;
  domain?: Interval;
  kernel?: KernelName;
  order?: OpFacts['order'];
}

export const FLAT: OpFacts['order'] = [0, 'piecewise constant: its derivative is 0'];
export const KINK: OpFacts['order'] = [1, 'piecewise linear: its second derivative is 0'];

const unarySamples = (domain: Interval) => (): Sample[] => [
  { shapes: [[2, 3]], domain },
  { shapes: [[]], domain },
  { shapes: [[0]], domain },
];

export function unary(
  name: KernelName,
  { vjp, fused, fusedInput, domain = [-2, 2], order = vjp ? undefined : FLAT }: UnaryFacts,
): Unary {
  const kernel = fused ?? fusedInput;
  const slope = kernel && fusedRow(kernel);
  const row: OpRow<null> = {
    name,
    shape: (xs) => xs[0]!,
    forward: (y, xs) => launch(name, y.storage.address(), xs[0]!.storage.address(), y.size),
    vjp: (g, y, xs) => [vjp ? vjp(g, y, xs[0]!) : null],
    ...(fused ? { reads: 'output' } : {}),
    ...(slope
      ? { vjpFused: (g, y, xs) => [apply(slope, [g, fused ? y : xs[0]!], null)], inPlace: true }
      : {}),
  };
  const facts: OpFacts = { samples: unarySamples(domain), ...(order ? { order } : {}) };
  return define((x: TensorLike) => apply(row, [asTensor(name, x)], null), facts, row);
}

/** A kernel (out, g, y, n) as a row; used in first-order rules only, so it needs no rule of its own. */
const fusedRow = (kernel: KernelName): OpRow<null> => ({
  name: kernel,
  shape: (xs) => xs[0]!,
  forward: (o, xs) =>
    launch(kernel, o.storage.address(), xs[0]!.storage.address(), xs[1]!.storage.address(), o.size),
  vjp: () => [null, null],
});

type BinaryRule = (g: Tensor, y: Tensor, a: Tensor, b: Tensor) => [InputGrad, InputGrad];

interface BinaryFacts {
  vjp: BinaryRule | null;
  reads?: 'inputs' | 'none';
  domain?: Interval;
}

/** Launches a broadcasting kernel: three dimensions in the kernel, any further ones in a loop here. */
function launchBinary(kernel: KernelName, y: Tensor, a: Tensor, b: Tensor): void {
  const strides = [broadcastStrides(a.shape, y.shape), broadcastStrides(b.shape, y.shape)];
  const { sizes, strides: steps } = collapse(y.shape, strides, 3);
  const [as, bs] = steps as [number[], number[]];
  const outer = sizes.length - 3;
  const [n, p, q] = [sizes.slice(outer), as.slice(outer), bs.slice(outer)];
  const block = n[0]! * n[1]! * n[2]!;
  const width = y.storage.width;
  const [yo, ao, bo] = [y.storage.address(), a.storage.address(), b.storage.address()];
  for (let at = 0, k = 0; at < y.size; at += block, k++) {
    let [rest, pa, pb] = [k, 0, 0];
    for (let d = outer - 1; d >= 0; d--) {
      const i = rest % sizes[d]!;
      rest = (rest - i) / sizes[d]!;
      pa += i * as[d]!;
      pb += i * bs[d]!;
    }
    launch(
      kernel,
      yo + at * width,
      ao + pa * width,
      bo + pb * width,
      n[0]!,
      n[1]!,
      n[2]!,
      p[0]!,
      p[1]!,
      p[2]!,
      q[0]!,
      q[1]!,
      q[2]!,
    );
  }
}

export function binary(name: KernelName, { vjp, reads, domain = [0.5, 2] }: BinaryFacts): Binary {
  const row: OpRow<null> = {
    name,
    cheap: true,
    ...(reads ? { reads } : {}),
    shape: ([a, b]) => broadcastShapes(name, a!, b!),
    forward: (y, [a, b]) => launchBinary(name, y, a!, b!),
    vjp: (g, y, [a, b]) => (vjp ? vjp(g, y, a!, b!) : [null, null]),
  };
  const shapes = [
    [
      [2, 3],
      [2, 3],
    ],
    [[2, 3], [3]],
    [
      [2, 1],
      [1, 3],
    ],
    [[], [2, 2]],
    [
      [2, 2, 1, 2, 1],
      [2, 1, 3, 1, 2],
    ],
    [[0, 3], [3]],
  ];
  const fn = (a: TensorLike, b: TensorLike): Tensor =>
    apply(row, [asTensor(name, a), asTensor(name, b)], null);
  return define(
    fn,
    {
      samples: () => shapes.map((s) => ({ shapes: s, domain })),
      errors: () => [
        [
          () => fn([1, 2], [1, 2, 3]),
          new RegExp(`${name}: shapes do not broadcast, lhs \\[2\\], rhs \\[3\\]`),
        ],
        [() => fn('x' as never, 1), new RegExp(`${name}: expected a Tensor.*got "x"`)],
      ],
      ...(vjp ? {} : { order: FLAT }),
    },
    row,
  );
}

/** Where a function's logarithm or root is far from its singularity. */
export const POSITIVE: Interval = [0.3, 3];

/** An op made of others. */
export function composed(
  name: string,
  fn: (x: Tensor) => Tensor,
  domain: Interval = [-2, 2],
  order?: OpFacts['order'],
): Unary {
  const op = (x: TensorLike): Tensor => fn(asTensor(name, x));
  return define(op, { samples: unarySamples(domain), ...(order ? { order } : {}) });
}
