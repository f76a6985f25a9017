// Every row of the kernel table, through the door that the library uses, at sizes from the first cache to main memory.
import { launch } from '#thalweg/kernels/launch';
import {
  isPointer,
  POINTER_LETTERS,
  type KernelCase,
  type KernelRow,
  type Range,
} from '#thalweg/kernels/row';
import { kernelNames, table, type KernelName } from '#thalweg/kernels/table';
import { heap } from '#thalweg/memory/heap';
import type { Prepared, Rate, Work } from './runner.js';

interface Size {
  label: string;
  args: number[];
}

const LENGTHS = [1e3, 1e5, 1e6];
const power = (n: number): string => n.toExponential().replace('+', '').replace(/^1e/, '1e');

type Triple = readonly [number, number, number];
/** [m, n, k] of the products that a dense layer and an attention head need. */
const LAYERS: readonly Triple[] = [
  [128, 512, 784],
  [2048, 64, 64],
];
const PRODUCTS: readonly Triple[] = [
  ...[16, 32, 64, 128, 256, 512, 1024].map((n): Triple => [n, n, n]),
  ...LAYERS,
];
const LAYOUTS = [
  ['NN', 0, 0],
  ['NT', 0, 1],
  ['TN', 1, 0],
] as const;

/** [n, c, side, k] of 3 × 3 convolutions with padding 1. */
const IMAGES = [
  [32, 64, 32, 64],
  [128, 1, 28, 32],
] as const;

const squares = (sizes: readonly (readonly number[])[], extra: readonly number[] = []): Size[] =>
  sizes.map((args) => ({ label: args.join('×'), args: [...args, ...extra] }));
const reductions = squares([
  [1, 1e6, 1],
  [1024, 1024, 1],
  [1, 1024, 1024],
]);
const rows = squares([
  [128, 10],
  [1024, 1024],
]);
const picks: Size[] = [{ label: '4096 of 1000 rows of 128', args: [1, 1000, 128, 4096] }];
const pools = (extra: readonly number[]): Size[] => [
  { label: '64×32×28×28, 2×2', args: [2048, 28, 28, 2, 2, 2, 2, 0, 0, ...extra] },
];
const layouts = (
  products: readonly Triple[],
  args: (m: number, n: number, k: number, ta: number, tb: number) => number[],
): Size[] =>
  products.flatMap(([m, n, k]) =>
    LAYOUTS.filter(([name]) => name === 'NN' || m * n * k >= 512 ** 3 / 4).map(([name, ta, tb]) => ({
      label: `${m}×${n}×${k} ${name}`,
      args: args(m, n, k, ta, tb),
    })),
  );
/** 64 causal heads with 64 positions of 32 numbers. */
const heads: Size[] = [{ label: '64×64×32, causal', args: [64, 64, 64, 32, 32, 1 / Math.sqrt(32), 1, 0] }];
const convolutions = (...last: number[]): Size[] =>
  IMAGES.map(([n, c, side, k]) => ({
    label: `${n}×${c}×${side}×${side} to ${k}, 3×3`,
    args: [n, c, side, side, k, 3, 3, 1, 1, 1, 1, 1, 1, 1, ...last],
  }));

/** Steps, rows, inputs and hidden numbers of a layer; its way back goes in spans. */
const layers = squares([[32, 32, 128, 128]], [0]);
const spans = squares([[8, 32, 128]], [0, 1]);

/** Sizes by signature, or by name where rows that share a signature differ. */
const SIZES: Readonly<Record<string, Size[]>> = {
  oiinnnnnnnnn: LENGTHS.map((n) => ({ label: power(n), args: [1, 1, n, 0, 0, 1, 0, 0, 1] })),
  oinnn: reductions,
  oinnnn: squares([[1024, 1024, 1]], [0]),
  oinn: rows,
  oiinn: rows,
  oijnnnn: picks,
  uijnnnn: picks,
  copy: [{ label: 'transpose 1024×1024', args: [1, 1, 1024, 1024, 0, 0, 1024, 1, 0, 0, 1, 1024] }],
  matmul: layouts(LAYERS, (m, n, k, ta, tb) => [1, m, n, k, ta, tb, ta ? m : k, tb ? k : n, n, 0, 0, 0, 0]),
  sgemm: layouts(PRODUCTS, (m, n, k, ta, tb) => [m, n, k, ta, tb, ta ? m : k, tb ? k : n, n, 1, 0]),
  conv2d: convolutions(0),
  oiinnnnnnnnnnnnnn: convolutions(),
  maxPool2d: pools([]),
  maxPool2dGrad: pools([]),
  avgPool2d: pools([1]),
  avgPool2dGrad: pools([1]),
  layerNorm: squares([[1024, 1024]], [1e-5]),
  layerNormGrad: squares([[1024, 1024]]),
  groupNorm: squares([[32, 64, 1024, 8]], [1e-5]),
  groupNormGrad: squares([[32, 64, 1024, 8]]),
  crossEntropy: rows,
  crossEntropyGrad: rows,
  attention: heads,
  attentionGrad: heads,
  lstm: layers,
  lstmGrad: spans,
  gru: layers,
  gruGrad: spans,
  oooiiinnns: squares([[32, 64, 1024]], [1e-5]),
  oooiiiiinnns: squares([[32, 64, 1024]], [1e-5]),
};

