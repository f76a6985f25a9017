// evaluate: loss and accuracy over data, in evaluation mode, without gradients, one scope a batch.
import { noGrad, scope } from '../autodiff/scope.js';
import { crossEntropy } from '../ops/loss.js';
import { argmax } from '../ops/reduce.js';
import { checkOptions, rangeError, shapeError, showShape } from '../tensor/errors.js';
import { Tensor } from '../tensor/tensor.js';
import { type Batch, openBatches, type Target, type TrainData } from './batches.js';
import { checkModel, makeWay, type Model, setMode } from './model.js';

/** Returns a scalar tensor: the batch's mean loss. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- targets are what the data holds
export type Loss = (output: Tensor, target: any) => Tensor;

export interface EvaluateOptions {
  /** `crossEntropy` by default. */
  loss?: Loss;
  /** Each item of the data is one example, not a batch. */
  online?: boolean;
  /** Stops between two batches; the result covers what was seen. */
  signal?: AbortSignal;
  /** Sees every batch's output while it lives. */
  onBatch?: (output: Tensor, target: Target) => void;
}

export interface Evaluation {
  /** Mean over all samples. */
  loss: number;
  /** Fraction of samples whose largest output is at their label; NaN where targets are not class labels. */
  accuracy: number;
  samples: number;
}

/** Class labels as a flat list, or null if the targets are something else. */
function labelsOf(target: Target, output: Tensor): ArrayLike<number> | null {
  if (output.ndim < 2) return null;
  if (target instanceof Int32Array) return target;
  if (target instanceof Tensor)
    return target.ndim === output.ndim - 1 && target.storage.kind === 'int' ? target.storage.values() : null;
  const flat = Array.isArray(target) ? (target as unknown[]).flat(Infinity) : [];
  const classes = output.shape[1]!;
  const isLabel = (v: unknown): boolean => Number.isInteger(v) && (v as number) < classes;
  return flat.length * classes === output.size && flat.every(isLabel) ? (flat as number[]) : null;
}

/** How many outputs are largest at their label; NaN without labels. */
function countRight(output: Tensor, target: Target): number {
  const labels = labelsOf(target, output);
  if (!labels) return NaN;
  const guess = argmax(output, 1).storage.values();
  if (guess.length !== labels.length)
    throw shapeError('evaluate', `${labels.length} labels for an output of shape ${showShape(output.shape)}`);
  let right = 0;
  for (let k = 0; k < labels.length; k++) if (guess[k] === labels[k]) right++;
  return right / (labels.length || 1);
}

function score(
  model: Model,
  { x, y }: Batch,
  loss: Loss,
  onBatch: EvaluateOptions['onBatch'],
): [number, number] {
  return scope(() =>
    noGrad(() => {
      const output = model(x);
      onBatch?.(output, y);
      return [loss(output, y).item(), countRight(output, y)];
    }),
  );
}

/**
 * Mean loss and accuracy of a model over data. The model is in evaluation mode meanwhile and gets its mode back.
 * @throws RangeError if the data has no batch.
 * @example const { accuracy } = await train.evaluate(model, new data.DataLoader(test, { batchSize: 500 }));
 */
export async function evaluate(
  model: Model,
  data: TrainData,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  checkModel('evaluate', model);
  checkOptions('evaluate', options, ['loss', 'online', 'signal', 'onBatch']);
  const { loss = crossEntropy as Loss, online = false, signal, onBatch } = options;
  const way = makeWay();
  const batches = openBatches('evaluate', data, online);
  const training = model.training ?? true;
  let [total, right, samples] = [0, 0, 0];
  setMode(model, false);
  try {
    for (let batch = await batches.next(); batch; batch = await batches.next()) {
      const [value, share] = score(model, batch, loss, onBatch);
      total += value * batch.size;
      right += share * batch.size;
      samples += batch.size;
      await way();
      if (signal?.aborted) break;
    }
  } finally {
    setMode(model, training);
    await batches.close();
  }
  if (samples === 0) throw rangeError('evaluate', 'the data has no batch');
  return { loss: total / samples, accuracy: right / samples, samples };
}
