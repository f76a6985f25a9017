// Modules made of a list of modules. Elements are fields named 0, 1, …, which are their names in the state dict.
import { describe, rangeError, typeError } from '../tensor/errors.js';
import { Module, type AnyModule } from './module.js';
import type { Tensor } from '../tensor/tensor.js';

function checkModule(where: string, name: string, value: unknown): AnyModule {
  if (value instanceof Module) return value as AnyModule;
  const hint =
    typeof value === 'function' && value.prototype instanceof Module
      ? `did you mean new ${value.name}()?`
      : undefined;
  throw typeError(where, `${name} must be a Module, got ${describe(value)}`, hint);
}

/** Puts modules into fields 0, 1, …. */
function hold(target: AnyModule, modules: readonly unknown[]): void {
  modules.forEach((m, k) =>
    Object.assign(target, { [k]: checkModule(target.constructor.name, `module ${k}`, m) }),
  );
}

function holdByName(target: AnyModule, modules: Record<string, AnyModule>): void {
  for (const [name, m] of Object.entries(modules)) {
    if (name in target) throw rangeError('Sequential', `"${name}" is not free as a name, Module has it`);
    Object.assign(target, { [name]: checkModule('Sequential', `"${name}"`, m) });
  }
}

/**
 * Calls its modules one after the other, each with the output of the one before. They are named 0, 1, …; given as an
 * object, they keep its names.
 * @example
 * const model = new nn.Sequential(new nn.Linear(784, 128), new nn.ReLU(), new nn.Linear(128, 10));
 * const named = new nn.Sequential({ hidden: new nn.Linear(2, 8), out: new nn.Linear(8, 1) });
 */
export class Sequential extends Module<[unknown]> {
  constructor(...modules: AnyModule[] | [Record<string, AnyModule>]) {
    super();
    const [first] = modules;
    const byName =
      modules.length === 1 && typeof first === 'object' && first !== null && !Array.isArray(first);
    if (byName) holdByName(this, first);
    else hold(this, modules);
  }

  /** Number of modules. */
  override get length(): number {
    return [...this.children()].length;
  }

  /** The module at a position; negative positions count from the end. */
  at(k: number): AnyModule | undefined {
    return [...this.children()].at(k);
  }

  [Symbol.iterator](): IterableIterator<AnyModule> {
    return this.children();
  }

  override forward(x: unknown): Tensor {
    let value = x;
    const fields = this as unknown as Record<string, unknown>;
    for (const name of Object.keys(fields)) {
      const module = fields[name];
      if (module instanceof Module) value = (module as AnyModule)(value) as unknown;
    }
    return value as Tensor;
  }
}

/**
 * A list of modules that its owner calls as it likes. (A plain array in a field does as well.)
 * @example blocks = new nn.ModuleList([new Block(8), new Block(16)]);
 */
export class ModuleList<M extends AnyModule = AnyModule> extends Module<[], never> {
  constructor(modules: readonly M[] = []) {
    super();
    if (!Array.isArray(modules))
      throw typeError('ModuleList', `expected an array of modules, got ${describe(modules)}`);
    hold(this, modules);
  }

  /** Number of modules. */
  override get length(): number {
    return [...this.children()].length;
  }

  /** The module at a position; negative positions count from the end. */
  at(k: number): M | undefined {
    return ([...this.children()] as M[]).at(k);
  }

  /** Adds a module at the end. */
  append(module: M): this {
    Object.assign(this, { [this.length]: checkModule('ModuleList', 'the module', module) });
    return this;
  }

  [Symbol.iterator](): IterableIterator<M> {
    return this.children() as Generator<M>;
  }

  override forward(): never {
    throw typeError('ModuleList', 'cannot be called', 'call its modules, or use Sequential');
  }
}
