// Module: a callable object that owns parameters, buffers and other modules. They are found in its fields, under the
// fields' names, so there is nothing to register and the names are those of PyTorch.
import {
  checkOptions,
  describe,
  shapeError,
  showShape,
  typeError,
  type ShapeError,
} from '../tensor/errors.js';
import { watcher } from '../memory/watcher.js';
import { asTensor, Tensor, type TensorLike } from '../tensor/tensor.js';
import { roleOf, type Role } from './parameter.js';
import { copyState, loadState, type LoadOptions, type LoadReport, type StateDict } from './state.js';

/* eslint-disable @typescript-eslint/no-explicit-any -- a module may take and return anything */
export type AnyModule = Module<any[], any>;

export interface Module<Inputs extends any[] = any[], Output = Tensor> {
  (...inputs: Inputs): Output;
}

/** A field, or an element of an array in a field, that holds a tensor or a module. */
interface Slot<T> {
  holder: Record<string, unknown>;
  key: string;
  /** Path from the module, `layers.0`. */
  path: string;
  value: T;
}

/** Gives a module its `training` flag, which a recorder hears of when it is read. */
function defineMode(module: AnyModule): void {
  let training = true;
  Object.defineProperty(module, 'training', {
    enumerable: true,
    get: () => {
      watcher?.mode(module, training);
      return training;
    },
    set: (flag: boolean) => (training = flag),
  });
}

const isPart = (value: unknown): boolean => value instanceof Tensor || value instanceof Module;

/** The module's own tensors and children, in the order of its fields. */
function* parts(holder: object, prefix = ''): Generator<Slot<Tensor | AnyModule>> {
  const fields = holder as Record<string, unknown>;
  for (const key of Object.keys(fields)) {
    const value = fields[key];
    const path = prefix + key;
    if (isPart(value)) yield { holder: fields, key, path, value: value as Tensor | AnyModule };
    else if (Array.isArray(value) && value.length > 0 && value.every(isPart)) yield* parts(value, `${path}.`);
  }
}

const joined = (prefix: string, path: string): string => (prefix ? `${prefix}.${path}` : path);

/** Every place below `module`, depth first, that holds another module; one that is met inside itself is passed over. */
function* tree(
  module: AnyModule,
  prefix = '',
  above: readonly AnyModule[] = [],
): Generator<[string, AnyModule]> {
  if (above.includes(module)) return;
  yield [prefix, module];
  for (const { path, value } of parts(module))
    if (value instanceof Module) yield* tree(value, joined(prefix, path), [...above, module]);
}

/** Every place that holds a tensor with a role, under its full name; a shared tensor has several. */
export function* tensorSlots(module: AnyModule): Generator<Slot<Tensor> & { role: Role }> {
  for (const [prefix, owner] of tree(module)) {
    for (const slot of parts(owner)) {
      if (!(slot.value instanceof Tensor)) continue;
      const role = roleOf(slot.value);
      if (role) yield { ...slot, value: slot.value, path: joined(prefix, slot.path), role };
    }
  }
}

