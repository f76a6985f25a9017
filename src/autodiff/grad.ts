// Gradients as functions: grad and valueAndGrad of functions (they nest), grad of tensors, and what is built on them.
import { currentScope, openScope } from '../memory/arena.js';
import { concat, mul, reshape, stack, sum } from '../ops/index.js';
import { checkOptions, describe, shapeError, showShape, typeError } from '../tensor/errors.js';
import { apply, isRecording, type OpRow } from '../tensor/op.js';
import { asTensor, realArray, Tensor, wrap, type TensorLike } from '../tensor/tensor.js';
import { checkTensor, seedOf, sweep } from './backward.js';
import { eachTensor } from './scope.js';

/** What can be differentiated by: a tensor, or arrays and plain objects of tensors. */
export type Tree = Tensor | readonly Tree[] | { readonly [name: string]: Tree };

export interface GradOptions {
  gradOutputs?: TensorLike | readonly TensorLike[];
  createGraph?: boolean;
  retainGraph?: boolean;
  /** Inputs that the outputs do not depend on get null instead of an error. */
  allowUnused?: boolean;
}

/** The identity, so that a function's argument is a new variable even where the caller's tensor has a graph. */
const aliasRow: OpRow<null> = {
  name: 'alias',
  shape: ([x]) => x!,
  forward: () => undefined,
  vjp: (g) => [g],
  alias: true,
};

/** A fresh variable with the values of `x`; gradients by it do not mix with those by `x` itself. */
function fresh(x: Tensor): Tensor {
  if (x.requiresGrad && isRecording()) return apply(aliasRow, [x], null);
  const t = x.detach();
  t.requiresGrad = true;
  return t;
}

function mapTree(value: unknown, fn: (t: Tensor) => Tensor): Tree {
  if (value instanceof Tensor) return fn(value);
  if (typeof value === 'number' || value instanceof Float32Array) return fn(asTensor('grad', value));
  if (Array.isArray(value)) {
    if (value.length > 0 && value.every((v) => typeof v === 'number' || Array.isArray(v)) && isNumbers(value))
      return fn(asTensor('grad', value));
    return value.map((v) => mapTree(v, fn));
  }
  if (value !== null && typeof value === 'object')
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, mapTree(v, fn)]));
  throw typeError('grad', `cannot differentiate by ${describe(value)}`);
}

const isNumbers = (value: unknown): boolean =>
  typeof value === 'number' || (Array.isArray(value) && value.every(isNumbers));

/** How many function gradients are running: an inner one must leave a graph for the outer one. */
let depth = 0;

type Fn = (...args: never[]) => Tensor;
type FirstGrad<F extends Fn> = Parameters<F>[0] extends Tensor | readonly Tensor[] | Record<string, Tensor>
  ? Parameters<F>[0]
  : Tensor;

interface ValueAndTree {
  value: Tensor;
  gradient: Tree;
}

function differentiate(where: string, f: Fn, args: unknown[]): ValueAndTree {
  const nested = depth > 0;
  let tracked = false;
  eachTensor(args, (t) => (tracked ||= t.requiresGrad));
  const keepsGraph = isRecording() && (nested || tracked);
  depth++;
  try {
    const inputs: Tensor[] = [];
    const first = mapTree(args[0], (t) => {
      const variable = fresh(t);
      inputs.push(variable);
      return variable;
    });
    const value = checkTensor(where, (f as (...a: unknown[]) => unknown)(first, ...args.slice(1)));
    if (value.size !== 1)
      throw shapeError(
        where,
        `the function must return a scalar, got shape ${showShape(value.shape)}`,
        'use jacobian() for more',
      );
    const grads = gradients([value], [seedOf(where, value, undefined)], inputs, {
      createGraph: keepsGraph,
      retainGraph: keepsGraph,
    });
    let k = 0;
    const gradient = mapTree(first, (variable) => grads[k++] ?? zerosLike(variable));
    return { value: keepsGraph ? value : value.detach(), gradient };
  } finally {
    depth--;
  }
}

const zerosLike = (t: Tensor): Tensor => wrap(realArray(t.size), t.shape);

/** Gradients by `inputs`; null where the outputs do not depend on one. */
function gradients(
  outputs: readonly Tensor[],
  seeds: readonly Tensor[],
  inputs: readonly Tensor[],
  { createGraph, retainGraph }: { createGraph: boolean; retainGraph: boolean },
): (Tensor | null)[] {
  const tracked = outputs.map((t, k) => [t, seeds[k]!] as const).filter(([t]) => t.requiresGrad);
  const found = sweep(
    tracked.map(([t]) => t),
    tracked.map(([, s]) => s),
    { createGraph, retainGraph, wanted: inputs },
  );
  return inputs.map((x) => found.get(x.node ?? x) ?? null);
}

/** Runs a function gradient; the outermost one owns its memory and saves only its results. */
function outermost<T>(fn: () => T, args: unknown[]): T {
  let tracked = false;
  eachTensor(args, (t) => (tracked ||= t.requiresGrad));
  if (depth > 0 || tracked || currentScope()) return fn();
  const own = openScope();
  try {
    const result = fn();
    eachTensor(result, (t) => t.storage.leaveHeap());
    return result;
  } finally {
    own.end();
  }
}

