// Reverse mode: walks the recorded graph from outputs to leaves in descending node id, which is a reverse topological
// order. Broadcasting is undone here, once, so gradient rules need not mention it.
import { currentScope, openScope } from '../memory/arena.js';
import { Storage } from '../memory/storage.js';
import { watcher } from '../memory/watcher.js';
import { launch } from '../kernels/launch.js';
import { add, reshape, sum } from '../ops/index.js';
import { checkOptions, describe, shapeError, showShape, typeError } from '../tensor/errors.js';
import { Piece, versionOf, withRecording, type InputGrad } from '../tensor/op.js';
import { sameShape, type Shape } from '../tensor/shape.js';
import {
  asTensor,
  realArray,
  Tensor,
  wrap,
  type BackwardOptions,
  type Node,
  type TensorLike,
} from '../tensor/tensor.js';
import { Gradients, keyOf, type Key } from './gradients.js';
import { Leftovers, Remains } from './leftovers.js';

/** Sums g over the dimensions along which a tensor of `shape` was broadcast. */
export function sumTo(g: Tensor, shape: Shape): Tensor {
  if (sameShape(g.shape, shape)) return g;
  const lead = g.ndim - shape.length;
  const dims: number[] = [];
  for (let k = 0; k < g.ndim; k++) if (k < lead || (shape[k - lead] === 1 && g.shape[k] !== 1)) dims.push(k);
  const total = sum(g, dims);
  return sameShape(total.shape, shape) ? total : reshape(total, shape);
}

export interface Sweep {
  createGraph: boolean;
  retainGraph: boolean;
  /** Only gradients of these are wanted; all leaves when undefined. */
  wanted?: readonly Tensor[];
  /**
   * Nobody but the tape sees the graph any more: its memory goes as the sweep comes past, and the gradients of leaves are
   * handed over one by one as soon as they are complete, so that they need not lie side by side.
   */
  deliver?: (leaf: Tensor, g: Tensor) => void;
}

/** Nodes from which a wanted tensor can be reached, in descending id. */
function plan(outputs: readonly Tensor[], wanted: ReadonlySet<Key> | null): Node[] {
  const useful = new Map<Node, boolean>();
  const leads = (x: Tensor): boolean =>
    x.requiresGrad && (!wanted || wanted.has(keyOf(x)) || (x.node !== null && useful.get(x.node) === true));
  const order: Node[] = [];
  const stack = outputs.flatMap((t) => (t.node ? [t.node] : []));
  while (stack.length > 0) {
    const node = stack[stack.length - 1]!;
    if (useful.has(node)) {
      stack.pop();
      continue;
    }
    // What lies above a wanted node may be gone; no gradient has to pass there.
    if (!wanted?.has(node)) checkAlive(node);
    const { length } = stack;
    for (let k = 0; k < node.inputs.length; k++) {
      const before = node.inputs[k]!.node;
      if (before && !useful.has(before)) stack.push(before);
    }
    if (stack.length > length) continue;
    stack.pop();
    const is = node.inputs.some(leads);
    useful.set(node, is);
    if (is) order.push(node);
  }
  return order.sort((a, b) => b.id - a.id);
}

const FREED: readonly Tensor[] = Object.freeze([]);

function checkAlive(node: Node): void {
  if (node.inputs === FREED)
    throw new Error(
      `backward: the graph of ${node.row.name} was freed by an earlier backward pass; pass retainGraph: true to that one`,
    );
}

/** Runs the sweep and returns the gradient of every key that was reached. */
export function sweep(
  outputs: readonly Tensor[],
  seeds: readonly Tensor[],
  options: Sweep,
): Map<Key, Tensor> {
  const wanted = options.wanted ? new Set(options.wanted.map(keyOf)) : null;
  const order = plan(outputs, wanted);
  const leftovers = new Leftovers(options.createGraph);
  const grads = new Gradients(leftovers);
  const remains = options.deliver ? new Remains(order, outputs, leftovers) : null;
  const deliver = (leaf: Tensor): void => {
    const g = grads.get(leaf);
    // The graph may read the memory that this gradient goes to.
    if (!g || (leaf.gradSlot && remains!.needs(leaf.gradSlot))) return;
    options.deliver!(leaf, g);
    grads.delete(leaf);
  };
  // Where a leaf's first gradient belongs, if it is to be handed over and nobody reads that memory.
  const placeOf = ({ node, grad, gradSlot }: Tensor, known: boolean): Storage | null =>
    remains === null || node !== null || grad !== null || known || !gradSlot || remains.needs(gradSlot)
      ? null
      : gradSlot;
  const all = withRecording(options.createGraph, () => {
    outputs.forEach((t, k) => grads.add(t, seeds[k]!));
    for (let k = 0; k < order.length; k++) {
      const node = order[k]!;
      const g = grads.get(node);
      if (g && !wanted?.has(node)) grads.delete(node);
      const spent = g !== null && leftovers.isSpent(g);
      if (g) pull(node, g, grads, wanted, { createGraph: options.createGraph, spent, placeOf });
      remains?.done(node, deliver);
      leftovers.clear();
    }
    const found = grads.finish();
    leftovers.clear();
    return found;
  });
  if (!options.retainGraph) for (const node of order) node.inputs = FREED;
  return all;
}

interface Pull {
  createGraph: boolean;
  /** Whether nobody needs the gradient of the output afterwards. */
  spent: boolean;
  placeOf: (x: Tensor, known: boolean) => Storage | null;
}

