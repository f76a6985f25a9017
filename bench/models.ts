// The models whose training steps are timed. The peers have the same ones, and each of them refuses to run a model
// whose parameters it does not count to be as many as stand here.
import {
  add,
  crossEntropy,
  manualSeed,
  narrow,
  nn,
  optim,
  randint,
  randn,
  relu,
  reshape,
  trainStep,
  type Tensor,
} from 'thalweg';

type Model = nn.Module<[never]>;

const mlp = (sizes: readonly number[]): Model =>
  new nn.Sequential(
    ...sizes.slice(1).flatMap((out, k) => {
      const layer = new nn.Linear(sizes[k]!, out);
      return k + 2 < sizes.length ? [layer, new nn.ReLU()] : [layer];
    }),
  );

const cnn = (): Model =>
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

const convolution = (from: number, to: number, size: number, stride: number): nn.Conv2d =>
  new nn.Conv2d(from, to, size, { stride, padding: (size - 1) / 2, bias: false });

/** Two convolutions of 3 × 3 with batch norm, and what goes past them: the input, or a convolution of 1 × 1. */
class Block extends nn.Module<[Tensor]> {
  readonly conv1: nn.Conv2d;
  readonly bn1: nn.BatchNorm2d;
  readonly conv2: nn.Conv2d;
  readonly bn2: nn.BatchNorm2d;
  readonly shortcut: nn.Sequential | null;

  constructor(from: number, to: number) {
    super();
    const stride = from === to ? 1 : 2;
    this.conv1 = convolution(from, to, 3, stride);
    this.bn1 = new nn.BatchNorm2d(to);
    this.conv2 = convolution(to, to, 3, 1);
    this.bn2 = new nn.BatchNorm2d(to);
    this.shortcut =
      from === to ? null : new nn.Sequential(convolution(from, to, 1, stride), new nn.BatchNorm2d(to));
  }

  override forward(x: Tensor): Tensor {
    const inner = relu(this.bn1(this.conv1(x)));
    return relu(add(this.bn2(this.conv2(inner)), this.shortcut ? this.shortcut(x) : x));
  }
}

/** ResNet-20 for images of 32 × 32 (He et al., "Deep residual learning for image recognition", 2016, section 4.2). */
const resnet20 = (): Model => {
  const widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64];
  const blocks = widths.slice(1).map((to, k) => new Block(widths[k]!, to));
  return new nn.Sequential(
    convolution(3, 16, 3, 1),
    new nn.BatchNorm2d(16),
    new nn.ReLU(),
    ...blocks,
    new nn.AvgPool2d(8),
    new nn.Flatten(),
    new nn.Linear(64, 10),
  );
};

/** A language model: ids [batch · length] to logits of the next id, with norms before the branches. */
class GPT extends nn.Module<[Int32Array]> {
  readonly tokens: nn.Embedding;
  readonly positions: nn.Embedding;
  readonly layers: nn.TransformerEncoderLayer[];
  readonly norm: nn.LayerNorm;
  readonly head: nn.Linear;
  private readonly order: Int32Array;

  constructor(
    private readonly width: number,
    heads: number,
    layers: number,
    private readonly context: number,
    vocabulary: number,
  ) {
    super();
    this.tokens = new nn.Embedding(vocabulary, width);
    this.positions = new nn.Embedding(context, width);
    const options = { dimFeedforward: 4 * width, dropout: 0, activation: 'gelu', normFirst: true } as const;
    this.layers = Array.from({ length: layers }, () => new nn.TransformerEncoderLayer(width, heads, options));
    this.norm = new nn.LayerNorm(width);
    this.head = new nn.Linear(width, vocabulary, { bias: false });
    this.order = Int32Array.from({ length: context }, (_, k) => k);
  }

  override forward(ids: Int32Array): Tensor {
    const words = reshape(this.tokens(ids), [-1, this.context, this.width]);
    const start = add(words, this.positions(this.order));
    const end = this.layers.reduce((x, layer) => layer(x, { isCausal: true }), start);
    return reshape(this.head(this.norm(end)), [ids.length, -1]);
  }
}

/** Two layers of an LSTM over [time, batch, features], and a dense layer on the last output. */
class Recurrent extends nn.Module<[Tensor]> {
  readonly lstm = new nn.LSTM(64, 128, { numLayers: 2 });
  readonly head = new nn.Linear(128, 10);

