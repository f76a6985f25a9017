// Whole training steps: forward, backward and update, through `trainStep`, on data of MNIST's shape.
import { crossEntropy, manualSeed, nn, optim, randint, randn, trainStep, type Tensor } from 'thalweg';
import type { Prepared, Work } from './runner.js';

const OPTIMIZERS = {
  sgd: (params: Iterable<Tensor>) => new optim.SGD(params, { lr: 1e-3 }),
  momentum: (params: Iterable<Tensor>) => new optim.SGD(params, { lr: 1e-3, momentum: 0.9 }),
  adam: (params: Iterable<Tensor>) => new optim.Adam(params, { lr: 1e-3 }),
};

const tiny = (): nn.Sequential =>
  new nn.Sequential(new nn.Linear(16, 32), new nn.ReLU(), new nn.Linear(32, 10));

const mlp = (): nn.Sequential =>
  new nn.Sequential(
    new nn.Linear(784, 512),
    new nn.ReLU(),
    new nn.Linear(512, 256),
    new nn.ReLU(),
    new nn.Linear(256, 10),
  );

const cnn = (): nn.Sequential =>
  new nn.Sequential(
    new nn.Conv2d(1, 32, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Conv2d(32, 64, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Flatten(),
    new nn.Linear(64 * 49, 128),
    new nn.ReLU(),
    new nn.Linear(128, 10),
  );

interface Case {
  name: string;
  kind: string;
  optimizer: keyof typeof OPTIMIZERS;
  model: () => nn.Sequential;
  /** Shape of a batch. */
  shape: number[];
}

const CASES: readonly Case[] = [
  { name: 'tiny 16-32-10, batch 16, SGD', kind: 'tiny', optimizer: 'sgd', model: tiny, shape: [16, 16] },
  { name: 'tiny 16-32-10, batch 16, Adam', kind: 'tiny', optimizer: 'adam', model: tiny, shape: [16, 16] },
  {
    name: 'MLP 784-512-256-10, batch 128, Adam',
    kind: 'mlp',
    optimizer: 'adam',
    model: mlp,
    shape: [128, 784],
  },
  {
    name: 'CNN 32-64-fc128, batch 64, SGDM',
    kind: 'cnn',
    optimizer: 'momentum',
    model: cnn,
    shape: [64, 1, 28, 28],
  },
];

function prepare({ model, optimizer, shape }: Case): Prepared {
  manualSeed(0);
  const net = model();
  const step = trainStep(
    (x: Tensor, y: Int32Array) => crossEntropy(net.forward(x), y),
    OPTIMIZERS[optimizer](net.parameters()),
  );
  const x = randn(shape);
  const y = Int32Array.from(randint(0, 10, [shape[0]!]).toFloat32Array());
  // Steps that record, so that the ones that are timed are the usual ones.
  for (let k = 0; k < 3; k++) step(x, y);
  return { run: () => step(x, y) };
}

export const steps: readonly Work[] = CASES.map((one) => ({
  name: one.name,
  kind: one.kind,
  args: [one.optimizer],
  prepare: () => prepare(one),
}));
