// events: training as a stream. One loop for mini-batches, single examples and the full batch; after each event the
// consumer may look, stop, or go on, and no event is lost. `fit` is this loop with a history.
import { crossEntropy } from '../ops/loss.js';
import type { Optimizer } from '../optim/optimizer.js';
import {
  checkChoice,
  checkNumber,
  checkOptions,
  describe,
  NonFiniteError,
  rangeError,
  typeError,
} from '../tensor/errors.js';
import { type Batch, type Batches, isOneTime, openBatches, type TrainData } from './batches.js';
import { evaluate, type Evaluation, type Loss } from './evaluate.js';
import { checkModel, firstNonFinite, makeWay, type Model, setMode } from './model.js';
import { trainStep, type TrainStep } from './step.js';

/** Why a training ended. */
export type StopReason = 'epochs' | 'maxSteps' | 'gradient' | 'signal' | 'callback' | 'nonFinite';

/** One update of the parameters. */
export interface StepEvent {
  type: 'step';
  /** Updates so far; the first is 1. */
  step: number;
  epoch: number;
  /** Loss of the batch; with `accumulate`, the mean over the micro-batches. */
  loss: number;
  /** Learning rate of the first group. */
  lr: number;
  /** Norm of the whole gradient before clipping; null where nothing measures it. */
  gradNorm: number | null;
  /** Examples seen so far, and the seconds spent in steps. */
  samples: number;
  seconds: number;
}

/** One pass over the data. */
export interface EpochEvent {
  type: 'epoch';
  epoch: number;
  step: number;
  /** Mean loss of the epoch's steps. */
  loss: number;
  /** On the validation data, if there are any. */
  validation: Evaluation | null;
  seconds: number;
}

/** The end of the training, always the last event. */
export interface EndEvent {
  type: 'end';
  reason: StopReason;
  /** One sentence: why it ended. */
  message: string;
  step: number;
  epoch: number;
  seconds: number;
}

export type TrainEvent = StepEvent | EpochEvent | EndEvent;

/** The training that a callback is called from. */
export interface Run {
  readonly model: Model;
  readonly optimizer: Optimizer;
  /** Ends the training after the current step, with reason `callback`. */
  stop(message: string): void;
}

/** What can be hooked into a training; each may return a promise, which is waited for. */
export interface Callback {
  onStart?(run: Run): void | Promise<void>;
  onStep?(event: StepEvent, run: Run): void | Promise<void>;
  onEpoch?(event: EpochEvent, run: Run): void | Promise<void>;
  /** Called whatever the reason, also when the loop that reads the events is left or something threw. */
  onEnd?(run: Run): void | Promise<void>;
}

export interface TrainOptions {
  optimizer: Optimizer;
  /** `crossEntropy` by default. */
  loss?: Loss;
  /** Passes over the data (1). */
  epochs?: number;
  /** Most updates; no limit by default. */
  maxSteps?: number;
  /** Each item of the data is one example, not a batch; a pair with a number as y always is. */
  online?: boolean;
  /** Evaluated after each epoch. */
  validation?: TrainData | null;
  callbacks?: readonly Callback[];
  /** Stops after the current step, or between its micro-batches; what was not finished is not applied. */
  signal?: AbortSignal;
  /** Largest norm of the whole gradient; see `trainStep`. */
  clipNorm?: number;
  /** Micro-batches per update; see `trainStep`. */
  accumulate?: number;
  /** Stops when the norm of the whole gradient is below this. Meant for the full batch: others have noise. */
  gradTolerance?: number;
  /** For how many updates in a row it must be below (1). */
  gradPatience?: number;
  /**
   * At a loss or gradient that is not finite: end the training ('stop', default), throw, leave the update out ('skip'), or
   * do nothing ('propagate'). All but the last leave the parameters as they were before the step.
   */
  onNonFinite?: 'stop' | 'throw' | 'skip' | 'propagate';
}

const OPTIONS = [
  'optimizer',
  'loss',
  'epochs',
  'maxSteps',
  'online',
  'validation',
  'callbacks',
  'signal',
  'clipNorm',
  'accumulate',
  'gradTolerance',
  'gradPatience',
  'onNonFinite',
] as const satisfies readonly (keyof TrainOptions)[];

