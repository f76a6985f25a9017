// The op table: the exports of these files that carry facts are the ops.
export * from './pointwise.js';
export * from './reduce.js';
export {
  reshape,
  flatten,
  squeeze,
  unsqueeze,
  permute,
  transpose,
  broadcastTo,
  expand,
  slice,
  narrow,
  pad,
  type Padding,
} from './move.js';
export * from './join.js';
export { indexSelect, embedding, gather, scatterAdd, flip, type IndexLike } from './gather.js';
export { matmul, linear, dot, outer } from './matmul.js';
export {
  conv1d,
  conv2d,
  convTranspose1d,
  convTranspose2d,
  type ConvOptions,
  type ConvTransposeOptions,
  type Pair,
} from './conv.js';
export * from './pool.js';
export * from './norm.js';
export * from './layernorm.js';
export * from './groupnorm.js';
export * from './attention.js';
export { lstm, gru, type RecurrenceOptions } from './recurrent.js';
export {
  mseLoss,
  l1Loss,
  smoothL1Loss,
  huberLoss,
  bceLoss,
  bceWithLogits,
  klDiv,
  type LossOptions,
  type KlDivOptions,
} from './pairloss.js';
export { nllLoss, crossEntropy, type ClassOptions, type CrossEntropyOptions } from './loss.js';
export { rand, randn, randint, randperm, manualSeed, dropout, type DropoutOptions } from './random.js';
export * from './create.js';