/**
 * Base of all layers and models. Give a subclass its layers as fields and a `forward`; then call it like a function.
 *
 * Found in fields, and in arrays in fields: modules, {@link parameter}s, {@link buffer}s, and leaf tensors that require
 * gradients. `Inputs` and `Output` type the call where `(...any) => Tensor` is too wide.
 * @example
 * class Net extends nn.Module {
 *   hidden = new nn.Linear(784, 128);
 *   out = new nn.Linear(128, 10);
 *   forward(x: Tensor) { return this.out(this.hidden(x).relu()); }
 * }
 * const logits = new Net()(images);
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class Module<Inputs extends any[] = any[], Output = Tensor> {
  /** Whether layers that behave differently in training (dropout, batch norm) do so. See {@link train}. */
  declare training: boolean;

  constructor() {
    // The object is a function, so that it can be called; its class's prototype makes it everything else that it is.
    const self = ((...inputs: Inputs) => self.forward(...inputs)) as unknown as this;
    Object.setPrototypeOf(self, new.target.prototype as object);
    // A function's own name and length are read-only and would stand in the way of fields with these names.
    for (const own of ['name', 'length']) Reflect.deleteProperty(self, own);
    defineMode(self);
    return self;
  }

  /** What a call computes. Subclasses define it. */
  forward(..._inputs: Inputs): Output {
    throw typeError(this.label, 'has no forward method');
  }

  /** Constructor arguments as text, for messages and the summary. */
  protected signature(): string {
    return '';
  }

  /** `Linear(4, 3)`: how messages name this module. */
  protected get label(): string {
    return `${this.constructor.name}(${this.signature()})`;
  }

  /** The input as a tensor. */
  protected tensor(x: TensorLike): Tensor {
    return x instanceof Tensor ? x : asTensor(this.label, x);
  }

  /** The error for an input that this module cannot take. */
  protected misfit(input: Tensor, expected: string): ShapeError {
    return shapeError(this.label, `expected an input ${expected}, got ${showShape(input.shape)}`);
  }

  /** `[path, parameter]`, own ones before those of children. A shared parameter comes once, under its first name. */
  *namedParameters(): Generator<[string, Tensor]> {
    yield* distinct(this, 'parameter');
  }

  /** The tensors that an optimizer trains. */
  *parameters(): Generator<Tensor> {
    for (const [, t] of distinct(this, 'parameter')) yield t;
  }

  /** `[path, buffer]`. */
  *namedBuffers(): Generator<[string, Tensor]> {
    yield* distinct(this, 'buffer');
  }

  /** State that is saved but not trained, such as running statistics. */
  *buffers(): Generator<Tensor> {
    for (const [, t] of distinct(this, 'buffer')) yield t;
  }

  /** `[path, module]` of this module (path '') and all below it, each once. */
  *namedModules(): Generator<[string, AnyModule]> {
    const seen = new Set<AnyModule>();
    for (const [path, module] of tree(this)) {
      if (seen.has(module)) continue;
      seen.add(module);
      yield [path, module];
    }
  }

  /** This module and all below it, each once. */
  *modules(): Generator<AnyModule> {
    for (const [, module] of this.namedModules()) yield module;
  }

  /** `[name, module]` of the modules in this module's own fields. */
  *namedChildren(): Generator<[string, AnyModule]> {
    for (const { path, value } of parts(this)) if (value instanceof Module) yield [path, value];
  }

  /** The modules in this module's own fields. */
  *children(): Generator<AnyModule> {
    for (const [, child] of this.namedChildren()) yield child;
  }

  /** Copies of all parameters and buffers by name, as plain tensors. Shared tensors stand under each of their names. */
  stateDict(): StateDict {
    return copyState(named(this));
  }

  /**
   * Copies values into the parameters and buffers of the same names, all of them or, when it throws, none.
   * @throws TypeError that lists missing and unexpected names (unless `strict` is false); ShapeError with both shapes.
   */
  loadStateDict(dict: Readonly<Record<string, TensorLike>>, options: LoadOptions = {}): LoadReport {
    checkOptions('loadStateDict', options, ['strict']);
    return loadState(`${this.constructor.name}.loadStateDict`, named(this), dict, options.strict ?? true);
  }

  /** Switches this module and all below it to training, or with `false` to evaluation. */
  train(mode = true): this {
    if (typeof mode !== 'boolean') throw typeError('train', `mode must be a boolean, got ${describe(mode)}`);
    for (const module of this.modules()) module.training = mode;
    return this;
  }

  /** Switches to evaluation: no dropout, running statistics. */
  eval(): this {
    return this.train(false);
  }

  /** Lets gradients flow to the parameters, or with `false` freezes them. */
  requiresGrad_(flag = true): this {
    for (const t of this.parameters()) t.requiresGrad = flag;
    return this;
  }

  /** The modules as a tree, and the number of parameters. */
  toString(): string {
    let count = 0;
    for (const t of this.parameters()) count += t.size;
    return `${outline(this, [])}${count > 0 ? `: ${count.toLocaleString('en')} parameters` : ''}`;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

function* distinct(module: AnyModule, role: Role): Generator<[string, Tensor]> {
  const seen = new Set<Tensor>();
  for (const slot of tensorSlots(module)) {
    if (slot.role !== role || seen.has(slot.value)) continue;
    seen.add(slot.value);
    yield [slot.path, slot.value];
  }
}

const named = (module: AnyModule): Map<string, Tensor> =>
  new Map([...tensorSlots(module)].map(({ path, value }) => [path, value]));

function outline(module: AnyModule, above: readonly AnyModule[]): string {
  if (above.includes(module)) return '…';
  const lines = [...module.namedChildren()].map(
    ([name, child]) => `(${name}): ${outline(child, [...above, module])}`,
  );
  const head = (module as unknown as { label: string }).label;
  if (lines.length === 0) return head;
  return `${head.slice(0, -1)}\n${lines.join('\n').replace(/^/gm, '  ')}\n)`;
}