  override forward(x: Tensor): Tensor {
    const [outputs] = this.lstm(x);
    const [time, batch, width] = outputs.shape as [number, number, number];
    return this.head(reshape(narrow(outputs, 0, time - 1, 1), [batch, width]));
  }
}

const OPTIMIZERS = {
  sgd: (params: Iterable<Tensor>) => new optim.SGD(params, { lr: 1e-3 }),
  momentum: (params: Iterable<Tensor>) => new optim.SGD(params, { lr: 1e-3, momentum: 0.9 }),
  adam: (params: Iterable<Tensor>) => new optim.Adam(params, { lr: 1e-3 }),
};

export interface StepCase {
  name: string;
  kind: string;
  optimizer: keyof typeof OPTIMIZERS;
  parameters: number;
  model: () => Model;
  /** Inputs, and classes below `classes` to predict. */
  input: () => Tensor | Int32Array;
  targets: number;
  classes?: number;
}

const labels = (n: number, classes: number): Int32Array =>
  Int32Array.from(randint(0, classes, [n]).toFloat32Array());

const tiny = {
  kind: 'tiny',
  parameters: 874,
  model: () => mlp([16, 32, 10]),
  input: () => randn([16, 16]),
  targets: 16,
};

export const CASES: readonly StepCase[] = [
  { name: 'tiny 16-32-10, batch 16, SGD', optimizer: 'sgd', ...tiny },
  { name: 'tiny 16-32-10, batch 16, Adam', optimizer: 'adam', ...tiny },
  {
    name: 'MLP 784-512-256-10, batch 128, Adam',
    kind: 'mlp',
    optimizer: 'adam',
    parameters: 535_818,
    model: () => mlp([784, 512, 256, 10]),
    input: () => randn([128, 784]),
    targets: 128,
  },
  {
    name: 'deep MLP 20×64, batch 32, Adam',
    kind: 'deep',
    optimizer: 'adam',
    parameters: 83_850,
    model: () => mlp([...Array<number>(21).fill(64), 10]),
    input: () => randn([32, 64]),
    targets: 32,
  },
  {
    name: 'CNN 32-64-fc128, batch 64, SGDM',
    kind: 'cnn',
    optimizer: 'momentum',
    parameters: 421_642,
    model: cnn,
    input: () => randn([64, 1, 28, 28]),
    targets: 64,
  },
  {
    name: 'ResNet-20, batch 32, SGDM',
    kind: 'resnet20',
    optimizer: 'momentum',
    parameters: 272_474,
    model: resnet20,
    input: () => randn([32, 3, 32, 32]),
    targets: 32,
  },
  {
    name: 'GPT d128 h4 L2 s64 V1000, batch 16, Adam',
    kind: 'gpt',
    optimizer: 'adam',
    parameters: 660_992,
    model: () => new GPT(128, 4, 2, 64, 1000),
    input: () => labels(16 * 64, 1000),
    targets: 16 * 64,
    classes: 1000,
  },
  {
    name: 'LSTM 2×128, sequence 32, batch 32, Adam',
    kind: 'recurrent',
    optimizer: 'adam',
    parameters: 232_714,
    model: () => new Recurrent(),
    input: () => randn([32, 32, 64]),
    targets: 32,
  },
];

/** The case that a peer's question names. */
export function findCase(kind: string, optimizer: string): StepCase {
  const found = CASES.find((one) => one.kind === kind && one.optimizer === optimizer);
  if (found) return found;
  throw new Error(`no step ${kind} with ${optimizer}`);
}

/** A training step on a batch that stays the same. Returns its loss. */
export function makeStep({
  model,
  optimizer,
  parameters,
  input,
  targets,
  classes = 10,
}: StepCase): () => number {
  manualSeed(0);
  const net = model();
  const params = [...net.parameters()];
  const count = params.reduce((sum, { size }) => sum + size, 0);
  if (count !== parameters) throw new Error(`the model has ${count} parameters, not ${parameters}`);
  const step = trainStep(
    (x: Tensor | Int32Array, y: Int32Array) => crossEntropy(net.forward(x as never), y),
    OPTIMIZERS[optimizer](params),
  );
  const [x, y] = [input(), labels(targets, classes)];
  return () => step(x, y);
}
