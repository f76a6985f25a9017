// The op table: the exports of these files that carry facts are the ops.
export * from './pointwise.js';
export * from './reduce.js';
export * from './move.js';
export { indexSelect, embedding, gather, scatterAdd, flip, type IndexLike } from './gather.js';
export { matmul, linear, dot, outer } from './matmul.js';
export * from './conv.js';
export * from './norm.js';
export * from './loss.js';
export { rand, randn, randint, randperm, manualSeed, dropout, type DropoutOptions } from './random.js';
export * from './create.js';
