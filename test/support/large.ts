// Calls of every kernel row that are worth at least three threads, beside the rows' own small cases: they cross the
// kernels' blocks, and each way that a kernel has is taken by one.
import type { KernelCase } from '../../src/kernels/row.js';
import { table, type KernelName } from '../../src/kernels/table.js';

/** Elements of a run: four shares of the native engine's work, 17 leaves, and a remainder. */
const LENGTH = 70_001;
/** An update is shared when two arrays of it do not fit into a second cache, here of 4 MiB. */
const PARAMETERS = 530_001;

/** Makes the last number of a row's last case, its length, a large one. */
const longer = (name: KernelName): KernelCase[] => {
  const test = table[name].cases.at(-1)!;
  return [{ ...test, args: [...test.args.slice(0, -1), name.endsWith('Step') ? PARAMETERS : LENGTH] }];
};
const calls = (...args: number[][]): KernelCase[] => args.map((numbers) => ({ args: numbers }));
const picks = (...args: [number, number, number, number][]): KernelCase[] =>
  args.map((numbers) => ({ args: numbers, index: numbers[1] }));

/** [batch, m, n, k, ta, tb, lda, ldb, ldc, sa, sb, sc, act] of products whose operands lie dense. */
const product = (m: number, n: number, k: number, ta = 0, tb = 0, act = 0, batch = 1): number[] => [
  ...[batch, m, n, k, ta, tb, ta ? m : k, tb ? k : n, n],
  ...[m * k, k * n, m * n, act],
];
const PRODUCTS = [
  product(70, 600, 300, 0, 0, 2),
  product(300, 40, 270, 1, 1),
  product(5, 900, 400),
  product(900, 7, 400, 0, 1),
  product(33, 300, 200, 1),
  // Vectors, on either side, and batches of products.
  product(1, 2000, 400, 0, 1, 1),
  product(1, 2000, 400),
  product(2000, 1, 400),
  product(2000, 1, 400, 1),
  product(40, 30, 60, 0, 0, 0, 9),
  [2, 300, 50, 60, 0, 0, 60, 50, 50, 300 * 60, 0, 300 * 50, 0],
];

/** [n, c, h, w, k, r, s, sh, sw, ph, pw, dh, dw, groups] */
const CONVOLUTIONS = [
  // Winograd: many images, a single one, groups, tiles that end in rows.
  [5, 40, 16, 16, 33, 3, 3, 1, 1, 1, 1, 1, 1, 1],
  [1, 33, 31, 29, 50, 3, 3, 1, 1, 1, 1, 1, 1, 1],
  [3, 64, 9, 9, 66, 3, 3, 1, 1, 0, 1, 1, 1, 2],
  [29, 64, 7, 7, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1],
  // Few channels, few outputs, many of both by steps, by one tap, with large windows, dilated.
  [9, 3, 40, 40, 20, 3, 3, 1, 1, 1, 1, 1, 1, 1],
  [9, 1, 30, 30, 40, 3, 3, 1, 1, 1, 1, 1, 1, 1],
  [9, 8, 50, 50, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1],
  [4, 30, 21, 20, 41, 3, 3, 2, 2, 1, 1, 1, 1, 1],
  [3, 70, 14, 14, 65, 1, 1, 1, 1, 0, 0, 1, 1, 1],
  [3, 70, 14, 14, 65, 1, 1, 2, 2, 0, 0, 1, 1, 1],
  [2, 6, 40, 40, 16, 5, 5, 1, 1, 2, 2, 1, 1, 1],
  [2, 16, 30, 30, 24, 3, 3, 1, 1, 2, 2, 2, 2, 1],
  // Groups, and filters of one channel.
  [3, 24, 20, 20, 48, 3, 3, 2, 2, 1, 1, 1, 1, 3],
  [3, 40, 31, 37, 40, 3, 3, 1, 1, 1, 1, 1, 1, 40],
  [3, 40, 32, 32, 40, 5, 5, 2, 2, 2, 2, 1, 1, 40],
  [3, 40, 32, 38, 40, 3, 3, 2, 2, 1, 1, 1, 1, 40],
  [1, 90, 31, 37, 90, 3, 3, 1, 1, 1, 1, 1, 1, 90],
  [1, 90, 31, 37, 90, 3, 3, 2, 2, 1, 1, 1, 1, 90],
  [3, 40, 28, 28, 40, 5, 5, 1, 1, 2, 2, 1, 1, 40],
  [1, 90, 31, 37, 90, 5, 5, 1, 1, 2, 2, 1, 1, 90],
  [1, 90, 31, 37, 180, 5, 5, 2, 2, 2, 2, 1, 1, 90],
  // A single image by groups in every other way: packed, by Winograd, steps whose taps are added, many taps.
  [1, 60, 20, 20, 60, 5, 5, 1, 1, 2, 2, 1, 1, 2],
  [1, 96, 16, 16, 96, 3, 3, 1, 1, 1, 1, 1, 1, 3],
  [1, 60, 21, 21, 90, 3, 3, 2, 2, 1, 1, 1, 1, 3],
  [1, 4, 40, 40, 4, 34, 33, 1, 1, 16, 16, 1, 1, 4],
];

