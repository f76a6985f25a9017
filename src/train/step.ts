// trainStep: one training step as a function of the batch. Everything it computes lives in step memory; what it changes
// (parameters, optimizer state, running statistics) changes all together or, on a non-finite gradient, not at all.
import { spendGraph } from '../autodiff/backward.js';
import { openScope, type Scope } from '../memory/arena.js';
import type { Storage } from '../memory/storage.js';
import { watched, watcher } from '../memory/watcher.js';
import type { Plan } from '../replay/plan.js';
import { printPlans } from '../replay/print.js';
import { profileOf, type Profile, type ProfileOptions } from '../replay/profile.js';
import type { Recorder } from '../replay/recorder.js';
import { Replayer } from '../replay/replayer.js';
import {
  checkChoice,
  checkNumber,
  checkOptions,
  describe,
  NonFiniteError,
  shapeError,
  showShape,
  typeError,
} from '../tensor/errors.js';
import { deferEffects } from '../tensor/op.js';
import { full } from '../ops/create.js';
import { Tensor } from '../tensor/tensor.js';

/** What a step needs of an optimizer. */
export interface StepOptimizer {
  step(): void;
  zeroGrad(): void;
  /** Global norm of the gradients that are there. */
  gradNorm(): number;
  /** Multiplies them by a number. */
  scaleGrads(factor: number): void;
}

export interface StepOptions {
  /** Largest global norm of the gradient; a longer one is scaled down (Pascanu et al., 2013). */
  clipNorm?: number;
  /** Micro-batches per update: the gradient is the mean over that many calls. */
  accumulate?: number;
  /** What a NaN or infinite loss or gradient does: goes into the parameters, skips the update, or throws. */
  onNonFinite?: 'propagate' | 'skip' | 'throw';
}

/** Takes a batch, updates the parameters, returns the batch's loss. */
export interface TrainStep<B extends unknown[]> {
  (...batch: B): number;
  /** Updates that were left out because of a non-finite loss or gradient. */
  readonly skipped: number;
  /** Calls that were replayed. */
  readonly replayed: number;
  /** Global gradient norm of the last update, before clipping; null when nothing asked for it. */
  readonly gradNorm: number | null;
  /** Whether to measure {@link gradNorm} even where neither clipping nor the policy needs it. */
  measureNorm: boolean;
  /** The recorded programs as text, the one used last first; or why there is none. */
  plan(): string;
  /**
   * Runs the program used last for time, on made-up values; whatever it changes is put back, and it counts as no step.
   * @throws Error if there is no program.
   */
  profile(options?: ProfileOptions): Profile;
  /** Gives the memory of all recorded programs back; the next calls record again. */
  dispose(): void;
}

/** The constant in torch's clip_grad_norm_, which keeps a gradient of norm 0 as it is. */
const CLIP_EPS = 1e-6;

/** Bytes of values that are worth being computed again if somebody asks for them after all. */
const WORTH = 1 << 12;

/** What a recorded step depends on: first, last, and decided micro-batches. */
const PHASES = ['', 'first', 'last', 'first last', 'decided', 'first decided', 'last decided', 'all'];

const METHODS = ['step', 'zeroGrad', 'gradNorm', 'scaleGrads'] as const satisfies (keyof StepOptimizer)[];
const isOptimizer = (value: Partial<StepOptimizer> | null | undefined): boolean =>
  METHODS.every((name) => typeof value?.[name] === 'function');

function inScope<T>(fn: (scope: Scope) => T): T {
  const scope = openScope();
  scope.letsGoFrom = WORTH;
  try {
    return fn(scope);
  } finally {
    scope.end();
  }
}

/**
 * Returns a function that runs forward, backward, clipping and the optimizer's update for a batch.
 *
 * From the third call with arguments of the same shapes on, the step is replayed: the recorded launches run in one go, with
 * the same results to the bit, and `lossFn` is not called. Tensors and arrays among the arguments, parameters, modes of
 * layers, learning rates and random numbers may change from call to call; a number that JavaScript computes inside `lossFn` is
 * recorded as it is, so pass it as an argument, in an array or a tensor. One that changes after the first two calls is noticed
 * only when `lossFn` is called again, which happens every 1000 calls: then a warning names it, and the step stays eager.
 * A `lossFn` that reads values stays eager and says so once.
 * @param lossFn returns a scalar; it is called with the batch.
 * @example
 * const step = trainStep((x, y) => crossEntropy(model(x), y), new optim.Adam(model.parameters()));
 * for (const [x, y] of loader) console.log(step(x, y));
 */
