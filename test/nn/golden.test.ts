// Networks and training runs recorded from PyTorch in double precision: here in double on the reference engine, and in
// single on the engine in use.
import { describe, expect, it } from 'vitest';
import { backend, crossEntropy, nn, optim, schedule, type Tensor, zeros } from '../../src/index.js';
import { inDouble } from '../../src/kernels/launch.js';
import { decode, distance, readGolden, type Attrs, type Encoded } from '../support/golden.js';

type Tensors = Record<string, Encoded>;
interface Forward {
  name: string;
  model: string;
  attrs: Attrs;
  weights: Tensors;
  buffers?: Tensors;
  inputs: Tensors;
  target: Encoded;
  output: Encoded;
  extra: Tensors;
  loss: number;
  grads: Tensors;
  inputGrads: Tensors;
  buffersAfter?: Tensors;
  float32Error: Record<string, number>;
}
interface Training {
  name: string;
  model: 'MLP' | 'ConvNet' | 'TokenClassifier';
  attrs: Attrs;
  optimizer: 'SGD' | 'AdamW' | 'AMSGrad';
  variant: 'torch';
  options: Attrs;
  steps: number;
  schedule: { options: Attrs } | null;
  weights: Tensors;
  buffers?: Tensors;
  batches: { x: Encoded; labels: Encoded }[];
  losses: number[];
  finalWeights: Tensors;
  finalBuffers?: Tensors;
  float32Error: Record<string, number>;
}

class BasicBlock extends nn.Module<[Tensor]> {
  conv1: nn.Conv2d;
  bn1: nn.BatchNorm2d;
  conv2: nn.Conv2d;
  bn2: nn.BatchNorm2d;
  downsample: nn.Sequential | null = null;

  constructor({ inChannels, outChannels, stride }: Attrs) {
    super();
    this.conv1 = new nn.Conv2d(inChannels, outChannels, 3, { stride, padding: 1, bias: false });
    this.bn1 = new nn.BatchNorm2d(outChannels);
    this.conv2 = new nn.Conv2d(outChannels, outChannels, 3, { padding: 1, bias: false });
    this.bn2 = new nn.BatchNorm2d(outChannels);
    if (stride === 1 && inChannels === outChannels) return;
    const shortcut = new nn.Conv2d(inChannels, outChannels, 1, { stride, bias: false });
    this.downsample = new nn.Sequential(shortcut, new nn.BatchNorm2d(outChannels));
  }

  override forward(x: Tensor): Tensor {
    const y = this.bn2(this.conv2(this.bn1(this.conv1(x)).relu()));
    return y.add(this.downsample ? this.downsample(x) : x).relu();
  }
}

class MLP extends nn.Module<[Tensor]> {
  layers: nn.Linear[];

  constructor({ sizes }: Attrs) {
    super();
    const widths = sizes as number[];
    this.layers = widths.slice(1).map((out, k) => new nn.Linear(widths[k]!, out));
  }

  override forward(x: Tensor): Tensor {
    return this.layers.reduce((y, layer, k) => (k === 0 ? layer(y) : layer(y.tanh())), x);
  }
}

class ConvNet extends nn.Module<[Tensor]> {
  conv: nn.Conv2d;
  bn: nn.BatchNorm2d;
  fc: nn.Linear;

  constructor({ inChannels, channels, size, classes }: Attrs) {
    super();
    this.conv = new nn.Conv2d(inChannels, channels, 3, { padding: 1, bias: false });
    this.bn = new nn.BatchNorm2d(channels);
    this.fc = new nn.Linear(channels * (size / 2) ** 2, classes);
  }

  override forward(x: Tensor): Tensor {
    return this.fc(this.bn(this.conv(x)).relu().maxPool2d(2).flatten(1));
  }
}

class TokenClassifier extends nn.Module<[Tensor]> {
  positions: Tensor;
  embedding: nn.Embedding;
  encoder: nn.TransformerEncoderLayer;
  fc: nn.Linear;

  constructor({ vocab, length, dModel, classes, ...rest }: Attrs) {
    super();
    this.positions = nn.parameter(zeros([length, dModel]));
    this.embedding = new nn.Embedding(vocab, dModel);
    this.encoder = encoderOf({ dModel, ...rest });
    this.fc = new nn.Linear(dModel, classes);
  }

  override forward(ids: Tensor): Tensor {
    return this.fc(this.encoder(this.embedding(ids).add(this.positions)).mean(1));
  }
}

const encoderOf = ({ dModel, numHeads, dimFeedforward, normFirst }: Attrs): nn.TransformerEncoderLayer =>
  new nn.TransformerEncoderLayer(dModel, numHeads, {
    dimFeedforward,
    normFirst,
    dropout: 0,
    activation: 'gelu',
  });

type Inputs = Record<string, Tensor>;
/** A model, and its call: the output and further results by their names in the files. */
type Built = [model: nn.AnyModule, call: (inputs: Inputs) => [Tensor, Inputs]];

