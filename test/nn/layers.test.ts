// The layers: what they compute, what they refuse, what they start from, and how training differs from evaluation.
import { describe, expect, it } from 'vitest';
import {
  backend,
  conv1d,
  conv2d,
  manualSeed,
  nn,
  ones,
  randn,
  tensor,
  type Tensor,
  trainStep,
  optim,
} from '../../src/index.js';

const numbers = (t: Tensor): number[] => [...t.toFloat32Array()];
const close = (got: Tensor, want: Tensor): void =>
  numbers(got).forEach((v, k) => expect(v).toBeCloseTo(numbers(want)[k]!, 4));

describe(`layers (${backend.name})`, () => {
  const shapes: [name: string, layer: nn.Module, input: number[], output: number[]][] = [
    ['Linear', new nn.Linear(3, 5), [2, 4, 3], [2, 4, 5]],
    ['Conv1d', new nn.Conv1d(4, 6, 3, { stride: 2, padding: 1, groups: 2 }), [2, 4, 9], [2, 6, 5]],
    ['Conv2d', new nn.Conv2d(2, 4, [3, 1], { dilation: 2, groups: 2 }), [1, 2, 7, 5], [1, 4, 3, 5]],
    [
      'ConvTranspose2d',
      new nn.ConvTranspose2d(2, 3, 4, { stride: 2, padding: 1 }),
      [1, 2, 3, 4],
      [1, 3, 6, 8],
    ],
    ['BatchNorm1d', new nn.BatchNorm1d(3), [4, 3], [4, 3]],
    ['BatchNorm1d', new nn.BatchNorm1d(3), [4, 3, 5], [4, 3, 5]],
    ['BatchNorm2d', new nn.BatchNorm2d(3), [2, 3, 2, 2], [2, 3, 2, 2]],
    ['GroupNorm', new nn.GroupNorm(2, 4), [2, 4, 3], [2, 4, 3]],
    ['LayerNorm', new nn.LayerNorm([2, 3]), [4, 2, 3], [4, 2, 3]],
    ['MaxPool2d', new nn.MaxPool2d(2), [1, 2, 4, 6], [1, 2, 2, 3]],
    ['AvgPool2d', new nn.AvgPool2d(3, { stride: 2, padding: 1 }), [1, 1, 5, 5], [1, 1, 3, 3]],
    ['Dropout', new nn.Dropout(0.3), [3, 2], [3, 2]],
    ['Flatten', new nn.Flatten(), [2, 3, 4, 5], [2, 60]],
    ['Flatten', new nn.Flatten(0, 1), [2, 3, 4], [6, 4]],
    ['SiLU', new nn.SiLU(), [2], [2]],
  ];
  it.each(shapes)('%s gives its shape, and gradients to every parameter', (_name, layer, input, output) => {
    const y = layer(randn(input));
    expect(y.shape).toEqual(output);
    if ([...layer.parameters()].length === 0) return;
    y.square().sum().backward();
    for (const p of layer.parameters()) expect(p.grad!.shape).toEqual(p.shape);
  });

  it('activations are the ops of their names', () => {
    const x = randn([7]);
    close(new nn.ReLU()(x), x.relu());
    close(new nn.GELU()(x), x.gelu());
    close(new nn.GELU({ approximate: 'tanh' })(x), x.gelu({ approximate: 'tanh' }));
    close(new nn.SiLU()(x), x.silu());
    close(new nn.Tanh()(x), x.tanh());
    close(new nn.Sigmoid()(x), x.sigmoid());
  });

  it('convolutions pass their options on', () => {
    const x = randn([2, 4, 6, 6]);
    const options = { stride: 2, padding: 1, dilation: [1, 2], groups: 2 } as const;
    const conv = new nn.Conv2d(4, 4, 3, options);
    close(conv(x), conv2d(x, conv.weight, conv.bias, options));
    const line = new nn.Conv1d(6, 3, 2, { padding: 1, dilation: 2, groups: 3, bias: false });
    expect(line.weight.shape).toEqual([3, 2, 2]);
    expect(line.bias).toBe(null);
    const sequence = randn([2, 6, 7]);
    close(line(sequence), conv1d(sequence, line.weight, null, { padding: 1, dilation: 2, groups: 3 }));
  });

  it('Embedding gives rows, and no gradient to the padding row', () => {
    const table = new nn.Embedding(4, 2, { paddingIdx: 1 });
    expect(numbers(table([1]))).toEqual([0, 0]);
    for (const ids of [
      [
        [1, 3],
        [0, 1],
      ],
      tensor([
        [1, 3],
        [0, 1],
      ]),
    ]) {
      table.weight.grad = null;
      const y = table(ids);
      expect(y.shape).toEqual([2, 2, 2]);
      y.sum().backward();
      expect(table.weight.grad!.toArray()).toEqual([
        [1, 1],
        [0, 0],
        [0, 0],
        [1, 1],
      ]);
    }
    expect(table(new Int32Array([1, 2])).shape).toEqual([2, 2]);
    expect(() => table([4])).toThrow(/embedding: id 4 at position 0/);
  });
});

