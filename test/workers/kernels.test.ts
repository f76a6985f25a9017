// The WASM engine's worker threads as a program meets them: they start when there is much to share, never for little, print
// nothing, and let the process end by itself.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';

const dist = new URL('../../dist/index.js', import.meta.url).href;

/** `much()` multiplies long enough for workers to start; `workers()` says how many there are. */
const PRELUDE = `
let started = 0;
process.on('worker', () => started++);
const { backend, matmul, nn, optim, trainStep, mseLoss, ones, randn, manualSeed, scope } = await import('${dist}');
manualSeed(3);
const workers = () => new Promise((resolve) => setImmediate(() => resolve(started)));
const [a, b] = [randn([512, 512]), randn([512, 512])];
const once = () => scope(() => matmul(a, b).sum().item());
const much = () => Array.from({ length: 60 }, once).at(-1);
`;

interface Ended {
  stdout: string;
  stderr: string;
  status: number | null;
}

function run(program: string, env: Record<string, string> = {}, flags: string[] = []): Ended {
  const args = [...flags, '--input-type=module', '-e', PRELUDE + program];
  return spawnSync(process.execPath, args, {
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, THALWEG_BACKEND: 'wasm', THALWEG_THREADS: '3', ...env },
  });
}

const SHOW = `console.log(JSON.stringify({ sum: much(), workers: await workers(), threads: backend.threads }));`;
const shown = (ended: Ended): { sum: number; workers: number; threads: number } => {
  expect([ended.stderr, ended.status]).toEqual(['', 0]);
  return JSON.parse(ended.stdout) as { sum: number; workers: number; threads: number };
};

it('is built', () => expect(existsSync(new URL(dist))).toBe(true));

it('workers start for much work, change no bit, print nothing, and the process ends by itself', () => {
  const alone = shown(run(SHOW, { THALWEG_THREADS: '1' }));
  expect(alone).toMatchObject({ workers: 0, threads: 1 });
  const together = shown(run(SHOW));
  expect(together.workers).toBeGreaterThan(0);
  expect(together).toMatchObject({ sum: alone.sum, threads: 3 });
});

it('a program of one large call starts none, nor does one that trains something small', () => {
  const program = `
once();
const model = new nn.Sequential(new nn.Linear(2, 8), new nn.Tanh(), new nn.Linear(8, 1));
const [x, y] = [randn([4, 2]), randn([4, 1])];
const step = trainStep(() => mseLoss(model.forward(x), y), new optim.Adam(model.parameters(), { lr: 0.05 }));
for (let k = 0; k < 500; k++) step();
console.log(await workers());`;
  expect(run(program)).toMatchObject({ stdout: '0\n', stderr: '', status: 0 });
});

it('where no worker may start, kernels run on one thread, with the same bits', () => {
  const current = process.allowedNodeEnvironmentFlags.has('--permission');
  const flags = [
    current ? '--permission' : '--experimental-permission',
    '--allow-fs-read=*',
    '--no-warnings',
  ];
  const refused = shown(run(SHOW, {}, flags));
  expect(refused).toMatchObject({ workers: 0, threads: 1 });
  expect(refused.sum).toBe(shown(run(SHOW)).sum);
});

it('a worker of the user has kernel workers of its own, and may be terminated while they work', async () => {
  const inWorker = `
import { parentPort } from 'node:worker_threads';
${PRELUDE}
parentPort.postMessage([much(), await workers()]);
for (;;) much();`;
  const { sum } = shown(run(SHOW));
  // Flags of the test runner are none of its business.
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(inWorker)}`), {
    env: { ...process.env, THALWEG_BACKEND: 'wasm', THALWEG_THREADS: '2' },
  });
  const [inner, workers] = await new Promise<[number, number]>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  expect(inner).toBe(sum);
  expect(workers).toBe(1);
  expect(await worker.terminate()).toBe(1);
});
