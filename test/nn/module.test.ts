// Module: a callable object whose fields are its parameters, buffers and children; state dicts; switches.
import { describe, expect, it } from 'vitest';
import { backend, manualSeed, nn, randn, scope, tensor, type Tensor } from '../../src/index.js';

class Block extends nn.Module<[Tensor]> {
  lin = new nn.Linear(3, 3);
  gain = nn.parameter([1, 1, 1]);
  seen = nn.buffer([0]);
  override forward(x: Tensor): Tensor {
    return this.lin(x).mul(this.gain);
  }
}

class Net extends nn.Module {
  override name = 'net';
  override length = 2;
  blocks = [new Block(), new Block()];
  head = new nn.Linear(3, 2, { bias: false });
  note = tensor([1, 2]);
  override forward(x: Tensor): Tensor {
    return this.head(this.blocks.reduce((y, block) => block(y), x));
  }
}

const names = (entries: Iterable<[string, unknown]>): string[] => [...entries].map(([name]) => name);
const x = tensor([[1, -2, 3]]);

describe(`Module (${backend.name})`, () => {
  it('is a function, an instance of its classes, and has fields called name and length', () => {
    const net = new Net();
    expect(typeof net).toBe('function');
    expect(net).toBeInstanceOf(Net);
    expect(net).toBeInstanceOf(nn.Module);
    expect(net).not.toBeInstanceOf(Block);
    expect([net.name, net.length, net.constructor.name]).toEqual(['net', 2, 'Net']);
    expect(net(x).toArray()).toEqual(net.forward(x).toArray());
    expect([x, x].map(net.head).length).toBe(2);
  });

  it('finds parameters, buffers and children in fields and in arrays in fields, under their names', () => {
    const net = new Net();
    const block = (k: number): string[] => [
      `blocks.${k}.gain`,
      `blocks.${k}.lin.weight`,
      `blocks.${k}.lin.bias`,
    ];
    expect(names(net.namedParameters()).sort()).toEqual([...block(0), ...block(1), 'head.weight'].sort());
    expect(names(net.namedBuffers())).toEqual(['blocks.0.seen', 'blocks.1.seen']);
    expect(names(net.namedChildren())).toEqual(['blocks.0', 'blocks.1', 'head']);
    expect(names(net.namedModules())).toEqual([
      '',
      'blocks.0',
      'blocks.0.lin',
      'blocks.1',
      'blocks.1.lin',
      'head',
    ]);
    expect([...net.parameters()].length).toBe(7);
    expect([...net.buffers()].length).toBe(2);
  });

  it('takes a leaf that requires gradients for a parameter, and still does when it is frozen', () => {
    class Raw extends nn.Module {
      w = tensor([1, 2], { requiresGrad: true });
      computed = this.w.mul(2);
    }
    const raw = new Raw();
    expect(names(raw.namedParameters())).toEqual(['w']);
    raw.requiresGrad_(false);
    expect(raw.w.requiresGrad).toBe(false);
    expect(names(raw.namedParameters())).toEqual(['w']);
    expect(raw.requiresGrad_().w.requiresGrad).toBe(true);
  });

  it('lists a shared parameter once, saves it under each name, and survives modules that hold each other', () => {
    class Tied extends nn.Module {
      a = new nn.Linear(2, 2, { bias: false });
      b = new nn.Linear(2, 2, { bias: false });
      owner: nn.Module | null = null;
    }
    const tied = new Tied();
    tied.b.weight = tied.a.weight;
    tied.owner = tied;
    expect(names(tied.namedParameters())).toEqual(['a.weight']);
    expect(Object.keys(tied.stateDict())).toEqual(['a.weight', 'b.weight']);
    expect([...tied.modules()].length).toBe(3);
    expect(String(tied)).toContain('(owner): …');
  });

  it('switches training and evaluation for all modules below', () => {
    const net = new Net();
    expect([...net.modules()].every((m) => m.training)).toBe(true);
    expect(net.eval()).toBe(net);
    expect([...net.modules()].some((m) => m.training)).toBe(false);
    net.train();
    expect([...net.modules()].every((m) => m.training)).toBe(true);
    expect(() => net.train(1 as never)).toThrow(/train: mode must be a boolean, got 1/);
  });

  it('summarises itself as a tree of constructor calls', () => {
    const model = new nn.Sequential(
      new nn.Conv2d(1, 8, 5, { stride: 2, padding: [2, 1], bias: false }),
      new nn.BatchNorm2d(8, { momentum: 0.2 }),
      new nn.MaxPool2d(2, { stride: 1 }),
      new nn.GELU({ approximate: 'tanh' }),
      new nn.Dropout(0.1),
      new nn.Flatten(),
      new nn.LayerNorm(8),
    );
    expect(String(model)).toBe(
      [
        'Sequential(',
        '  (0): Conv2d(1, 8, 5, { stride: 2, padding: [2, 1], bias: false })',
        '  (1): BatchNorm2d(8, { momentum: 0.2 })',
        '  (2): MaxPool2d(2, { stride: 1 })',
        '  (3): GELU({ approximate: "tanh" })',
        '  (4): Dropout(0.1)',
        '  (5): Flatten()',
        '  (6): LayerNorm([8])',
        '): 232 parameters',
      ].join('\n'),
    );
  });

  it('built inside a scope lives on after it, and still trains', () => {
    let net: Net | undefined;
    scope(() => {
      net = new Net();
      net(x);
    });
    scope(() => randn([100_000]));
    net!(x).sum().backward();
    expect([...net!.parameters()].every((p) => p.grad !== null && p.storage.scope === null)).toBe(true);
  });

  it('says so when there is no forward', () => {
    class Empty extends nn.Module {}
    expect(() => new Empty()(1)).toThrow(/Empty\(\): has no forward method/);
  });
});

