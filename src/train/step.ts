// trainStep: one training step as a function of the batch. Everything it computes lives in step memory; what it changes
// (parameters, optimizer state, running statistics) changes all together or, on a non-finite gradient, not at all.
import { openScope } from '../memory/arena.js';
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
  /** Global gradient norm of the last update, before clipping; null when nothing asked for it. */
  readonly gradNorm: number | null;
  /** Whether to measure {@link gradNorm} even where neither clipping nor the policy needs it. */
  measureNorm: boolean;
}

/** The constant in torch's clip_grad_norm_, which keeps a gradient of norm 0 as it is. */
const CLIP_EPS = 1e-6;

/**
 * Returns a function that runs forward, backward, clipping and the optimizer's update for a batch.
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
  let [calls, skipped, failed] = [0, 0, false];
  let gradNorm: number | null = null;

  /** The part of a micro-batch: adds its share of the gradient. Returns the loss. */
  function accumulateGradient(batch: B): number {
    const loss = lossFn(...batch);
    if (!(loss instanceof Tensor))
      throw typeError('trainStep', `lossFn must return a Tensor, got ${describe(loss)}`);
    if (loss.size !== 1)
      throw shapeError(
        'trainStep',
        `lossFn must return a scalar, got shape ${showShape(loss.shape)}`,
        'reduce with mean() or sum()',
      );
    loss.backward(accumulate === 1 ? {} : { gradient: full(loss.shape, 1 / accumulate) });
    return loss.item();
  }

  /** Whether the gradient may be used; throws if the policy says so. */
  function admit(loss: number): boolean {
    gradNorm =
      step.measureNorm || policy !== 'propagate' || clipNorm < Infinity ? optimizer.gradNorm() : null;
    if (policy === 'propagate' || (Number.isFinite(loss) && Number.isFinite(gradNorm) && !failed))
      return true;
    if (policy === 'throw')
      throw new NonFiniteError(
        `trainStep: the loss is ${loss} and the gradient's norm ${gradNorm}; nothing was changed`,
      );
    return false;
  }

  function update(settle: () => void): void {
    if (gradNorm !== null && gradNorm + CLIP_EPS > clipNorm)
      optimizer.scaleGrads(clipNorm / (gradNorm + CLIP_EPS));
    settle();
    optimizer.step();
  }

  function run(...batch: B): number {
    const scope = openScope();
    try {
      if (calls % accumulate === 0) optimizer.zeroGrad();
      const [loss, settle] = deferEffects(() => accumulateGradient(batch));
      calls++;
      failed ||= !Number.isFinite(loss);
      if (calls % accumulate !== 0) {
        // Statistics of earlier micro-batches would die with this scope; they are small and move now if they are finite.
        if (policy === 'propagate' || Number.isFinite(loss)) settle();
        return loss;
      }
      if (admit(loss)) update(settle);
      else skipped++;
      failed = false;
      return loss;
    } catch (error) {
      calls -= calls % accumulate;
      failed = false;
      throw error;
    } finally {
      scope.end();
    }
  }

  const step = Object.defineProperties(run, {
    skipped: { get: () => skipped },
    gradNorm: { get: () => gradNorm },
    measureNorm: { value: false, writable: true },
  }) as unknown as TrainStep<B>;
  return step;
}
