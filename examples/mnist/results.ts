// What the job leaves: a table for the terminal, the report as JSON and as a page.
import { mkdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { backend, train } from 'thalweg';
import { MODELS, parameterCount } from './model.js';
import type { Plan } from './plan.js';
import { TARGET, type Outcome } from './run.js';

/** Mistakes that the report shows at most: those the model was surest of. */
const PICTURES = 120;

const percent = (x: number | null): string => (x === null ? '–' : `${(x * 100).toFixed(2)} %`);

/** The results as aligned text. */
export function table(outcomes: readonly Outcome[]): string {
  const rows = outcomes.map(({ run: { name, result } }) => [
    name,
    percent(result.accuracy),
    train.showDuration(result.seconds),
    result.stepsToTarget === null ? '–' : train.showCount(result.stepsToTarget),
    train.showCount(result.steps),
    train.showCount(result.samplesPerSecond),
  ]);
  const all = [
    ['optimizer', 'test accuracy', 'time', `steps to ${TARGET * 100} %`, 'steps', 'samples/s'],
    ...rows,
  ];
  const widths = all[0]!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  return all
    .map((row) =>
      row.map((cell, k) => (k === 0 ? cell.padEnd(widths[k]!) : cell.padStart(widths[k]!))).join('   '),
    )
    .join('\n');
}

/** A test image as bytes, 255 for ink: the inverse of what `data.mnist` does to pixels. */
function bytesOf(plan: Plan, index: number): string {
  const [image] = plan.test.batch(Int32Array.of(index));
  const bytes = image.toFloat32Array().map((v) => Math.round((v * 0.3081 + 0.1307) * 255));
  return Buffer.from(Uint8Array.from(bytes)).toString('base64');
}

function mistakesOf(plan: Plan, best: Outcome): train.ReportMistakes {
  const shown = [...best.mistakes].sort((a, b) => b.confidence - a.confidence).slice(0, PICTURES);
  return {
    run: best.run.name,
    wrong: best.mistakes.length,
    of: best.tested,
    width: 28,
    height: 28,
    items: shown.map(({ index, predicted, confidence }) => ({
      pixels: bytesOf(plan, index),
      truth: String(plan.test.batch(Int32Array.of(index))[1][0]),
      predicted: String(predicted),
      confidence: Number(confidence.toFixed(4)),
    })),
  };
}

const WORDS = [
  '',
  'One optimizer',
  'Two',
  'Three',
  'Four',
  'Five',
  'Six',
  'Seven',
  'Eight',
  'Nine',
  'Ten',
  'Eleven',
];

function facts(plan: Plan, args: readonly string[]): [string, string][] {
  const info = backend.info();
  const model = MODELS[plan.modelName];
  const order = {
    'mini-batch': `batches of ${plan.batch}`,
    online: 'one image at a time',
    offline: `the full batch of ${train.showCount(plan.batch)}, in ${plan.accumulate} pieces`,
  };
  return [
    [
      'Data',
      `MNIST: ${train.showCount(plan.train.length)} training images, ${train.showCount(plan.test.length)} test images; pixels less 0.1307, divided by 0.3081`,
    ],
    ['Model', `${model.text}: ${train.showCount(parameterCount(model.build()))} parameters`],
    [
      'Training',
      `${order[plan.mode]}, ${plan.epochs} ${plan.epochs === 1 ? 'epoch' : 'epochs'}; every run starts from the same weights and sees the same order (seed ${plan.seed})`,
    ],
    ['Engine', `${info.name}, ${info.isa}, ${info.threads} ${info.threads === 1 ? 'thread' : 'threads'}`],
    [
      'Machine',
      `${os.cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${os.availableParallelism()} cores, ${(os.totalmem() / 2 ** 30).toFixed(0)} GiB, ${process.platform} ${process.arch}, Node ${process.version}`,
    ],
    ['Command', ['npm start', ...(args.length > 0 ? ['--', ...args] : [])].join(' ')],
  ];
}

/** The report of what was done. */
export function makeReport(
  plan: Plan,
  outcomes: readonly Outcome[],
  seconds: number,
  args: readonly string[],
): train.Report {
  const count = outcomes.length;
  const best = [...outcomes].sort((a, b) => (b.run.result.accuracy ?? 0) - (a.run.result.accuracy ?? 0))[0];
  const ways = {
    'mini-batch': `${plan.epochs} ${plan.epochs === 1 ? 'epoch' : 'epochs'} in batches of ${plan.batch}`,
    online: 'one image at a time',
    offline: 'all images at once',
  };
  const missing = plan.settings.length - count;
  return {
    format: 'thalweg-report',
    version: 1,
    title: count === 1 ? `${outcomes[0]!.run.name} on MNIST` : `${WORDS[count] ?? count} optimizers on MNIST`,
    lead:
      `The same small ${plan.modelName === 'cnn' ? 'convolutional network' : 'perceptron'}, the same weights at the start, the same images in the same order: ` +
      `${train.showCount(plan.train.length)} training images, ${ways[plan.mode]}.` +
      (missing > 0 || outcomes.some((o) => o.stopped)
        ? ' The job was ended early; this is what was done.'
        : ''),
    created: new Date().toISOString(),
    target: TARGET,
    seconds,
    facts: facts(plan, args),
    runs: outcomes.map((o) => o.run),
    mistakes: best ? mistakesOf(plan, best) : null,
  };
}

/** Writes `mnist.json` and `mnist.html`; returns the page's path. */
export function saveReport(report: train.Report, folder: string): string {
  mkdirSync(folder, { recursive: true });
  const page = path.join(folder, 'mnist.html');
  writeFileSync(path.join(folder, 'mnist.json'), JSON.stringify(report));
  writeFileSync(page, train.renderReport(report));
  return page;
}