describe('state dicts', () => {
  it('go round: the values arrive, and the dict holds copies', () => {
    manualSeed(3);
    const [a, b] = [new Net(), new Net()];
    expect(a(x).toArray()).not.toEqual(b(x).toArray());
    const dict = a.stateDict();
    expect(b.loadStateDict(dict)).toEqual({ missing: [], unexpected: [] });
    expect(b(x).toArray()).toEqual(a(x).toArray());
    dict['head.weight']!.storage.values().fill(0);
    expect(b.head.weight.toArray()).toEqual(a.head.weight.toArray());
    expect(Object.values(dict).some((t) => t.requiresGrad)).toBe(false);
  });

  it('load into parameters that a graph read, and a backward pass then refuses the old graph', () => {
    const net = new nn.Linear(2, 1);
    const loss = net([[1, 2]])
      .square()
      .sum();
    net.loadStateDict(net.stateDict());
    expect(() => loss.backward()).toThrow(/changed in place/);
  });

  it('that do not fit are refused with names and both shapes, and change nothing', () => {
    const net = new Net();
    const before = net.stateDict();
    const { 'head.weight': head, ...rest } = new Net().stateDict();
    const cases: [dict: Record<string, Tensor>, message: RegExp][] = [
      [rest, /Net\.loadStateDict: missing "head\.weight"; pass \{ strict: false \}/],
      [
        { ...rest, 'head.wieght': head! },
        /missing "head\.weight"; unexpected "head\.wieght"; is .* meant to be/,
      ],
      [{ ...rest, 'head.weight': head!, extra: head! }, /unexpected "extra"/],
      [
        { ...rest, 'head.weight': tensor([[1, 2]]) },
        /"head\.weight" has shape \[2, 3\] here and \[1, 2\] in the dict/,
      ],
      [[] as never, /expected an object of tensors by name, got an array of length 0/],
    ];
    for (const [dict, message] of cases) expect(() => net.loadStateDict(dict)).toThrow(message);
    expect(() => net.loadStateDict(before, { strikt: true } as never)).toThrow(/did you mean "strict"/);
    const after = net.stateDict();
    for (const [name, t] of Object.entries(before)) expect(after[name]!.toArray()).toEqual(t.toArray());
  });

  it('load partly on request, with a report', () => {
    const net = new nn.Linear(2, 1);
    const report = net.loadStateDict({ bias: tensor([5]), other: tensor([1]) }, { strict: false });
    expect(report).toEqual({ missing: ['weight'], unexpected: ['other'] });
    expect(net.bias!.toArray()).toEqual([5]);
    expect(() => net.loadStateDict({ bias: [1, 2] }, { strict: false })).toThrow(
      /shape \[1\] here and \[2\]/,
    );
  });
});

describe('Sequential and ModuleList', () => {
  it('chain modules and name them by position or by the names given', () => {
    const model = new nn.Sequential({ hidden: new nn.Linear(3, 4), out: new nn.Linear(4, 1) });
    expect(names(model.namedParameters())).toEqual([
      'hidden.weight',
      'hidden.bias',
      'out.weight',
      'out.bias',
    ]);
    expect(model(x).shape).toEqual([1, 1]);
    const list = new nn.Sequential(new nn.Linear(3, 4), new nn.ReLU(), new nn.Linear(4, 1));
    expect([list.length, [...list].length, list.at(-1)?.constructor.name]).toEqual([3, 3, 'Linear']);
    expect(list(x).shape).toEqual([1, 1]);
  });

  it('hold modules for their owner', () => {
    const list = new nn.ModuleList([new nn.Linear(1, 2), new nn.Linear(2, 3)]).append(new nn.Linear(3, 4));
    expect([list.length, [...list].map((m) => m.outFeatures), list.at(-1)!.inFeatures]).toEqual([
      3,
      [2, 3, 4],
      3,
    ]);
    expect(names(list.namedParameters()).at(-1)).toBe('2.bias');
    expect(() => list()).toThrow(/ModuleList: cannot be called/);
  });

  it('refuse what is not a module', () => {
    expect(() => new nn.Sequential(nn.ReLU as never)).toThrow(
      /Sequential: module 0 must be a Module.*did you mean new ReLU\(\)/,
    );
    expect(() => new nn.Sequential(new nn.ReLU(), 3 as never)).toThrow(/module 1 must be a Module, got 3/);
    expect(() => new nn.Sequential({ forward: new nn.ReLU() })).toThrow(/"forward" is not free/);
    expect(() => new nn.ModuleList(new nn.ReLU() as never)).toThrow(/expected an array of modules/);
  });
});
