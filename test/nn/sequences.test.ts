// Layers over sequences, beyond what the recorded networks cover: directions, layouts, masks, decoders, refusals.
import { describe, expect, it } from 'vitest';
import { backend, concat, flip, manualSeed, nn, ones, randn, type Tensor, zeros } from '../../src/index.js';

function close(got: Tensor, want: Tensor): void {
  expect(got.shape).toEqual(want.shape);
  const values = want.toFloat32Array();
  got.toFloat32Array().forEach((v, k) => expect(v).toBeCloseTo(values[k]!, 4));
}

describe(`recurrent layers (${backend.name})`, () => {
  it('run both ways as two layers, one of them over the reversed sequence', () => {
    const both = new nn.GRU(3, 4, { bidirectional: true });
    expect([...both.namedParameters()].map(([name]) => name).slice(4)).toEqual([
      'weight_ih_l0_reverse',
      'weight_hh_l0_reverse',
      'bias_ih_l0_reverse',
      'bias_hh_l0_reverse',
    ]);
    const [ahead, back] = [new nn.GRU(3, 4), new nn.GRU(3, 4)];
    const state = both.stateDict();
    const part = (reverse: boolean): Record<string, Tensor> =>
      Object.fromEntries(
        Object.entries(state)
          .filter(([name]) => name.endsWith('_reverse') === reverse)
          .map(([name, t]) => [name.replace('_reverse', ''), t]),
      );
    ahead.loadStateDict(part(false));
    back.loadStateDict(part(true));
    const x = randn([5, 2, 3]);
    const [y, h] = both(x);
    const [a, ha] = ahead(x);
    const [b, hb] = back(flip(x, [0]));
    close(y, concat([a, flip(b, [0])], 2));
    close(h, concat([ha, hb], 0));
  });

  it('take the batch first on request, and start from zeros', () => {
    const lstm = new nn.LSTM(3, 4, { numLayers: 2, bias: false });
    const first = new nn.LSTM(3, 4, { numLayers: 2, bias: false, batchFirst: true });
    first.loadStateDict(lstm.stateDict());
    const x = randn([5, 2, 3]);
    const [y, [h, c]] = lstm(x, [zeros([2, 2, 4]), zeros([2, 2, 4])]);
    const [yf, [hf, cf]] = first(x.transpose(0, 1));
    close(yf.transpose(0, 1), y);
    close(hf, h);
    close(cf, c);
    expect(Object.keys(lstm.stateDict()).length).toBe(4);
  });

  it('start within ±1/√hiddenSize, and drop between layers in training only', () => {
    manualSeed(2);
    const gru = new nn.GRU(8, 25, { numLayers: 2, dropout: 0.5 });
    for (const p of gru.parameters())
      expect(Math.max(...p.toFloat32Array().map(Math.abs))).toBeLessThanOrEqual(0.2);
    const x = randn([3, 2, 8]);
    expect(gru(x)[0].toArray()).not.toEqual(gru(x)[0].toArray());
    gru.eval();
    expect(gru(x)[0].toArray()).toEqual(gru(x)[0].toArray());
  });
});

describe('attention', () => {
  it('looks no further than the mask allows, however the mask is written', () => {
    const attention = new nn.MultiheadAttention(4, 2);
    const x = randn([1, 3, 4]);
    const [causal, weights] = attention(x, x, x, { isCausal: true, needWeights: true });
    const mask = [
      [false, true, true],
      [false, false, true],
      [false, false, false],
    ];
    close(attention(x, x, x, { attnMask: mask })[0], causal);
    close(attention(x, x.mul(1), x.mul(1), { attnMask: mask.map((r) => r.map(Number)) })[0], causal);
    expect(weights!.tril().toArray()).toEqual(weights!.toArray());
    close(weights!.sum(-1), ones([1, 3]));
    expect(attention(x)[1]).toBe(null);
  });

  it('drops weights in training only', () => {
    const attention = new nn.MultiheadAttention(4, 2, { dropout: 0.5, bias: false });
    const x = randn([2, 6, 4]);
    expect(attention(x)[0].toArray()).not.toEqual(attention(x)[0].toArray());
    attention.eval();
    expect(attention(x)[0].toArray()).toEqual(attention(x)[0].toArray());
    expect([...attention.namedParameters()].map(([name]) => name)).toEqual([
      'in_proj_weight',
      'out_proj.weight',
    ]);
  });
});

