// An op forward and backward, through the public functions and the graph, as a layer of a model is: the output, and the
// gradients of everything that it is made of, given the output's.
import {
  batchNorm,
  conv2d,
  crossEntropy,
  embedding,
  grad,
  layerNorm,
  manualSeed,
  nn,
  randint,
  randn,
  scaledDotProductAttention,
  scope,
  type Tensor,
} from 'thalweg';
import type { Prepared, Rate, Work } from './runner.js';

interface Op {
  title: string;
  kind: string;
  args: number[];
  rate?: Rate;
  /** Makes the inputs and the op over them. */
  make: () => [Tensor[], () => Tensor];
}

const parameters = (...shapes: number[][]): Tensor[] => shapes.map((shape) => nn.parameter(randn(shape)));
const indices = (count: number, below: number): Int32Array =>
  Int32Array.from(randint(0, below, [count]).toFloat32Array());

/** Bytes of one array, and how many arrays of that length are read or written, and exist. */
const moved = (elements: number, arrays: number, existing: number): Rate => ({
  unit: 'GB/s',
  amount: (4 * elements * arrays) / 1e9,
  set: 4 * elements * existing,
  pattern: 'write',
});

/** [n, c, side, k]: a convolution of 3 × 3 with padding 1. */
const convolution = (n: number, c: number, side: number, k: number): Op => ({
  title: `conv2d ${n}×${c}×${side}×${side} to ${k}, 3×3`,
  kind: 'convolutionPass',
  args: [n, c, side, k],
  // The output, the input's gradient and the weight's cost the same.
  rate: { unit: 'GFLOP/s', amount: (3 * 2 * n * side * side * k * 9 * c) / 1e9 },
  make: () => {
    const [x, w] = parameters([n, c, side, side], [k, c, 3, 3]) as [Tensor, Tensor];
    return [[x, w], () => conv2d(x, w, null, { padding: 1 })];
  },
});

const layer = (rows: number, cols: number): Op => ({
  title: `layerNorm ${rows}×${cols}`,
  kind: 'layerNormPass',
  args: [rows, cols],
  rate: moved(rows * cols, 5, 4),
  make: () => {
    const [x, weight, bias] = parameters([rows, cols], [cols], [cols]) as [Tensor, Tensor, Tensor];
    return [[x, weight, bias], () => layerNorm(x, [cols], { weight, bias })];
  },
});

const batch = (n: number, c: number, side: number): Op => ({
  title: `batchNorm ${n}×${c}×${side}×${side}`,
  kind: 'batchNormPass',
  args: [n, c, side],
  // Mean and variance first, then the output; two sums over two arrays first, then the gradient.
  rate: moved(n * c * side * side, 8, 4),
  make: () => {
    const [x, weight, bias] = parameters([n, c, side, side], [c], [c]) as [Tensor, Tensor, Tensor];
    return [[x, weight, bias], () => batchNorm(x, { weight, bias, training: true })];
  },
});

const lookup = (ids: number, rows: number, width: number): Op => ({
  title: `embedding ${ids} of ${rows} rows of ${width}`,
  kind: 'embeddingPass',
  args: [ids, rows, width],
  make: () => {
    const table = parameters([rows, width]);
    const index = indices(ids, rows);
    return [table, () => embedding(table[0]!, index)];
  },
});

const attention = (n: number, heads: number, length: number, width: number): Op => ({
  title: `attention ${n}×${heads}×${length}×${width}, causal`,
  kind: 'attentionPass',
  args: [n, heads, length, width],
  make: () => {
    const shape = [n, heads, length, width];
    const [q, k, v] = parameters(shape, shape, shape) as [Tensor, Tensor, Tensor];
    return [[q, k, v], () => scaledDotProductAttention(q, k, v, { isCausal: true })];
  },
});

const loss = (rows: number, classes: number): Op => ({
  title: `crossEntropy ${rows}×${classes}`,
  kind: 'crossEntropyPass',
  args: [rows, classes],
  rate: moved(rows * classes, 3, 2),
  make: () => {
    const x = parameters([rows, classes]);
    const target = indices(rows, classes);
    return [x, () => crossEntropy(x[0]!, target)];
  },
});

const OPS: readonly Op[] = [
  convolution(32, 64, 32, 64),
  convolution(128, 1, 28, 32),
  batch(32, 64, 32),
  layer(1024, 1024),
  attention(16, 4, 64, 32),
  lookup(4096, 1000, 128),
  loss(1024, 1000),
];

function prepare({ make }: Op): Prepared {
  manualSeed(0);
  const [inputs, op] = make();
  const { shape } = op();
  const options = shape.length > 0 ? { gradOutputs: nn.buffer(randn(shape)) } : {};
  return { run: () => scope(() => void grad(op(), inputs, options)) };
}

export const ops: readonly Work[] = OPS.map((op) => ({
  name: `${op.title}, fwd + bwd`,
  kind: op.kind,
  args: op.args,
  ...(op.rate ? { rate: op.rate } : {}),
  prepare: () => prepare(op),
}));
