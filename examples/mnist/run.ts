// One training of the job: a fresh model from the same seed, the same batches, and the accuracy measured on the way.
import { data, manualSeed, optim, train, type Tensor } from 'thalweg';
import { MODELS } from './model.js';
import { earlyProbe, lateProbe, TEST_BATCH, type Plan } from './plan.js';
import type { Chosen, Setting } from './settings.js';

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
function collectMistakes(): { onBatch: (output: Tensor, target: unknown) => void; mistakes: Mistake[] } {
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
  latest: () => string;
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

/** The rate of each step; that of SWATS after its switch is the SGD rate that it found. */
function ratesOf(optimizer: optim.Optimizer, { lr }: train.History): number[] {
  if (!(optimizer instanceof optim.SWATS) || optimizer.switchStep === null) return lr;
  const { switchStep, switchedLr } = optimizer;
  return lr.map((rate, k) => (k < switchStep ? rate : switchedLr!));
}

/** The curves and numbers of a run as the report keeps them. */
function reportOf(
  setting: Setting,
  chosen: Chosen,
  optimizer: optim.Optimizer,
  history: train.History,
  { points, reached }: Probe,
  result: Pick<train.ReportRun['result'], 'accuracy' | 'loss' | 'seconds'>,
): train.ReportRun {
  const momenta = history.lr.map((_, step) => chosen.moves?.at(step).momentum);
  return {
    name: setting.name,
    settings: chosen.text,
    why: setting.why,
    loss: roundAll(history.loss),
    lr: roundAll(ratesOf(optimizer, history)) as number[],
    ...(momenta[0] === undefined ? {} : { momentum: roundAll(momenta as number[]) as number[] }),
    accuracy: points,
    result: {
      ...result,
      steps: history.steps,
      samplesPerSecond: history.samples / Math.max(history.seconds, 1e-9),
      stepsToTarget: reached,
      stopped: remark(optimizer, history),
    },
  };
}

/** Where a run shows how far it is. */
export interface Display {
  progress: train.Progress | null;
  label: string;
}

/** Trains with one setting; a signal ends it early and it still comes with what was done. */
export async function runSetting(
  plan: Plan,
  setting: Setting,
  { progress, label }: Display,
  signal: AbortSignal,
): Promise<Outcome> {
  const began = performance.now();
  manualSeed(plan.seed);
  const model = MODELS[plan.modelName].build();
  const chosen = setting.choose({ total: plan.updates, batch: plan.batch });
  const optimizer = chosen.optimizer(model);
  const { epochs, accumulate, seed, updates: totalSteps } = plan;
  const images = new data.DataLoader(plan.train, {
    batchSize: plan.piece,
    shuffle: true,
    seed,
    dropLast: true,
  });
  const test = new data.DataLoader(plan.test, { batchSize: TEST_BATCH });
  const probing = probe(plan, test);
  const line = progress && train.showProgress({ progress, label, totalSteps, extra: probing.latest });
  const callbacks = line ? [probing, line] : [probing];
  const history = await train.fit(model, images, { optimizer, epochs, accumulate, callbacks, signal });
  const { mistakes, onBatch } = collectMistakes();
  const { accuracy, loss, samples: tested } = await train.evaluate(model, test, { onBatch });
  if (history.steps > 0) probing.points.push({ step: history.steps, value: accuracy });
  if (accuracy >= TARGET) probing.reached ??= history.steps;
  const seconds = (performance.now() - began) / 1000;
  const result = { accuracy, loss, seconds };
  const run = reportOf(setting, chosen, optimizer, history, probing, result);
  return { run, mistakes, tested, stopped: history.stopped === 'signal' };
}
