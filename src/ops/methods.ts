// Every op that takes a tensor first is also a method. The list below is the only place that says so.
import { Tensor } from '../tensor/tensor.js';
import * as ops from './index.js';

// prettier-ignore
const names = [
  'neg', 'abs', 'sign', 'square', 'reciprocal', 'sqrt', 'rsqrt', 'exp', 'exp2', 'expm1', 'log', 'log1p', 'log2', 'log10',
  'sin', 'cos', 'tan', 'tanh', 'sigmoid', 'logSigmoid', 'relu', 'relu6', 'leakyRelu', 'elu', 'gelu', 'silu', 'mish',
  'softplus', 'softsign', 'hardsigmoid', 'hardswish', 'erf', 'clamp', 'floor', 'ceil', 'round', 'trunc',
  'add', 'sub', 'mul', 'div', 'pow', 'maximum', 'minimum', 'eq', 'ne', 'lt', 'le', 'gt', 'ge',
  'sum', 'mean', 'max', 'min', 'prod', 'variance', 'std', 'norm', 'logsumexp', 'argmax', 'argmin', 'cumsum',
  'softmax', 'logSoftmax', 'matmul', 'dot', 'outer', 'linear',
  'reshape', 'flatten', 'transpose', 'permute', 'squeeze', 'unsqueeze', 'expand', 'broadcastTo', 'slice', 'narrow',
  'pad', 'split', 'chunk', 'gather', 'indexSelect', 'scatterAdd', 'flip', 'tril', 'triu', 'repeat',
  'conv1d', 'conv2d', 'convTranspose1d', 'convTranspose2d', 'maxPool2d', 'avgPool2d', 'adaptiveAvgPool2d',
  'batchNorm', 'layerNorm', 'rmsNorm', 'groupNorm', 'instanceNorm', 'dropout', 'embedding',
  'crossEntropy', 'nllLoss', 'mseLoss', 'l1Loss', 'smoothL1Loss', 'huberLoss', 'bceLoss', 'bceWithLogits', 'klDiv',
] as const satisfies readonly (keyof typeof ops)[];

type Tail<F> = F extends (first: infer _First, ...rest: infer R) => infer T ? (...rest: R) => T : never;

/** The ops as methods: the same arguments after the first. */
export type Methods = {
  [K in (typeof names)[number]]: Tail<(typeof ops)[K]>;
} & {
  /** A copy of the values; gradients flow through it. */
  clone(): Tensor;
};

type AnyOp = (...args: unknown[]) => unknown;

for (const name of names) {
  const op = ops[name] as AnyOp;
  Object.defineProperty(Tensor.prototype, name, {
    value(this: Tensor, ...args: unknown[]) {
      return op(this, ...args);
    },
    writable: true,
    configurable: true,
  });
}

Object.defineProperty(Tensor.prototype, 'clone', {
  value(this: Tensor) {
    return ops.mul(this, 1);
  },
  writable: true,
  configurable: true,
});
