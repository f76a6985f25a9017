// fit: the training loop in one call. It reads the events to their end and writes the history.
import type { TrainData } from './batches.js';
import { type EpochEvent, events, type StopReason, type TrainOptions } from './events.js';
import type { Model } from './model.js';

/** What a training did. Arrays have one entry per step. */
export interface History {
  loss: number[];
  lr: number[];
  /** NaN at steps where nothing measured it. */
  gradNorm: number[];
  epochs: EpochEvent[];
  steps: number;
  samples: number;
  /** Spent in steps, without evaluation. */
  seconds: number;
  /** Why it ended, and the same in one sentence. */
  stopped: StopReason;
  message: string;
}

/**
 * Trains a model on data and returns the history. Ends after `epochs`, `maxSteps`, at a flat gradient (`gradTolerance`), a
 * signal, a callback's wish, or a loss that is not finite; the history says which. The model's mode is put back.
 *
 * How it trains is how the data come: single pairs (on-line), mini-batches, or one batch of everything (off-line; with
 * `accumulate` in pieces).
 * @example
 * const loader = new data.DataLoader(set, { batchSize: 64, shuffle: true });
 * const history = await train.fit(model, loader, { optimizer: new optim.Adam(model.namedParameters()), epochs: 3 });
 */
export async function fit(model: Model, data: TrainData, options: TrainOptions): Promise<History> {
  const history: History = {
    loss: [],
    lr: [],
    gradNorm: [],
    epochs: [],
    steps: 0,
    samples: 0,
    seconds: 0,
    stopped: 'epochs',
    message: '',
  };
  for await (const event of events(model, data, options)) {
    if (event.type === 'step') {
      history.loss.push(event.loss);
      history.lr.push(event.lr);
      history.gradNorm.push(event.gradNorm ?? NaN);
      history.samples = event.samples;
    } else if (event.type === 'epoch') history.epochs.push(event);
    else {
      history.steps = event.step;
      history.seconds = event.seconds;
      history.stopped = event.reason;
      history.message = event.message;
    }
  }
  return history;
}
