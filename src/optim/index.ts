// The namespace `optim`.
export { Optimizer } from './optimizer.js';
export type { OptimizerState, ParameterState } from './state.js';
export type { BaseOptions, Betas, Group, GroupSpec, Params, ParamsOrGroups } from './options.js';
export { SGD, type SGDOptions } from './sgd.js';
export { Adam, AdamW, AMSGrad, type AdamOptions, type AMSGradOptions } from './adam.js';