/** A row that ends in its one length takes the usual lengths; one that nothing is known of, its largest test. */
function sizesOf(name: KernelName, row: KernelRow): Size[] {
  const known = SIZES[name] ?? SIZES[row.sig];
  if (known) return known;
  const last = row.cases.at(-1)!.args;
  const lengths =
    row.sig.endsWith('n') && (row.sig.indexOf('n') === row.sig.length - 1 || row.sig.includes('r'));
  if (!lengths) return [{ label: last.join('×'), args: last }];
  return LENGTHS.map((n) => ({ label: power(n), args: [...last.slice(0, -1), n] }));
}

/** Bytes that must move: an updated array is read and written. */
function traffic(row: KernelRow, args: number[], absent: readonly number[]): Rate {
  const extents = row.extents(...args);
  const bytes = (letters: string): number =>
    [...row.sig]
      .filter(isPointer)
      .map((letter, k) => (letters.includes(letter) && !absent.includes(k) ? 4 * extents[k]! : 0))
      .reduce((a, b) => a + b, 0);
  const set = bytes(POINTER_LETTERS);
  const [made, updated] = [bytes('op'), bytes('u')];
  const pattern = made + updated < set / 20 ? 'read' : updated > made ? 'update' : 'write';
  return { unit: 'GB/s', amount: (set + updated) / 1e9, set, pattern };
}

/** A call of `name` on fresh arrays with values from the row's domain. */
export function prepareRow(name: KernelName, test: KernelCase): Prepared {
  const row: KernelRow = table[name];
  const extents = row.extents(...test.args);
  const ranges = row.domain ?? [-1, 1];
  const blocks: number[] = [];
  let [pointer, input, number] = [0, 0, 0];
  const call = [...row.sig].map((letter) => {
    if (!isPointer(letter)) return test.args[number++]!;
    const length = extents[pointer++]!;
    const range = typeof ranges[0] === 'number' ? ranges : (ranges[input] ?? [-1, 1]);
    if (letter === 'i' || letter === 'u') input++;
    if (test.absent?.includes(pointer - 1)) return 0;
    const block = heap.allocate(4 * length);
    blocks.push(block);
    fill(letter, block, length, range as Range, test);
    return block;
  });
  return { run: () => launch(name, ...call), end: () => blocks.forEach((block) => heap.release(block)) };
}

function fill(letter: string, block: number, length: number, [low, high]: Range, test: KernelCase): void {
  const at = block / 4;
  for (let k = 0; k < length; k++) {
    // The golden ratio's multiples: spread evenly, the same in every run.
    const u = (k * 0.6180339887498949) % 1;
    if (letter === 'r') heap.u32[at + k] = test.cells![k]!;
    else if (letter === 'f') heap.f32[at + k] = test.cells![k]!;
    else if (letter === 'j') heap.i32[at + k] = Math.floor(u * test.index!);
    else heap.f32[at + k] = low + (high - low) * u;
  }
}

function works(name: KernelName): Work[] {
  const row: KernelRow = table[name];
  // With as little as a caller may pass: no bias, no maximum of second moments.
  const usual = row.cases.find(({ absent }) => absent?.length) ?? row.cases[0]!;
  return sizesOf(name, row).map(({ label, args }) => {
    const test: KernelCase = { ...usual, args, index: args[1]! };
    const flops = row.flops?.(...args);
    return {
      name: `${name} ${label}`,
      kind: name,
      args,
      rate: flops ? { unit: 'GFLOP/s', amount: flops / 1e9 } : traffic(row, args, test.absent ?? []),
      prepare: () => prepareRow(name, test),
    };
  });
}

export const kernels: readonly Work[] = kernelNames.flatMap(works);
