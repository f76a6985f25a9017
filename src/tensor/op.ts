// What an op row is, and how one is applied. A row is the only place where an op's facts stand: shape rule, forward,
// gradient rules, samples and error cases. Gradient rules are written in ops, so they can be differentiated again.
import { currentScope, openScope } from '../memory/arena.js';
import type { Storage } from '../memory/storage.js';
import { watcher } from '../memory/watcher.js';
import { showShape } from './errors.js';
import type { Shape } from './shape.js';
import { blank, Tensor, type Node } from './tensor.js';

/** A gradient that is 0 outside a slice: `g` lies from `start` on along `dim`. The sweep joins such slices. */
export class Piece {
  constructor(
    readonly g: Tensor,
    readonly dim: number,
    readonly start: number,
  ) {}
}

/** A gradient for one input: a tensor or a slice of it, a thunk that is run only if that input needs it, or null for "none". */
export type InputGrad = Tensor | Piece | (() => Tensor) | null;
type Rule<A> = (g: Tensor, y: Tensor, xs: readonly Tensor[], attrs: A) => InputGrad[];

/** One way of calling an op in the tests: tensors of these shapes, drawn from `domain`, go to `call` (the op itself by default). */
export interface Sample {
  shapes: readonly Shape[];
  domain?: readonly [number, number];
  call?: (...xs: Tensor[]) => Tensor;
}

/** What tests need of every op, primitive or composed of others. */
export interface OpFacts {
  samples: () => Sample[];
  /** Calls that must throw, with what the message must say. */
  errors?: () => [call: () => unknown, message: RegExp][];
  /** 1 with the reason, where the second derivative cannot be checked; 0 for ops without derivative. */
  order?: readonly [0 | 1, string];
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- rows of all attribute types stand in one table
export interface OpRow<A = any> {
  readonly name: string;
  /** The output's shape. @throws ShapeError */
  shape(xs: readonly Shape[], attrs: A): Shape;
  /** Launches kernels that write y. May store in `attrs` what the gradient rule needs; returns such storages. */
  forward(y: Tensor, xs: readonly Tensor[], attrs: A): readonly Storage[] | void;
  /** The gradient rule, in ops. Broadcasting is undone by the engine, so no rule mentions it. */
  readonly vjp: Rule<A>;
  /** A faster rule for first order only. */
  readonly vjpFused?: Rule<A>;
  /** Which values, not only shapes, the gradient rules look at; all of them by default. */
  readonly reads?: 'inputs' | 'output' | 'none';
  /**
   * The output is computed so quickly that it may be let go as long as no gradient rule needs it. One that is dear goes only
   * while a call is recorded: its plan will not compute it twice.
   */
  readonly cheap?: boolean;
  /** What `vjpFused` asks memory for first may take the place of the gradient that it gets. */
  readonly inPlace?: boolean;
  /** What gradient thunks ask memory for first is their result, so it may be made where it belongs. */
  readonly direct?: boolean;
  /** The output shares the memory of input 0 and `forward` is not run. */
  readonly alias?: boolean;
}

let recording = true;
let nextId = 0;

/** Whether ops on tensors with `requiresGrad` are recorded now. */
export const isRecording = (): boolean => recording;

/** Runs `fn` with recording switched on or off. */
export function withRecording<T>(on: boolean, fn: () => T): T {
  const saved = recording;
  recording = on;
  try {
    return fn();
  } finally {
    recording = saved;
  }
}

let deferred: (() => void)[] | null = null;

/** Runs an in-place side effect of an op (running statistics) now, or when the step around it decides to keep its results. */
export function sideEffect(effect: () => void): void {
  if (deferred) deferred.push(effect);
  else effect();
}

/** Runs `fn` and returns its result with a function that carries out the side effects it put off. */
export function deferEffects<T>(fn: () => T): [result: T, settle: () => void] {
  const saved = deferred;
  const effects: (() => void)[] = (deferred = []);
  try {
    return [fn(), () => effects.forEach((effect) => effect())];
  } finally {
    deferred = saved;
  }
}

/** Sum of the versions of the tensors' storages: grows when any of them changes in place. */
export function versionOf(xs: readonly Tensor[]): number {
  let sum = 0;
  for (let k = 0; k < xs.length; k++) sum += xs[k]!.storage.version;
  return sum;
}

/** Runs a row on tensors and records it if a gradient may be asked for. */
export function apply<A>(row: OpRow<A>, xs: readonly Tensor[], attrs: A): Tensor {
  if (watcher !== null) for (let k = 0; k < xs.length; k++) if (xs[k]!.node === null) watcher.leaf(xs[k]!);
  const shape = row.shape(
    xs.map((x) => x.shape),
    attrs,
  );
  const y = row.alias ? new Tensor(xs[0]!.storage, shape) : compute(row, shape, xs, attrs);
  if (recording && xs.some((x) => x.requiresGrad)) record(row, xs, attrs, y);
  return y;
}

/** As {@link inSomeScope}, written out: a callback would be garbage of every op. */
function compute<A>(row: OpRow<A>, shape: Shape, xs: readonly Tensor[], attrs: A): Tensor {
  const own = currentScope() ? null : openScope();
  try {
    const y = blank(shape);
    const extra = y.size > 0 ? row.forward(y, xs, attrs) : undefined;
    // Nobody else's scope is open: what is needed later becomes ordinary memory.
    if (own) for (const storage of [y.storage, ...(extra ?? [])]) storage.leaveHeap();
    return y;
  } finally {
    own?.end();
  }
}

function record<A>(row: OpRow<A>, xs: readonly Tensor[], attrs: A, y: Tensor): void {
  const node: Node = { row, inputs: xs, attrs, id: nextId++, output: y, version: versionOf(xs) };
  y.requiresGrad = true;
  y.node = node;
  if (!row.alias) settleMemory(node);
}

/** Says which values the node needs for its gradient rule, and lets go of those that nobody is known to need. */
function settleMemory(node: Node): void {
  const { reads, cheap = false } = node.row;
  for (let k = 0; k < node.inputs.length; k++) {
    const { storage } = node.inputs[k]!;
    if (reads === 'none' || reads === 'output') storage.letGo();
    else storage.remake = null;
  }
  const repeatable = reads === 'inputs' || reads === 'none';
  if (repeatable && (cheap || watcher !== null)) makeRepeatable(node);
}

/** Lets the values of an op's output be computed again. */
function makeRepeatable({ row, inputs, attrs, output, version }: Node): void {
  output.storage.remake = (place) => {
    if (versionOf(inputs) !== version)
      throw new Error(
        `${row.name}: its result, shape ${showShape(output.shape)}, is computed anew, but an input was changed in place; call keep() on it before`,
      );
    place();
    row.forward(output, inputs, attrs);
  };
}

export type Op<F> = F & { readonly facts: OpFacts; readonly row?: OpRow };

/** Makes a function an op: the function carries its facts, so that the exports of ops/ are the table. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- any function that returns tensors
export function define<F extends (...args: any[]) => unknown>(fn: F, facts: OpFacts, row?: OpRow): Op<F> {
  return Object.assign(fn, row ? { facts, row } : { facts });
}