/** Checked options and the state of one training. */
interface Session extends Run {
  readonly data: TrainData;
  readonly options: TrainOptions;
  readonly epochs: number;
  readonly maxSteps: number;
  readonly accumulate: number;
  readonly tolerance: number;
  readonly patience: number;
  readonly policy: NonNullable<TrainOptions['onNonFinite']>;
  readonly loss: Loss;
  readonly train: TrainStep<[Batch['x'], Batch['y']]>;
  readonly way: () => Promise<void>;
  step: number;
  epoch: number;
  samples: number;
  seconds: number;
  /** Micro-batches so far, and their share of the current update's loss. */
  micro: number;
  partial: number;
  /** Sum of losses over the samples of the current epoch. */
  readonly pass: { loss: number; samples: number };
  /** Updates in a row with a gradient below the tolerance. */
  flat: number;
  end: { reason: StopReason; message: string } | null;
}

function checkTrainOptions(where: string, data: TrainData, options: TrainOptions): void {
  checkOptions(where, options, OPTIONS);
  const { optimizer, epochs = 1, signal, callbacks } = options;
  if (typeof optimizer?.step !== 'function')
    throw typeError(where, `optimizer must be an optimizer, got ${describe(optimizer)}`);
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw typeError(where, `signal must be an AbortSignal, got ${describe(signal)}`);
  if (callbacks !== undefined && !Array.isArray(callbacks))
    throw typeError(where, `callbacks must be an array, got ${describe(callbacks)}`);
  if (epochs > 1 && isOneTime(data))
    throw rangeError(
      where,
      `epochs is ${epochs} and the data can be gone through only once`,
      'pass a function that returns a new iterator',
    );
}

function open(where: string, model: Model, data: TrainData, options: TrainOptions): Session {
  checkModel(where, model);
  checkTrainOptions(where, data, options);
  const { optimizer, clipNorm, loss = crossEntropy as Loss } = options;
  const whole = { min: 1, integer: true };
  const optional = (name: 'maxSteps' | 'gradTolerance', rule: object, otherwise: number): number =>
    options[name] === undefined ? otherwise : checkNumber(where, name, options[name], rule);
  const policy = checkChoice(where, 'onNonFinite', options.onNonFinite ?? 'stop', [
    'stop',
    'throw',
    'skip',
    'propagate',
  ]);
  const accumulate = checkNumber(where, 'accumulate', options.accumulate ?? 1, whole);
  const tolerance = optional('gradTolerance', { min: 0 }, -1);
  const train = trainStep((x: Batch['x'], y: Batch['y']) => loss(model(x), y), optimizer, {
    accumulate,
    ...(clipNorm === undefined ? {} : { clipNorm }),
    onNonFinite: policy === 'propagate' ? 'propagate' : 'skip',
  });
  train.measureNorm = tolerance >= 0;
  const session: Session = {
    model,
    data,
    options,
    optimizer,
    accumulate,
    tolerance,
    policy,
    loss,
    train,
    epochs: checkNumber(where, 'epochs', options.epochs ?? 1, whole),
    maxSteps: optional('maxSteps', whole, Infinity),
    patience: checkNumber(where, 'gradPatience', options.gradPatience ?? 1, whole),
    way: makeWay(),
    step: 0,
    epoch: 0,
    samples: 0,
    seconds: 0,
    micro: 0,
    partial: 0,
    pass: { loss: 0, samples: 0 },
    flat: 0,
    end: null,
    stop: (message) => void (session.end ??= { reason: 'callback', message }),
  };
  return session;
}

/** Calls one hook of all callbacks in their order. */
async function notify(session: Session, call: (callback: Callback) => void | Promise<void>): Promise<void> {
  for (const callback of session.options.callbacks ?? []) {
    const wait = call(callback);
    if (wait) await wait;
  }
}

/**
 * Runs micro-batches until an update is done; null at the end of the data or at the signal. Micro-batches that are left
 * over at the end of an epoch count towards the first update of the next one.
 */
async function update(session: Session, batches: Batches): Promise<StepEvent | null> {
  const { train, optimizer, accumulate, pass, options } = session;
  for (let batch = await batches.next(); batch; batch = await batches.next()) {
    const lr = optimizer.lr[0]!;
    const [skipped, began] = [train.skipped, performance.now()];
    const loss = train(batch.x, batch.y);
    session.seconds += (performance.now() - began) / 1000;
    session.samples += batch.size;
    session.partial += loss / accumulate;
    pass.loss += loss * batch.size;
    pass.samples += batch.size;
    if (++session.micro % accumulate === 0) {
      const event = finishStep(session, lr);
      if (train.skipped > skipped) refuse(session, event);
      return event;
    }
    await session.way();
    if (options.signal?.aborted) break;
  }
  return null;
}