const builders: Record<string, (attrs: Attrs) => Built> = {
  BasicBlock: (attrs) => {
    const model = new BasicBlock(attrs);
    return [model, ({ x }) => [model(x!), {}]];
  },
  LSTM: ({ inputSize, hiddenSize, numLayers }) => {
    const model = new nn.LSTM(inputSize, hiddenSize, { numLayers });
    return [
      model,
      ({ x, h0, c0 }) => {
        const [y, [hn, cn]] = model(x!, [h0!, c0!]);
        return [y, { hn, cn }];
      },
    ];
  },
  GRU: ({ inputSize, hiddenSize, numLayers }) => {
    const model = new nn.GRU(inputSize, hiddenSize, { numLayers });
    return [
      model,
      ({ x, h0 }) => {
        const [y, hn] = model(x!, h0);
        return [y, { hn }];
      },
    ];
  },
  MultiheadAttention: ({ embedDim, numHeads }) => {
    const model = new nn.MultiheadAttention(embedDim, numHeads);
    return [
      model,
      ({ query, key, value, attnMask, keyPaddingMask }) => {
        const masks = { attnMask: attnMask ?? null, keyPaddingMask: keyPaddingMask ?? null };
        const [y, weights] = model(query!, key, value, { ...masks, needWeights: true });
        return [y, { attentionWeights: weights! }];
      },
    ];
  },
  TransformerEncoderLayer: (attrs) => {
    const model = encoderOf(attrs);
    return [model, ({ x, attnMask }) => [model(x!, { attnMask: attnMask ?? null }), {}]];
  },
};

const cases = readGolden<{ name: string; kind: string }>('networks.json');
const forwards = cases.filter((c) => c.kind === 'forward') as unknown as Forward[];
const runs = cases.filter((c) => c.kind === 'training') as unknown as Training[];

const decodeAll = (tensors: Tensors = {}): Record<string, Tensor> =>
  Object.fromEntries(Object.entries(tensors).map(([name, t]) => [name, decode(t)]));

/** Loads weights and buffers by PyTorch's names; only the batch counters are not in the files. */
function load(model: nn.Module, c: { weights: Tensors; buffers?: Tensors }): void {
  const report = model.loadStateDict(decodeAll({ ...c.weights, ...c.buffers }), { strict: false });
  expect(report.unexpected).toEqual([]);
  expect(report.missing.filter((name) => !name.endsWith('num_batches_tracked'))).toEqual([]);
}

function expectTensors(got: Record<string, Tensor | null>, want: Tensors = {}, tolerance: number): void {
  for (const [name, t] of Object.entries(want)) {
    const values = got[name]!.storage.values();
    expect(distance(values, t.data), `${name} within ${tolerance}`).toBeLessThanOrEqual(tolerance);
  }
}

function checkForward(c: Forward, tolerance: (field: string) => number): void {
  const [model, call] = builders[c.model]!(c.attrs);
  load(model, c);
  const inputs = decodeAll(c.inputs);
  for (const name of Object.keys(c.inputGrads)) inputs[name]!.requiresGrad = true;
  const [output, extra] = call(inputs);
  const loss = output.sub(decode(c.target)).square().mean();
  loss.backward();
  expectTensors(
    { ...extra, output, loss },
    { ...c.extra, output: c.output, loss: { shape: [], data: [c.loss] } },
    tolerance('output'),
  );
  const grads = Object.fromEntries([...model.namedParameters()].map(([name, p]) => [name, p.grad]));
  expectTensors(grads, c.grads, tolerance('grads'));
  const inputGrads = Object.fromEntries(Object.entries(inputs).map(([name, t]) => [name, t.grad]));
  expectTensors(inputGrads, c.inputGrads, tolerance('grads'));
  expectTensors(Object.fromEntries(model.namedBuffers()), c.buffersAfter, tolerance('output'));
}

function optimizerOf(c: Training, params: Iterable<Tensor>): optim.Optimizer {
  const { beta1, beta2, amsgrad, lr, ...rest } = c.options;
  const oneCycle = c.schedule && schedule.oneCycle(c.schedule.options as schedule.OneCycleOptions);
  const options = {
    ...rest,
    lr: oneCycle ?? (lr as number),
    ...(beta1 === undefined ? {} : { betas: [beta1, beta2] as const }),
    ...(c.optimizer === 'AdamW' ? { amsgrad } : {}),
    ...(c.optimizer === 'AdamW' ? {} : { variant: c.variant }),
  };
  return new optim[c.optimizer](params, options as object) as unknown as optim.Optimizer;
}

function checkTraining(c: Training, tolerance: (field: string) => number): void {
  const model = new { MLP, ConvNet, TokenClassifier }[c.model](c.attrs);
  load(model, c);
  const opt = optimizerOf(c, model.parameters());
  const losses: number[] = [];
  for (let step = 0; step < c.steps; step++) {
    const { x, labels } = c.batches[step % c.batches.length]!;
    const loss = crossEntropy(model(decode(x)), labels.data as number[]);
    losses.push(loss.item());
    opt.zeroGrad();
    loss.backward();
    opt.step();
  }
  expect(distance(losses, c.losses), 'losses').toBeLessThanOrEqual(tolerance('losses'));
  const state = model.stateDict();
  expectTensors(state, { ...c.finalWeights, ...c.finalBuffers }, tolerance('finalWeights'));
  if (c.finalBuffers) expect(state['bn.num_batches_tracked']!.item()).toBe(c.steps);
}

const single =
  (c: { float32Error: Record<string, number> }) =>
  (field: string): number =>
    Math.max(5e-6, 8 * c.float32Error[field]!);

describe(`networks recorded from PyTorch (${backend.name})`, () => {
  it('are all here', () => expect([forwards.length, runs.length]).toEqual([9, 6]));

  it.each(forwards)('$name: output, loss, gradients and statistics', (c) => {
    inDouble(() => checkForward(c, () => 1e-11));
    checkForward(c, single(c));
  });

  it.each(runs)('$name: losses, weights and statistics of every step', (c) => {
    inDouble(() => checkTraining(c, () => 1e-9));
    checkTraining(c, single(c));
  });
});