describe('layers refuse', () => {
  const x = ones([2, 3]);
  it.each<[call: () => unknown, message: RegExp]>([
    [() => new nn.Linear(4, 3)(x), /Linear\(4, 3\): expected an input \[\.\.\., 4\], got \[2, 3\]/],
    [
      () => new nn.Conv2d(1, 2, 3)(x),
      /Conv2d\(1, 2, 3\): expected an input \[batch, 1, height, width\], got \[2, 3\]/,
    ],
    [() => new nn.Conv1d(1, 2, 3)(x), /Conv1d\(1, 2, 3\): expected an input \[batch, 1, length\]/],
    [() => new nn.BatchNorm2d(3)(x), /BatchNorm2d\(3\): expected an input \[batch, 3, height, width\]/],
    [
      () => new nn.BatchNorm1d(2)(x),
      /BatchNorm1d\(2\): expected an input \[batch, 2\] or \[batch, 2, length\]/,
    ],
    [() => new nn.BatchNorm1d(3)(ones([1, 3])), /BatchNorm1d\(3\): .*more than one value per channel/],
    [() => new nn.GroupNorm(2, 4)(x), /GroupNorm\(2, 4\): expected an input \[batch, 4, \.\.\.\]/],
    [() => new nn.LayerNorm(4)(x), /LayerNorm\(\[4\]\): expected an input \[\.\.\., 4\]/],
    [() => new nn.MaxPool2d(2)(x), /MaxPool2d\(2\): expected an input \[batch, channels, height, width\]/],
    [() => new nn.AvgPool2d(2)(x), /AvgPool2d\(2\): expected an input/],
    [
      () => new nn.Flatten(1, 2)(x),
      /Flatten\(1, 2\): expected an input that has the dimensions 1 to 2, got \[2, 3\]/,
    ],
    [() => new nn.Linear(0, 3), /Linear: inFeatures must be an integer >= 1, got 0/],
    [
      () => new nn.Linear(3, 2, { bais: false } as never),
      /Linear: unknown option "bais"; did you mean "bias"/,
    ],
    [() => new nn.Linear(3, 2, false as never), /Linear: options must be an object, got false/],
    [
      () => new nn.Conv2d(1, 8, 5, { strides: 2 } as never),
      /Conv2d: unknown option "strides"; did you mean "stride"/,
    ],
    [
      () => new nn.Conv2d(3, 8, 5, { groups: 2 }),
      /Conv2d: groups must divide the channels, got 2 for 3 in and 8 out/,
    ],
    [
      () => new nn.Conv2d(1, 8, [5] as never),
      /Conv2d: kernelSize must be a whole number >= 1 or a pair of them, got \[5\]/,
    ],
    [() => new nn.Conv1d(1, 8, 5, { stride: 0 }), /Conv1d: stride must be an integer >= 1, got 0/],
    [
      () => new nn.BatchNorm2d(3, { momentum: 2 }),
      /BatchNorm2d: momentum must be a finite number >= 0 and <= 1, got 2/,
    ],
    [() => new nn.GroupNorm(3, 4), /GroupNorm: 3 groups do not divide 4 channels/],
    [() => new nn.LayerNorm([]), /LayerNorm: needs sizes >= 1/],
    [() => new nn.MaxPool2d(0), /MaxPool2d: kernelSize must be a whole number >= 1/],
    [() => new nn.Dropout(1.5), /Dropout: p must be a finite number >= 0 and <= 1, got 1.5/],
    [() => new nn.GELU({ approximate: 'exact' as never }), /GELU: approximate must be one of "none", "tanh"/],
    [
      () => new nn.Embedding(3, 2, { paddingIdx: 3 }),
      /Embedding: paddingIdx must be an integer >= 0 and < 3, got 3/,
    ],
  ])('%s', (call, message) => expect(call).toThrow(message));
});

