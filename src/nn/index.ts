// Layers and models. Names, arguments, parameter names and initial values are PyTorch's, in camelCase; options come last.
export { Module, type AnyModule } from './module.js';
export { parameter, buffer } from './parameter.js';
export { functionalCall } from './functional.js';
export type { LoadOptions, LoadReport, StateDict } from './state.js';
export { Sequential, ModuleList } from './sequential.js';
export { Linear, type LinearOptions } from './linear.js';
export {
  Conv1d,
  Conv2d,
  ConvTranspose2d,
  type ConvLayerOptions,
  type ConvTransposeLayerOptions,
} from './conv.js';
export {
  BatchNorm1d,
  BatchNorm2d,
  GroupNorm,
  LayerNorm,
  type BatchNormLayerOptions,
  type GroupNormLayerOptions,
  type LayerNormLayerOptions,
} from './norm.js';
export { MaxPool2d, AvgPool2d, type AvgPoolLayerOptions, type MaxPoolLayerOptions } from './pool.js';
export { Dropout } from './dropout.js';
export { Flatten } from './flatten.js';
export { ReLU, GELU, SiLU, Tanh, Sigmoid, type GELUOptions } from './activation.js';
export { Embedding, type EmbeddingOptions } from './embedding.js';
export {
  MultiheadAttention,
  type AttentionLayerOptions,
  type AttentionOptions,
  type Mask,
} from './attention.js';
export {
  TransformerEncoderLayer,
  TransformerDecoderLayer,
  type DecoderOptions,
  type EncoderOptions,
  type TransformerLayerOptions,
} from './transformer.js';
export { LSTM, GRU, type RecurrentOptions } from './recurrent.js';
export * as init from './init.js';
