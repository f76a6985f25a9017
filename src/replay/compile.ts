// compile: a function of tensors that is recorded and then replayed. What it returns comes out of the plan as copies.
import { currentScope, openScope } from '../memory/arena.js';
import { Storage } from '../memory/storage.js';
import { watcher } from '../memory/watcher.js';
import { eachTensor } from '../autodiff/scope.js';
import { describe, typeError } from '../tensor/errors.js';
import { Tensor } from '../tensor/tensor.js';
import { valuesOf, type Input } from './arguments.js';
import type { Plan } from './plan.js';
import { printPlans } from './print.js';
import { profileOf, type Profile, type ProfileOptions } from './profile.js';
import type { Recorder, Source } from './recorder.js';
import { Replayer } from './replayer.js';

type Fn = (...args: never[]) => unknown;

/** What a compiled function can tell of itself, besides being the function. */
export interface Compiled {
  /** Calls that were replayed. */
  readonly replayed: number;
  /** The recorded programs as text, the one used last first; why there is none, if there is none. */
  plan(): string;
  /** Where the time of the program used last goes, by kernel. */
  profile(options?: ProfileOptions): Profile;
  /** Gives the memory of all programs back; later calls record anew. */
  dispose(): void;
}

/** How a replay makes one tensor of the result. */
type Remake = (plan: Plan, inputs: readonly Input[]) => Tensor;

/** A result as it was recorded, with a recipe for every tensor in it. */
interface Result {
  readonly value: unknown;
  readonly remakes: ReadonlyMap<Tensor, Remake>;
}

/** The recipe for a tensor that a recorded function returned. */
function remakeOf(t: Tensor, recorder: Recorder): Remake {
  const { storage, shape } = t;
  if (recorder.keep(storage)) {
    const input = recorder.inputAt(storage);
    if (input !== null) return (_plan, inputs) => new Tensor(storageOf(inputs[input]!), shape);
    return (plan) => new Tensor(Storage.of(plan.read(storage).slice()), shape);
  }
  if (storage.offset >= 0) return () => t;
  const source = recorder.hold(storage);
  if (source.from !== 'input') return () => new Tensor(storage, shape);
  return (_plan, inputs) => new Tensor(Storage.of(madeOf(source, inputs)), shape);
}

const storageOf = (input: Input): Storage =>
  input instanceof Tensor ? input.storage : Storage.of(input as Float32Array);

const madeOf = (source: Source & { from: 'input' }, inputs: readonly Input[]): Float32Array =>
  source.value(valuesOf(inputs[source.input]!)) as Float32Array;

/** `value` with other tensors in the same places. */
function mapTensors(value: unknown, map: (t: Tensor) => Tensor): unknown {
  if (value instanceof Tensor) return map(value);
  if (Array.isArray(value)) return value.map((v) => mapTensors(v, map));
  if (value === null || typeof value !== 'object' || Object.getPrototypeOf(value) !== Object.prototype)
    return value;
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, mapTensors(v, map)]));
}

/** Tells the recorder what the function returned. */
function describeResult(value: unknown, recorder: Recorder): Result {
  const remakes = new Map<Tensor, Remake>();
  eachTensor(value, (t) => {
    if (t.requiresGrad && t.node) recorder.refuse('the result carries a graph; use noGrad() or detach()');
    remakes.set(t, remakeOf(t, recorder));
  });
  return { value, remakes };
}

/**
 * Returns a function of the same signature as `fn` that is recorded at its second call with arguments of the same shapes
 * and replayed from the third on. It owns the memory of `fn`'s intermediates: what it returns are copies.
 *
 * Tensors, typed arrays and nested arrays of numbers among the arguments may have other values at every call. Whatever else
 * the function reads must come from tensors, optimizers, random ops or modules: a number that JavaScript computes is
 * recorded as it is, and if it changes later, up to 1000 calls return what the old one gives before a warning says so. A
 * function whose result carries a graph, or that reads values, stays eager and says so once.
 * @example
 * const predict = compile((x: Tensor) => noGrad(() => model(x).softmax(-1)));
 */
export function compile<F extends Fn>(fn: F): F & Compiled {
  if (typeof fn !== 'function') throw typeError('compile', `expected a function, got ${describe(fn)}`);
  if (fn.constructor.name === 'AsyncFunction') throw typeError('compile', 'the function is asynchronous');
  const replayer = new Replayer('compile');
  const run = (...args: Parameters<F>): unknown => {
    // Inside another recording the launches belong to that one.
    if (watcher !== null) return fn(...args);
    const phase = replayer.phase('');
    // Inside a scope the results stay in it, and a graph may lead through this call.
    if (phase === null) return currentScope() ? fn(...args) : eager(fn, args);
    const inputs: Input[] = [];
    const plan = replayer.find(args, phase, inputs);
    if (!plan) return recorded(fn, args, phase, replayer);
    plan.program.run(0);
    plan.finish();
    const { value, remakes } = plan.result as Result;
    return mapTensors(value, (t) => remakes.get(t)!(plan, inputs));
  };
  return Object.defineProperties(run, {
    replayed: { get: () => replayer.replayed },
    plan: { value: () => printPlans(replayer) },
    profile: { value: (options?: ProfileOptions) => profileOf('compile.profile', replayer, options) },
    dispose: { value: () => replayer.release() },
  }) as unknown as F & Compiled;
}

/** Runs `run` in a scope of its own; only what it returns survives. */
function owning<T>(run: (scope: ReturnType<typeof openScope>) => T): T {
  const scope = openScope();
  try {
    const result = run(scope);
    let graph = false;
    eachTensor(result, (t) => (graph ||= t.node !== null));
    if (graph) scope.evacuate();
    else eachTensor(result, (t) => t.storage.scope === scope && t.storage.leaveHeap());
    return result;
  } finally {
    scope.end();
  }
}

const eager = <F extends Fn>(fn: F, args: Parameters<F>): unknown => owning(() => fn(...args));

const recorded = <F extends Fn>(fn: F, args: Parameters<F>, phase: string, replayer: Replayer): unknown =>
  owning((scope) =>
    replayer.record(args, phase, scope, (recorder) => {
      const result = fn(...args);
      recorder.result = describeResult(result, recorder);
      return result;
    }),
  );