/** A gradient, computed in `place` if there is one and the rule asks for as much. */
const computed = (part: () => Tensor, place: Storage | null): Tensor =>
  place ? Storage.withPlace(place, part) : part();

/** Sends the gradient of a node's output to its inputs. */
function pull(
  node: Node,
  g: Tensor,
  grads: Gradients,
  wanted: ReadonlySet<Key> | null,
  { createGraph, spent, placeOf }: Pull,
): void {
  const { row, inputs, attrs, output } = node;
  if (versionOf(inputs) !== node.version)
    throw new Error(
      `backward: an input of ${row.name}, shape ${showShape(inputs[0]?.shape ?? [])}, was changed in place after the forward pass (by an optimizer step?); run the forward pass again`,
    );
  const fused = createGraph ? undefined : row.vjpFused;
  const rule = (): InputGrad[] => (fused ?? row.vjp)(g, output, inputs, attrs);
  const parts = fused && row.inPlace && spent ? Storage.withPlace(g.storage, rule) : rule();
  for (let k = 0; k < inputs.length; k++) {
    const x = inputs[k]!;
    const part = parts[k];
    if (!part || !x.requiresGrad) continue;
    if (wanted && x.node === null && !wanted.has(x)) continue;
    if (part instanceof Piece) grads.add(x, part);
    else if (typeof part !== 'function') grads.add(x, sumTo(part, x.shape));
    else grads.add(x, sumTo(computed(part, row.direct ? placeOf(x, grads.has(x)) : null), x.shape));
  }
}

/** The gradient that a sweep starts from: ones for a scalar, else what the caller gives. */
export function seedOf(where: string, output: Tensor, given: TensorLike | undefined): Tensor {
  if (given === undefined) {
    if (output.size !== 1)
      throw shapeError(
        where,
        `only a scalar needs no gradient, got shape ${showShape(output.shape)}`,
        'pass one, or reduce with sum() or mean()',
      );
    return wrap(Float32Array.of(1), output.shape);
  }
  const seed = asTensor(where, given);
  if (!sameShape(seed.shape, output.shape))
    throw shapeError(
      where,
      `gradient ${showShape(seed.shape)} does not fit output ${showShape(output.shape)}`,
    );
  return seed;
}

/** Adds `g` to the gradient of a leaf, outside the step's memory. */
function accumulate(leaf: Tensor, g: Tensor): void {
  watcher?.gradAsked(leaf);
  // A recorded step writes its gradients by kernels, so they need a place on the heap.
  if (watcher) leaf.gradSlot ??= Storage.onHeap(leaf.size);
  const slot = leaf.gradSlot;
  if (!slot) {
    const total = leaf.grad ? add(leaf.grad, g) : g;
    leaf.adoptGrad(wrap(total.storage.values().slice(), leaf.shape));
    return;
  }
  const put = (value: Tensor): void =>
    launch('copy', slot.address(), value.storage.address(), 1, 1, 1, leaf.size, 0, 0, 0, 1, 0, 0, 0, 1);
  // A gradient with a graph (createGraph) lies elsewhere and comes into the slot first.
  if (leaf.grad && leaf.grad.storage !== slot) put(leaf.grad);
  if (leaf.grad) launch('accumulate', slot.address(), g.storage.address(), leaf.size);
  // It may have been computed there.
  else if (g.storage !== slot) put(g);
  leaf.adoptGrad(new Tensor(slot, leaf.shape));
  slot.touch();
}

/** Runs `fn` in the current scope or in one of its own, which it ends. */
export function inStepScope<T>(fn: () => T): T {
  if (currentScope()) return fn();
  const scope = openScope();
  try {
    return fn();
  } finally {
    scope.end();
  }
}

/** Gives a leaf its gradient, or adds to the one that it has. */
function give(leaf: Tensor, g: Tensor): void {
  if (leaf.size > 0) accumulate(leaf, g);
  else leaf.adoptGrad(wrap(realArray(0), leaf.shape));
}

function backward(this: Tensor, options: BackwardOptions = {}): void {
  checkOptions('backward', options, ['gradient', 'retainGraph', 'createGraph']);
  const { createGraph = false, retainGraph = createGraph } = options;
  sweepBack(this, options.gradient, { createGraph, retainGraph });
}

/** The last thing that is done in a scope with a graph; nothing that was computed in the scope can be read any more. */
export function spendGraph(output: Tensor, gradient?: TensorLike): void {
  sweepBack(output, gradient, { createGraph: false, retainGraph: false, deliver: give });
}

function sweepBack(output: Tensor, gradient: TensorLike | undefined, how: Sweep): void {
  if (!output.requiresGrad)
    throw typeError('backward', 'this tensor does not depend on any tensor with requiresGrad');
  const run = (): void => {
    for (const [key, g] of sweep([output], [seedOf('backward', output, gradient)], how)) {
      if (!(key instanceof Tensor) || !key.requiresGrad) continue;
      if (how.createGraph) key.adoptGrad(key.grad ? add(key.grad, g) : g);
      else give(key, g);
    }
  };
  // A gradient with a graph must outlive this call, so it may not be born in a scope of ours.
  if (how.createGraph) run();
  else inStepScope(run);
}

Object.defineProperty(Tensor.prototype, 'backward', { value: backward, writable: true, configurable: true });

/** A tensor that a function wants as an argument, or a sentence about what it got. */
export function checkTensor(where: string, value: unknown): Tensor {
  if (value instanceof Tensor) return value;
  throw typeError(where, `expected a Tensor, got ${describe(value)}`);
}