export function trainStep<B extends unknown[]>(
  lossFn: (...batch: B) => Tensor,
  optimizer: StepOptimizer,
  options: StepOptions = {},
): TrainStep<B> {
  if (typeof lossFn !== 'function')
    throw typeError('trainStep', `lossFn must be a function, got ${describe(lossFn)}`);
  if (lossFn.constructor.name === 'AsyncFunction')
    throw typeError('trainStep', 'lossFn is asynchronous', 'prepare the batch before the step');
  if (!isOptimizer(optimizer))
    throw typeError('trainStep', `optimizer must be an optimizer of \`optim\`, got ${describe(optimizer)}`);
  checkOptions('trainStep', options, ['clipNorm', 'accumulate', 'onNonFinite']);
  const clipNorm =
    options.clipNorm === undefined
      ? Infinity
      : checkNumber('trainStep', 'clipNorm', options.clipNorm, { above: 0 });
  const accumulate = checkNumber('trainStep', 'accumulate', options.accumulate ?? 1, {
    min: 1,
    integer: true,
  });
  const policy = checkChoice('trainStep', 'onNonFinite', options.onNonFinite ?? 'propagate', [
    'propagate',
    'skip',
    'throw',
  ]);
  const replayer = new Replayer('trainStep');
  let [calls, skipped, failed] = [0, 0, false];
  let gradNorm: number | null = null;

  const isFirst = (): boolean => calls % accumulate === 0;
  const isLast = (): boolean => (calls + 1) % accumulate === 0;
  const asksNorm = (): boolean => step.measureNorm || policy !== 'propagate' || clipNorm < Infinity;
  /** Whether JavaScript decides between the gradient and what is done with it. */
  const decides = (): boolean => policy !== 'propagate' || (isLast() && asksNorm());

  /** The part of a micro-batch: adds its share of the gradient. Returns the loss. */
  function accumulateGradient(batch: B, recorder: Recorder | null): number {
    const loss = lossFn(...batch);
    if (!(loss instanceof Tensor))
      throw typeError('trainStep', `lossFn must return a Tensor, got ${describe(loss)}`);
    if (loss.size !== 1)
      throw shapeError(
        'trainStep',
        `lossFn must return a scalar, got shape ${showShape(loss.shape)}`,
        'reduce with mean() or sum()',
      );
    spendGraph(loss, accumulate === 1 ? undefined : full(loss.shape, 1 / accumulate));
    if (recorder) {
      recorder.result = loss.storage;
      if (!recorder.keep(loss.storage)) recorder.refuse('no kernel computed the loss');
    }
    return loss.storage.peek()[0]!;
  }

  /** Whether the gradient may be used; throws if the policy says so. */
  function admit(loss: number): boolean {
    gradNorm = asksNorm() ? optimizer.gradNorm() : null;
    if (policy === 'propagate' || (Number.isFinite(loss) && Number.isFinite(gradNorm) && !failed))
      return true;
    if (policy === 'throw')
      throw new NonFiniteError(
        `trainStep: the loss is ${loss} and the gradient's norm ${gradNorm}; nothing was changed`,
      );
    return false;
  }

  /** What comes between gradient and update: `false` leaves the update out. */
  function decide(loss: number): boolean {
    const last = isLast();
    failed ||= !Number.isFinite(loss);
    // Statistics of earlier micro-batches would die with this scope; they are small and move now if they are finite.
    if (!last) return policy === 'propagate' || Number.isFinite(loss);
    const admitted = admit(loss);
    failed = false;
    if (!admitted) skipped++;
    else if (gradNorm !== null && gradNorm + CLIP_EPS > clipNorm)
      optimizer.scaleGrads(clipNorm / (gradNorm + CLIP_EPS));
    return admitted;
  }

  function eager(batch: B, recorder: Recorder | null): number {
    if (isFirst()) optimizer.zeroGrad();
    const [loss, settle] = deferEffects(() => accumulateGradient(batch, recorder));
    const goes = (): boolean => decide(loss);
    // Without a decision the update is recorded in one part with the gradient.
    if (recorder && decides() ? recorder.between(goes) : watched(null, goes)) {
      settle();
      if (isLast()) optimizer.step();
    }
    return loss;
  }

  function replayed(plan: Plan): number {
    const parts = decides();
    plan.program.run(0);
    const loss = plan.first(plan.result as Storage);
    plan.adopt();
    if (parts && !decide(loss)) return loss;
    if (parts) plan.program.run(1);
    else if (isLast()) gradNorm = null;
    plan.finish();
    return loss;
  }

  const computed = (batch: B, phase: string | null): number =>
    inScope((scope) => {
      if (phase === null) return eager(batch, null);
      return replayer.record(batch, phase, scope, (recorder) => eager(batch, recorder));
    });

  function run(...batch: B): number {
    watcher?.refuse('a step of trainStep is made inside');
    const phase = replayer.phase(PHASES[(isFirst() ? 1 : 0) + (isLast() ? 2 : 0) + (decides() ? 4 : 0)]!);
    try {
      const plan = phase === null ? null : replayer.find(batch, phase);
      const loss = plan ? replayed(plan) : computed(batch, phase);
      calls++;
      return loss;
    } catch (error) {
      calls -= calls % accumulate;
      failed = false;
      throw error;
    }
  }

  const step = Object.defineProperties(run, {
    skipped: { get: () => skipped },
    replayed: { get: () => replayer.replayed },
    gradNorm: { get: () => gradNorm },
    measureNorm: { value: false, writable: true },
    plan: { value: () => printPlans(replayer) },
    profile: { value: (options?: ProfileOptions) => profileOf('trainStep.profile', replayer, options) },
    dispose: { value: () => replayer.release() },
  }) as unknown as TrainStep<B>;
  return step;
}
