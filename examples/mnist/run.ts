// One training of the job: a fresh model from the same seed, the same batches, and the accuracy measured on the way.
import { data, manualSeed, optim, train, type Tensor } from 'thalweg';
import { MODELS } from './model.js';
import { PROBE_EVERY, type Plan } from './plan.js';
import type { Setting } from './settings.js';

/** The accuracy that the table counts steps to. */
export const TARGET = 0.97;
/** Images a forward pass tests at once. */
const TEST_BATCH = 500;
/** Updates between two looks at the accuracy before the target is reached; afterwards an eighth of the training. */
const EARLY = 25;

/** A test image that the model got wrong. */
export interface Mistake {
  index: number;
  predicted: number;
  confidence: number;
}

export interface Outcome {
  run: train.ReportRun;
  mistakes: Mistake[];
  tested: number;
  /** Whether the signal ended it. */
  stopped: boolean;
}

/** Every n-th sample of a dataset: MNIST's second half is easier than its first, so a prefix would not do. */
const everyNth = (set: data.MnistDataset, n: number): data.Dataset<[Tensor, Int32Array]> => ({
  length: Math.floor(set.length / n) || set.length,
  batch: (indices) => set.batch(set.length < n ? indices : indices.map((k) => k * n)),
});

/** Collects mistakes from outputs that come in the order of the images. */
function collectMistakes(): { onBatch(output: Tensor, target: unknown): void; mistakes: Mistake[] } {
  const mistakes: Mistake[] = [];
  let index = 0;
  return {
    mistakes,
    onBatch(output, target) {
      const [logits, labels, classes] = [output.toFloat32Array(), target as Int32Array, output.shape[1]!];
      for (let k = 0; k < labels.length; k++, index++) {
        const row = logits.subarray(k * classes, (k + 1) * classes);
        const largest = Math.max(...row);
        const predicted = row.indexOf(largest);
        if (predicted === labels[k]) continue;
        mistakes.push({
          index,
          predicted,
          confidence: 1 / row.reduce((sum, v) => sum + Math.exp(v - largest), 0),
        });
      }
    },
  };
}

/** Measures the accuracy as the training goes on. */
function probe(
  plan: Plan,
): train.Callback & { points: train.CurvePoint[]; reached: number | null; latest: () => string } {
  const loader = new data.DataLoader(everyNth(plan.test, PROBE_EVERY), { batchSize: TEST_BATCH });
  const late = Math.max(EARLY, Math.round(plan.updates / 8 / EARLY) * EARLY);
  const early = plan.mode === 'offline' ? 1 : plan.mode === 'online' ? 20 * EARLY : EARLY;
  const points: train.CurvePoint[] = [];
  const state = {
    points,
    reached: null as number | null,
    latest: () =>
      points.length > 0 ? `accuracy ${(points.at(-1)!.value * 100).toFixed(2)} %` : 'accuracy –',
    async onStep({ step }: train.StepEvent, { model }: train.Run) {
      if (step % (state.reached === null ? early : Math.max(early, late)) !== 0 || step === plan.updates)
        return;
      const { accuracy } = await train.evaluate(model, loader);
      points.push({ step, value: accuracy });
      if (accuracy >= TARGET) state.reached ??= step;
    },
  };
  return state;
}

const roundAll = (values: readonly number[]): (number | null)[] => values.map(train.roundForReport);

/** What there is to say about a run beside its numbers. */
function remark(optimizer: optim.Optimizer, history: train.History): string {
  const ended = history.stopped === 'epochs' ? '' : `Ended early: ${history.message}.`;
  if (!(optimizer instanceof optim.SWATS)) return ended;
  const { switchStep, switchedLr } = optimizer;
  const phase =
    switchStep === null
      ? 'Did not switch to SGD.'
      : `Switched to SGD after step ${switchStep}, at learning rate ${switchedLr!.toPrecision(3)}.`;
  return [phase, ended].filter(Boolean).join(' ');
}

/** Trains with one setting; a signal ends it early and it still comes with what was done. */
export async function runSetting(
  plan: Plan,
  setting: Setting,
  progress: train.Progress | null,
  label: string,
  signal: AbortSignal,
): Promise<Outcome> {
  manualSeed(plan.seed);
  const model = MODELS[plan.modelName].build();
  const chosen = setting.choose({ total: plan.updates, batch: plan.batch });
  const optimizer = chosen.optimizer(model);
  const loader = new data.DataLoader(plan.train, {
    batchSize: plan.piece,
    shuffle: true,
    seed: plan.seed,
    dropLast: true,
  });
  const probing = probe(plan);
  const began = performance.now();
  const callbacks: train.Callback[] = [probing];
  if (progress)
    callbacks.push(train.showProgress({ progress, label, totalSteps: plan.updates, extra: probing.latest }));
  const { epochs, accumulate } = plan;
  const history = await train.fit(model, loader, { optimizer, epochs, accumulate, callbacks, signal });
  const { mistakes, onBatch } = collectMistakes();
  const test = new data.DataLoader(plan.test, { batchSize: TEST_BATCH });
  const final = await train.evaluate(model, test, { onBatch });
  if (history.steps > 0) probing.points.push({ step: history.steps, value: final.accuracy });
  if (final.accuracy >= TARGET) probing.reached ??= history.steps;
  const momenta = history.lr.map((_, step) => chosen.moves?.at(step).momentum);
  return {
    run: {
      name: setting.name,
      settings: chosen.text,
      why: setting.why,
      loss: roundAll(history.loss),
      lr: roundAll(history.lr) as number[],
      ...(momenta[0] === undefined ? {} : { momentum: roundAll(momenta as number[]) as number[] }),
      accuracy: probing.points,
      result: {
        accuracy: final.accuracy,
        loss: final.loss,
        steps: history.steps,
        seconds: (performance.now() - began) / 1000,
        samplesPerSecond: history.samples / Math.max(history.seconds, 1e-9),
        stepsToTarget: probing.reached,
        stopped: remark(optimizer, history),
      },
    },
    mistakes,
    tested: final.samples,
    stopped: history.stopped === 'signal',
  };
}
