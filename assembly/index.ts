// The module's exports: the kernels, under the names and in the argument order of the kernel table. Pointers are byte
// offsets into the shared memory, 0 where an operand is absent. No kernel touches memory outside its operands, but for
// the module's own constants and packing buffers below the heap.
export * from './pointwise';
export * from './slopes';
export * from './pairwise';
export { affine, axpy, blend, fill, where } from './inplace';
export * from './reduce';
export * from './softmax';
export { crossEntropy, crossEntropyGrad } from './crossEntropy';
export * from './move';
export { matmul, sgemm } from './matmul';
export * from './conv';
export { batchNorm, batchNormGrad } from './norm';
export * from './layerNorm';
export { groupNorm, groupNormGrad } from './groupNorm';
export { attention } from './attention';
export { attentionGrad } from './attentionGrad';
export { gru, gruGrad, lstm, lstmGrad } from './recurrent';
export { dropout, normal, uniform } from './random';
export { adaboundStep, adamStep, rmspropStep, swatsStep } from './moments';
export { adagradStep, lionStep, momentumStep, sgdStep } from './update';
export { usePart } from './part';
export { useScratch } from './scratch';