describe('initial values', () => {
  const spread = (t: Tensor): { mean: number; std: number; max: number } => {
    const v = numbers(t);
    const mean = v.reduce((a, b) => a + b, 0) / v.length;
    const std = Math.sqrt(v.reduce((a, b) => a + (b - mean) ** 2, 0) / v.length);
    return { mean, std, max: Math.max(...v.map(Math.abs)) };
  };
  const expectUniform = (t: Tensor, bound: number): void => {
    const { mean, std, max } = spread(t);
    expect(max).toBeLessThanOrEqual(bound * (1 + 1e-6));
    expect(max).toBeGreaterThan(bound * 0.98);
    expect(Math.abs(mean)).toBeLessThan((4 * bound) / Math.sqrt(3 * t.size));
    expect(Math.abs(std - bound / Math.sqrt(3))).toBeLessThan((4 * bound) / Math.sqrt(t.size));
  };

  it('of Linear and convolutions are uniform on ±1/√fanIn, weight and bias', () => {
    manualSeed(5);
    const linear = new nn.Linear(100, 400);
    expectUniform(linear.weight, 0.1);
    expectUniform(linear.bias!, 0.1);
    const conv = new nn.Conv2d(16, 200, 5, { groups: 4 });
    expectUniform(conv.weight, 1 / Math.sqrt(4 * 25));
    expectUniform(conv.bias!, 1 / Math.sqrt(4 * 25));
    expectUniform(new nn.ConvTranspose2d(50, 64, 3).weight, 1 / Math.sqrt(64 * 9));
  });

  it('of embeddings are normal; of norms ones and zeros', () => {
    manualSeed(6);
    const { mean, std } = spread(new nn.Embedding(100, 50).weight);
    expect(Math.abs(mean)).toBeLessThan(0.06);
    expect(Math.abs(std - 1)).toBeLessThan(0.05);
    const bn = new nn.BatchNorm2d(2);
    expect([bn.weight!, bn.bias!, bn.running_mean!, bn.running_var!].map(numbers)).toEqual([
      [1, 1],
      [0, 0],
      [0, 0],
      [1, 1],
    ]);
    expect(bn.num_batches_tracked!.item()).toBe(0);
  });

  it('come from the seed', () => {
    const draw = (): number[] => (manualSeed(9), numbers(new nn.Linear(5, 5).weight));
    expect(draw()).toEqual(draw());
    expect(numbers(new nn.Linear(5, 5).weight)).not.toEqual(draw());
  });

  it('can be drawn anew, in place, by the formulas of their authors', () => {
    manualSeed(7);
    const w = nn.parameter(randn([300, 200]));
    expect(nn.init.uniform(w, -2, 3)).toBe(w);
    expect(spread(w).mean).toBeCloseTo(0.5, 1);
    expectUniform(nn.init.kaimingUniform(w), Math.sqrt(6 / 200));
    expectUniform(nn.init.kaimingUniform(w, { mode: 'fanOut', a: 1 }), Math.sqrt(3 / 300));
    expectUniform(nn.init.xavierUniform(w), Math.sqrt(6 / 500));
    expectUniform(nn.init.xavierUniform(w, nn.init.gain('tanh')), (5 / 3) * Math.sqrt(6 / 500));
    expect(spread(nn.init.kaimingNormal(w, { nonlinearity: 'relu' })).std).toBeCloseTo(0.1, 2);
    expect(spread(nn.init.xavierNormal(w)).std).toBeCloseTo(Math.sqrt(2 / 500), 3);
    expect(spread(nn.init.normal(w, 3, 0.5)).mean).toBeCloseTo(3, 1);
    expect(spread(nn.init.ones(w))).toEqual({ mean: 1, std: 0, max: 1 });
    expect(spread(nn.init.zeros(w)).max).toBe(0);
    expect(w.requiresGrad).toBe(true);
  });

  it('refuse what has no fan, and unknown options', () => {
    expect(() => nn.init.kaimingUniform(randn([3]))).toThrow(
      /init\.kaimingUniform: fan in and fan out need at least 2/,
    );
    expect(() => nn.init.kaimingNormal(randn([3, 3]), { mod: 1 } as never)).toThrow(/did you mean "mode"/);
    expect(() => nn.init.uniform(3 as never)).toThrow(/init\.uniform: expected a Tensor, got 3/);
    expect(() => nn.init.uniform(randn([2]), 1, 0)).toThrow(/high must be a finite number >= 1, got 0/);
  });
});