const POOLS = [
  [60, 40, 40, 2, 2, 2, 2, 0, 0],
  [40, 31, 37, 3, 3, 2, 2, 1, 1],
  [40, 30, 40, 3, 3, 1, 1, 1, 1],
];
const ATTENTIONS = [
  [3, 300, 70, 16, 20, 0.25, 1, 0],
  [1, 130, 260, 16, 16, 0.25, 0, 0],
];
const SOFTMAXES = calls([700, 90], [33, 5000]);

/** Broadcast, and in one run: sizes, strides of a, strides of b. */
const BINARY = calls([30, 40, 84, 3360, 84, 1, 84, 0, 1], [1, 1, LENGTH, 0, 0, 1, 0, 0, 1]);
const REDUCTIONS = calls([3, 300, 170], [1, 700, 1100], [1, LENGTH, 1], [900, 130, 1]);

/** By name, or by signature where rows that share it take the same sizes. */
const LARGE: Readonly<Record<string, KernelCase[]>> = {
  oiinnnnnnnnn: BINARY,
  oinnn: REDUCTIONS,
  cumsum: calls([40, 300, 7, 0], [40, 300, 7, 1], [90, 500, 1, 0]),
  oinn: SOFTMAXES,
  oiinn: SOFTMAXES,
  copy: calls(
    [1, 1, 300, 301, 0, 0, 301, 1, 0, 0, 1, 300],
    [20, 30, 17, 9, 4590, 153, 9, 1, 1, 20, 600, 10_200],
    [1, 1, 1, LENGTH, 0, 0, 0, 1, 0, 0, 0, 1],
  ),
  oijnnnn: picks([1, 300, 70, 1000], [30, 9, 40, 70]),
  // With one row for all, drops are shared by the rows that they fall into.
  takeGrad: picks([1, 300, 70, 1000], [30, 9, 40, 70]),
  scatterAdd: picks([30, 9, 40, 70], [700, 20, 1, 90]),
  matmul: [...calls(...PRODUCTS), ...PRODUCTS.slice(0, 4).map((args) => ({ args, absent: [3] }))],
  sgemm: calls([300, 40, 270, 1, 0, 300, 40, 40, 1, 1], [70, 600, 300, 0, 0, 300, 600, 600, 0.5, 0]),
  conv2d: CONVOLUTIONS.map((sizes, k) => ({ args: [...sizes, k % 5], absent: k % 3 ? [4] : [] })),
  oiinnnnnnnnnnnnnn: calls(...CONVOLUTIONS),
  maxPool2d: calls(...POOLS),
  maxPool2dGrad: POOLS.map((args) => ({ args, index: args[1]! * args[2]! })),
  oinnnnnnnnnn: calls(...POOLS.map((sizes, k) => [...sizes, k % 2])),
  oooiiinnns: calls([8, 20, 300, 1e-5], [8, 40, 49, 1e-5], [300, 70, 1, 1e-5]),
  oooiiiiinnns: calls([8, 20, 300, 1e-5], [8, 40, 49, 1e-5], [300, 70, 1, 1e-5]),
  layerNorm: calls([300, 130, 1e-5]),
  layerNormGrad: calls([300, 130], [50, 1300]),
  groupNorm: calls([8, 24, 170, 4, 1e-5], [8, 24, 170, 24, 1e-5]),
  groupNormGrad: calls([8, 24, 170, 4], [8, 24, 170, 24]),
  crossEntropy: [{ args: [700, 90], index: 90 }],
  crossEntropyGrad: [{ args: [700, 90], index: 90 }],
  attention: ATTENTIONS.map((args) => ({ args, absent: [5] })),
  attentionGrad: ATTENTIONS.map((args) => ({ args, absent: [9] })),
  lstm: calls([3, 32, 40, 50, 0], [3, 5, 40, 150, 1]),
  lstmGrad: calls([3, 32, 60, 0, 1], [3, 5, 150, 1, 0]),
  gru: calls([3, 32, 40, 50, 0], [3, 5, 40, 200, 1]),
  gruGrad: calls([3, 32, 60, 0, 1], [3, 5, 150, 1, 0]),
  uniform: longer('uniform'),
  normal: longer('normal'),
  dropout: longer('dropout'),
};

/** The large calls of a row; one with a single size has a long run. None: the table above has nothing for its signature. */
export const largeCases = (name: KernelName): KernelCase[] => {
  const { sig } = table[name];
  const single = sig.endsWith('n') && sig.split('n').length === 2;
  return LARGE[name] ?? LARGE[sig] ?? (single ? longer(name) : []);
};
