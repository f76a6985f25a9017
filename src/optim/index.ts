// The namespace `optim`.
export { Optimizer, type Facts, type Update } from './optimizer.js';
export type { OptimizerState, ParameterState } from './state.js';
export type { BaseOptions, Betas, Group, GroupSpec, Params, ParamsOrGroups } from './options.js';
export { AdaBound, AMSBound, type AdaBoundOptions } from './adabound.js';
export { Adagrad, type AdagradOptions } from './adagrad.js';
export { Adam, AdamW, AMSGrad, type AdamOptions, type AMSGradOptions } from './adam.js';
export { Lion, type LionOptions } from './lion.js';
export { RMSProp, type RMSPropOptions } from './rmsprop.js';
export { SGD, type SGDOptions } from './sgd.js';
export { SWATS, type SWATSOptions } from './swats.js';
export { clipGradNorm, type ClipOptions } from './clip.js';
export { paramGroups, type HasParameters, type ParamGroup, type ParamGroupsOptions } from './params.js';