function finishStep(session: Session, lr: number): StepEvent {
  const loss = session.partial;
  session.partial = 0;
  session.step++;
  const { step, epoch, samples, seconds, train } = session;
  return { type: 'step', step, epoch, loss, lr, gradNorm: train.gradNorm, samples, seconds };
}

/** What follows a step that was left out because a number was not finite. */
function refuse(session: Session, { step, epoch, loss, gradNorm }: StepEvent): void {
  if (session.policy === 'skip') return;
  const what = Number.isFinite(loss) ? `the gradient's norm became ${gradNorm}` : `the loss became ${loss}`;
  const where = firstNonFinite(session.model);
  const message = `${what} at step ${step} (epoch ${epoch}), and the parameters were left as they were${where ? `; ${where}` : ''}`;
  if (session.policy === 'throw') throw new NonFiniteError(`fit: ${message}`);
  session.end = { reason: 'nonFinite', message };
}

/** Whether, and why, the training ends after a step. */
function judge(session: Session, { step, gradNorm }: StepEvent): void {
  const { tolerance, patience, maxSteps } = session;
  if (tolerance >= 0) session.flat = gradNorm !== null && gradNorm <= tolerance ? session.flat + 1 : 0;
  if (session.flat >= patience && tolerance >= 0)
    session.end ??= {
      reason: 'gradient',
      message: `the gradient's norm is ${gradNorm!.toPrecision(3)} at step ${step}, below ${tolerance}`,
    };
  if (step >= maxSteps) session.end ??= { reason: 'maxSteps', message: `${step} steps were asked for` };
  checkSignal(session);
}

function checkSignal(session: Session): void {
  if (session.options.signal?.aborted)
    session.end ??= { reason: 'signal', message: `stopped from outside after step ${session.step}` };
}

/** The end of an epoch: its mean loss, and the validation. */
async function closeEpoch(session: Session): Promise<EpochEvent> {
  const { model, step, epoch, seconds, loss, pass } = session;
  const { validation: data, online = false, signal } = session.options;
  const validation = data
    ? await evaluate(model, data, { loss, online, ...(signal ? { signal } : {}) })
    : null;
  setMode(model, true);
  return { type: 'epoch', epoch, step, loss: pass.loss / pass.samples, validation, seconds };
}

async function* steps(session: Session): AsyncGenerator<StepEvent, void, void> {
  const batches = openBatches('fit', session.data, session.options.online ?? false);
  try {
    while (!session.end) {
      const event = await update(session, batches);
      if (!event) break;
      judge(session, event);
      await notify(session, (c) => c.onStep?.(event, session));
      yield event;
      await session.way();
      checkSignal(session);
    }
  } finally {
    await batches.close();
  }
}

async function* epochs(session: Session): AsyncGenerator<StepEvent | EpochEvent, void, void> {
  while (!session.end && session.epoch < session.epochs) {
    session.epoch++;
    session.pass.loss = session.pass.samples = 0;
    yield* steps(session);
    checkSignal(session);
    if (brokenOff(session)) return;
    if (session.pass.samples === 0)
      throw rangeError('fit', `the data has no batch in epoch ${session.epoch}`);
    const event = await closeEpoch(session);
    checkSignal(session);
    await notify(session, (c) => c.onEpoch?.(event, session));
    yield event;
  }
}

/** Whether the epoch ended so that its numbers mean nothing or nobody waits for them. */
const brokenOff = ({ end }: Session): boolean => end?.reason === 'signal' || end?.reason === 'nonFinite';

async function* generate(session: Session): AsyncGenerator<TrainEvent, void, void> {
  const mode = session.model.training ?? true;
  checkSignal(session);
  try {
    await notify(session, (c) => c.onStart?.(session));
    setMode(session.model, true);
    yield* epochs(session);
  } finally {
    setMode(session.model, mode);
    await notify(session, (c) => c.onEnd?.(session));
  }
  const { step, epoch, seconds } = session;
  const end = session.end ?? {
    reason: 'epochs',
    message: `${epoch} ${epoch === 1 ? 'epoch' : 'epochs'} done`,
  };
  yield { type: 'end', ...end, step, epoch, seconds };
}

/**
 * Training as a stream of typed events: a `step` for each update, an `epoch` for each pass, one `end`. Gives way to the
 * process's other work about every 50 ms. Leaving the loop early is a clean stop.
 * @example
 * for await (const event of train.events(model, loader, { optimizer, epochs: 3 }))
 *   if (event.type === 'epoch') console.log(event.epoch, event.loss);
 */
export function events(
  model: Model,
  data: TrainData,
  options: TrainOptions,
): AsyncGenerator<TrainEvent, void, void> {
  return generate(open('fit', model, data, options));
}
