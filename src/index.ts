// thalweg: tensors, gradients and optimizers. The public face; everything else is reached through here.
import './ops/methods.js';
import './autodiff/backward.js';

export * from './ops/index.js';
export { Tensor, type TensorLike, type TensorOptions, type BackwardOptions } from './tensor/tensor.js';
export { grad, valueAndGrad, hvp, jacobian, hessian, type GradOptions } from './autodiff/grad.js';
export { gradcheck, type GradcheckOptions } from './autodiff/gradcheck.js';
export { noGrad, scope } from './autodiff/scope.js';
export { compile, type Compiled } from './replay/compile.js';
export { backend, type BackendInfo, type BackendName } from './kernels/launch.js';
export { NonFiniteError, OutOfMemoryError, ScopeError, ShapeError } from './tensor/errors.js';
export * as schedule from './schedule/index.js';
export * as nn from './nn/index.js';
export * as optim from './optim/index.js';
export * as data from './data/index.js';
export { trainStep, type StepOptions, type TrainStep } from './train/step.js';
export type { Profile, ProfileOptions, ProfileRow } from './replay/profile.js';
export * as train from './train/index.js';