/**
 * The function that returns f's value and its gradient by f's first argument (a tensor, or arrays and objects of them).
 * f must return a scalar. Nested uses give higher derivatives.
 */
export function valueAndGrad<F extends Fn>(f: F): (...args: Parameters<F>) => [Tensor, FirstGrad<F>] {
  if (typeof f !== 'function') throw typeError('valueAndGrad', `expected a function, got ${describe(f)}`);
  return (...args) =>
    outermost(() => {
      const { value, gradient } = differentiate('valueAndGrad', f, args);
      return [value, gradient as FirstGrad<F>];
    }, args);
}

/**
 * With a function: the function that returns its gradient by its first argument; see {@link valueAndGrad}.
 * With tensors: gradients of outputs by inputs, as torch.autograd.grad; one tensor for each input.
 * @example grad((x: Tensor) => x.mul(x).sum())(tensor([1, 2])) // [2, 4]
 */
export function grad<F extends Fn>(f: F): (...args: Parameters<F>) => FirstGrad<F>;
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  options?: GradOptions,
): Tensor[];
export function grad(
  first: Fn | Tensor | readonly Tensor[],
  inputs?: Tensor | readonly Tensor[],
  options: GradOptions = {},
): unknown {
  if (typeof first === 'function') {
    const f = first;
    return (...args: unknown[]) => outermost(() => differentiate('grad', f, args).gradient, args);
  }
  return gradOfTensors(first as Tensor | readonly Tensor[], inputs!, options);
}

function gradOfTensors(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  options: GradOptions,
): (Tensor | null)[] {
  checkOptions('grad', options, ['gradOutputs', 'createGraph', 'retainGraph', 'allowUnused']);
  const { createGraph = false, retainGraph = createGraph, allowUnused = false } = options;
  const list = (v: Tensor | readonly Tensor[]): readonly Tensor[] =>
    Array.isArray(v) ? (v as Tensor[]) : [v as Tensor];
  const [ys, xs] = [list(outputs), list(inputs)];
  for (const t of [...ys, ...xs]) checkTensor('grad', t);
  const given =
    options.gradOutputs === undefined
      ? []
      : ys.length === 1 && !isTensorList(options.gradOutputs)
        ? [options.gradOutputs]
        : (options.gradOutputs as TensorLike[]);
  const seeds = ys.map((y, k) => seedOf('grad', y, given[k] as TensorLike | undefined));
  xs.forEach((x, k) => {
    if (!x.requiresGrad)
      throw typeError('grad', `input ${k} of shape ${showShape(x.shape)} does not require a gradient`);
  });
  const run = (): (Tensor | null)[] => {
    const found = gradients(ys, seeds, xs, { createGraph, retainGraph });
    const unused = found.findIndex((g) => g === null);
    if (unused >= 0 && !allowUnused)
      throw typeError(
        'grad',
        `the outputs do not depend on input ${unused} of shape ${showShape(xs[unused]!.shape)}`,
        'pass allowUnused: true to get null for it',
      );
    return found;
  };
  if (createGraph || currentScope()) return run();
  const own = openScope();
  try {
    const found = run();
    for (const g of found) g?.storage.leaveHeap();
    return found;
  } finally {
    own.end();
  }
}

const isTensorList = (v: unknown): boolean => Array.isArray(v) && v.some((t) => t instanceof Tensor);

/** H(x) v: the product of f's Hessian at x with v, by differentiating the directional derivative. */
export function hvp(f: (x: Tensor) => Tensor, x: TensorLike, v: TensorLike): Tensor {
  const direction = asTensor('hvp', v);
  return grad((p: Tensor) => sum(mul(grad(f)(p), direction)))(asTensor('hvp', x));
}

/** All first derivatives of f at x: shape [...f(x).shape, ...x.shape]. */
export function jacobian(f: (x: Tensor) => Tensor, x: TensorLike): Tensor {
  const at = asTensor('jacobian', x);
  return outermost(() => {
    const variable = fresh(at);
    const y = f(variable);
    const rows = Array.from({ length: y.size }, (_, k) => {
      const seed = realArray(y.size);
      seed[k] = 1;
      const [g] = gradients([y], [wrap(seed, y.shape)], [variable], {
        createGraph: depth > 0 || at.requiresGrad,
        retainGraph: true,
      });
      return reshape(g ?? zerosLike(at), [at.size]);
    });
    return reshape(rows.length > 0 ? stack(rows) : concat([zerosLike(at)]), [...y.shape, ...at.shape]);
  }, [at]);
}

/** All second derivatives of a scalar function f at x: shape [...x.shape, ...x.shape]. */
export function hessian(f: (x: Tensor) => Tensor, x: TensorLike): Tensor {
  return nested(() => jacobian((p) => grad(f)(p), x), asTensor('hessian', x));
}

/** Runs `fn` so that gradient functions inside it leave graphs. */
function nested<T>(fn: () => T, x: Tensor): T {
  return outermost(() => {
    depth++;
    try {
      return fn();
    } finally {
      depth--;
    }
  }, [x]);
}
