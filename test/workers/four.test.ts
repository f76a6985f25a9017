// Four worker threads, each with a heap and an engine of its own, replay the same step at once to the bits of one alone; a worker that
// is terminated in the middle of native work does not take the process with it.
import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';

const dist = new URL('../../dist/index.js', import.meta.url);

const PROGRAM = `
import { parentPort, workerData } from 'node:worker_threads';
const { backend, nn, optim, trainStep, mseLoss, randn, manualSeed, matmul, scope } = await import(workerData.dist);
manualSeed(5);
if (workerData.engine) backend.use(workerData.engine);
if (workerData.forever) {
  const a = randn([512, 512]);
  parentPort.postMessage('busy');
  for (;;) scope(() => matmul(a, a));
}
const model = new nn.Sequential(new nn.Linear(32, 64), new nn.Tanh(), new nn.Linear(64, 1));
const [x, y] = [randn([128, 32]), randn([128, 1])];
const step = trainStep(() => mseLoss(model(x), y), new optim.Adam(model.parameters(), { lr: 0.01 }));
let loss = 0;
for (let k = 0; k < 50; k++) loss = step();
parentPort.postMessage([loss, step.replayed]);
`;

const start = (engine = '', forever = false): Worker =>
  new Worker(new URL(`data:text/javascript,${encodeURIComponent(PROGRAM)}`), {
    workerData: { dist: dist.href, engine, forever },
  });

const firstMessage = (worker: Worker): Promise<unknown> =>
  new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });

it.each(['', 'wasm'])('four workers at once replay to the bits of one alone, engine "%s"', async (engine) => {
  expect(existsSync(dist), 'dist/ is built by npm test').toBe(true);
  const alone = await firstMessage(start(engine));
  const together = await Promise.all([1, 2, 3, 4].map(() => firstMessage(start(engine))));
  expect(alone).toEqual([expect.any(Number), 48]);
  expect(together).toEqual([alone, alone, alone, alone]);
});

it('workers can be terminated while kernels run', async () => {
  const workers = [start('', true), start('', true)];
  await Promise.all(workers.map(firstMessage));
  expect(await Promise.all(workers.map((w) => w.terminate()))).toEqual([1, 1]);
});