describe('transformer layers', () => {
  it.each([true, false])('decode as the sum of their branches, normFirst %s', (normFirst) => {
    const layer = new nn.TransformerDecoderLayer(4, 2, { dimFeedforward: 8, dropout: 0, normFirst });
    const [x, memory] = [randn([2, 3, 4]), randn([2, 5, 4])];
    const padding = [
      [0, 0, 0, 1, 1],
      [0, 0, 0, 0, 0],
    ];
    const branches: [nn.LayerNorm, (t: Tensor) => Tensor][] = [
      [layer.norm1, (t) => layer.self_attn(t, t, t, { isCausal: true })[0]],
      [layer.norm2, (t) => layer.multihead_attn(t, memory, memory, { keyPaddingMask: padding })[0]],
      [layer.norm3, (t) => layer.linear2(layer.linear1(t).relu())],
    ];
    const want = branches.reduce(
      (t, [norm, branch]) => (normFirst ? t.add(branch(norm(t))) : norm(t.add(branch(t)))),
      x,
    );
    const y = layer(x, memory, { isCausal: true, memoryKeyPaddingMask: padding });
    close(y, want);
    y.square().mean().backward();
    for (const p of layer.parameters()) expect(p.grad).not.toBe(null);
  });

  it('show their options', () => {
    const layer = new nn.TransformerEncoderLayer(8, 2, { dimFeedforward: 16, activation: 'gelu' });
    expect(String(layer)).toContain(
      'TransformerEncoderLayer(8, 2, { dimFeedforward: 16, activation: "gelu" }\n  (self_attn): MultiheadAttention(8, 2, { dropout: 0.1 }',
    );
    expect(layer(randn([1, 2, 8])).toArray()).not.toEqual(layer(randn([1, 2, 8])).toArray());
  });
});

describe('layers over sequences refuse', () => {
  const x = ones([2, 3, 4]);
  const attention = new nn.MultiheadAttention(4, 2);
  it.each<[call: () => unknown, message: RegExp]>([
    [() => new nn.LSTM(3, 4)(x), /LSTM\(3, 4\): expected an input \[time, batch, 3\], got \[2, 3, 4\]/],
    [() => new nn.LSTM(4, 4)(x, x as never), /LSTM\(4, 4\): the state must be a pair \[h, c\], got a Tensor/],
    [() => new nn.GRU(4, 5)(x, x), /GRU\(4, 5\): the state has shape \[2, 3, 4\], expected \[1, 3, 5\]/],
    [() => new nn.GRU(4, 5, { layers: 2 } as never), /GRU: unknown option "layers"/],
    [() => new nn.MultiheadAttention(5, 2), /MultiheadAttention: numHeads must divide embedDim, got 2 and 5/],
    [() => attention(ones([2, 4])), /MultiheadAttention\(4, 2\): expected an input \[batch, length, 4\]/],
    [
      () => attention(x, ones([1, 3, 4])),
      /query \[2, 3, 4\], key \[1, 3, 4\] and value \[1, 3, 4\] do not fit/,
    ],
    [
      () => attention(x, x, x, { attnMask: [[1, 0]] }),
      /attnMask has shape \[1, 2\], expected \[3, 3\] or \[2, 2, 3, 3\]/,
    ],
    [
      () => attention(x, x, x, { keyPaddingMask: [[1, 0, 0]] }),
      /keyPaddingMask has shape \[1, 3\], expected \[2, 3\]/,
    ],
    [() => attention(x, x, x, { mask: [] } as never), /MultiheadAttention\(4, 2\): unknown option "mask"/],
    [
      () => new nn.TransformerEncoderLayer(4, 2, { activation: 'silu' as never }),
      /TransformerEncoderLayer: activation must be one of "relu", "gelu", got "silu"/,
    ],
  ])('%s', (call, message) => expect(call).toThrow(message));
});
