// One training of the job: a fresh model from the same seed, the same batches, and the accuracy measured on the way.
import { data, manualSeed, optim, train, type Tensor } from 'thalweg';
import { MODELS } from './model.js';
import { earlyProbe, lateProbe, TEST_BATCH, type Plan } from './plan.js';
import type { Setting } from './settings.js';

/** The accuracy that the table counts steps to. */
export const TARGET = 0.97;

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

/** The test accuracy as the training goes on, and the first step at which it reached the target. */
interface Probe extends train.Callback {
  points: train.CurvePoint[];
  reached: number | null;
  latest(): string;
}

function probe(plan: Plan, test: data.DataLoader<[Tensor, Int32Array]>): Probe {
  const [early, late] = [earlyProbe(plan), lateProbe(plan)];
  const points: train.CurvePoint[] = [];
  const state: Probe = {
    points,
    reached: null,
    latest: () => `accuracy ${points.length > 0 ? `${(points.at(-1)!.value * 100).toFixed(2)} %` : '–'}`,
    async onStep({ step }, { model }) {
      if (step % (state.reached === null ? early : late) !== 0 || step === plan.updates) return;
      const { accuracy } = await train.evaluate(model, test);
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
  const test = new data.DataLoader(plan.test, { batchSize: TEST_BATCH });
  const probing = probe(plan, test);
  const began = performance.now();
  const callbacks: train.Callback[] = [probing];
  if (progress)
    callbacks.push(train.showProgress({ progress, label, totalSteps: plan.updates, extra: probing.latest }));
  const { epochs, accumulate } = plan;
  const history = await train.fit(model, loader, { optimizer, epochs, accumulate, callbacks, signal });
  const { mistakes, onBatch } = collectMistakes();
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