describe('training and evaluation', () => {
  it('dropout zeroes and scales in training, by the seed, and does nothing in evaluation', () => {
    const layer = new nn.Dropout(0.25);
    const x = ones([4000]);
    manualSeed(1);
    const y = numbers(layer(x));
    expect(new Set(y)).toEqual(new Set([0, Math.fround(4 / 3)]));
    expect(Math.abs(y.filter((v) => v === 0).length / 4000 - 0.25)).toBeLessThan(0.03);
    expect(numbers(layer(x))).not.toEqual(y);
    manualSeed(1);
    expect(numbers(layer(x))).toEqual(y);
    layer.eval();
    expect(numbers(layer(x))).toEqual(numbers(x));
  });

  it('batch norm uses and gathers statistics in training, and uses the gathered ones in evaluation', () => {
    const bn = new nn.BatchNorm1d(2, { momentum: 0.5 });
    const x = tensor([
      [1, 10],
      [3, 30],
    ]);
    close(
      bn(x),
      tensor([
        [-1, -1],
        [1, 1],
      ]),
    );
    // Running variance takes the unbiased estimate: 2 and 200.
    expect(numbers(bn.running_mean!)).toEqual([1, 10]);
    expect(numbers(bn.running_var!)).toEqual([1.5, 100.5]);
    expect(bn.num_batches_tracked!.item()).toBe(1);
    bn.eval();
    close(bn([[1, 10]]), tensor([[0, 0]]));
    expect([bn.num_batches_tracked!.item(), numbers(bn.running_mean!)]).toEqual([1, [1, 10]]);
    const plain = new nn.BatchNorm1d(2, { trackRunningStats: false, affine: false }).eval();
    close(
      plain(x),
      tensor([
        [-1, -1],
        [1, 1],
      ]),
    );
    expect(Object.keys(plain.stateDict())).toEqual([]);
  });

  it('a skipped step leaves the statistics and their count alone', () => {
    const bn = new nn.BatchNorm1d(1);
    const step = trainStep((x: Tensor) => bn(x).sum(), new optim.SGD(bn.parameters(), { lr: 0.1 }), {
      onNonFinite: 'skip',
    });
    step(tensor([[1], [NaN]]));
    expect([numbers(bn.running_mean!), bn.num_batches_tracked!.item()]).toEqual([[0], 0]);
    step(tensor([[1], [3]]));
    expect([bn.running_mean!.item().toFixed(4), bn.num_batches_tracked!.item()]).toEqual(['0.2000', 1]);
  });
});
