// Groups by parameter name, for weight decay.
import { describe, expect, it } from 'vitest';
import { tensor, type Tensor } from '../../src/index.js';
import { AdamW, paramGroups, type HasParameters } from '../../src/optim/index.js';

const model: HasParameters = {
  namedParameters: () => {
    const make = (...shape: number[]): Tensor =>
      tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), { shape, requiresGrad: true });
    return [
      ['embedding.weight', make(5, 2)],
      ['fc.weight', make(3, 2)],
      ['fc.bias', make(3)],
      ['norm.weight', make(3)],
      ['attention.bias', make(2, 2)],
      ['scale', make()],
    ] as [string, Tensor][];
  },
};

const names = (options: object): (string[] | number | undefined)[][] =>
  paramGroups(model, options).map(({ params, weightDecay }) => [params.map(([name]) => name), weightDecay]);

describe('paramGroups', () => {
  const auto = [
    [['embedding.weight', 'fc.weight'], undefined],
    [['fc.bias', 'norm.weight', 'attention.bias', 'scale'], 0],
  ];
  it('spares biases and everything of one dimension by itself', () => {
    expect(names({ noDecay: 'auto' })).toEqual(auto);
    expect(names({})).toEqual(auto);
  });

  it('goes by patterns: parts of names, or regular expressions', () => {
    expect(names({ noDecay: ['bias', /^emb/g] })[1]).toEqual([
      ['embedding.weight', 'fc.bias', 'attention.bias'],
      0,
    ]);
    expect(names({ noDecay: ['fc'] })[1]).toEqual([['fc.weight', 'fc.bias'], 0]);
    expect(names({ noDecay: ['fc.weight'] })[1]).toEqual([['fc.weight'], 0]);
  });

  it('has no empty groups', () => {
    expect(names({ noDecay: [] })).toHaveLength(1);
    expect(names({ noDecay: [/./] })).toEqual([[expect.any(Array), 0]]);
  });

  it('makes groups that an optimizer takes', () => {
    const opt = new AdamW(paramGroups(model), { weightDecay: 0.1 });
    expect(opt.groups.map(({ weightDecay }) => weightDecay)).toEqual([0.1, 0]);
    expect(opt.groups[1]!.names).toContain('fc.bias');
  });

  it('refuses what it cannot use', () => {
    expect(() => names({ noDecay: ['bais'] })).toThrow(/no parameter matches bais; did you mean "bias"\?/);
    expect(() => names({ noDecay: [/xyz/] })).toThrow(/no parameter matches \/xyz\//);
    expect(() => names({ noDecay: 'all' })).toThrow(/must be "auto" or an array of patterns, got "all"/);
    expect(() => names({ nodecay: 'auto' })).toThrow(/did you mean "noDecay"/);
    expect(() => paramGroups([] as never)).toThrow(/expected a model with namedParameters\(\)/);
  });
});
