// functionalCall: a module as a function of its parameters, which meta-learning and per-sample gradients need.
import { checkTensor } from '../autodiff/backward.js';
import { describe, nearest, shapeError, showShape, typeError } from '../tensor/errors.js';
import { sameShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { Module, tensorSlots } from './module.js';

/**
 * Returns `module(...inputs)` computed with the given tensors in place of the parameters and buffers of these names;
 * the others keep their own. Gradients flow to the given tensors. A shared parameter is replaced wherever it stands.
 * @throws TypeError for a name that the module lacks; ShapeError if a shape differs.
 * @example
 * const params = Object.fromEntries(model.namedParameters());
 * const gradients = grad((p: typeof params) => nn.functionalCall(model, p, x).sub(y).square().mean())(params);
 */
export function functionalCall<Inputs extends unknown[], Output>(
  module: Module<Inputs, Output>,
  params: Readonly<Record<string, Tensor>>,
  ...inputs: Inputs
): Output {
  const where = 'functionalCall';
  if (!(module instanceof Module)) throw typeError(where, `expected a Module, got ${describe(module)}`);
  const slots = [...tensorSlots(module)];
  const byName = new Map(slots.map((slot) => [slot.path, slot.value]));
  const substitutes = new Map<Tensor, Tensor>();
  for (const [name, value] of Object.entries(params)) {
    const own = byName.get(name);
    if (!own) {
      const close = nearest(name, [...byName.keys()]);
      throw typeError(where, `unknown parameter "${name}"`, close ? `did you mean "${close}"?` : undefined);
    }
    const given = checkTensor(where, value);
    if (!sameShape(given.shape, own.shape))
      throw shapeError(
        where,
        `"${name}" has shape ${showShape(own.shape)} in the module and ${showShape(given.shape)} here`,
      );
    substitutes.set(own, given);
  }
  const changed = slots.filter((slot) => substitutes.has(slot.value));
  try {
    for (const { holder, key, value } of changed) holder[key] = substitutes.get(value);
    return module(...inputs);
  } finally {
    for (const { holder, key, value } of changed) holder[key] = value;
  }
}
