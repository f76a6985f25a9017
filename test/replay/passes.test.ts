// The passes: what each does to a program, and that leaving any of them out changes no bit.
import { describe, expect, it } from 'vitest';
import * as t from '../../src/index.js';
import { nn, optim, trainStep, type Tensor } from '../../src/index.js';
import { isStrips, launchesOf } from '../../src/replay/graph.js';
import { printPlan } from '../../src/replay/print.js';
import { PASS_NAMES } from '../../src/replay/passes/index.js';
import { Plan } from '../../src/replay/plan.js';
import { Recorder } from '../../src/replay/recorder.js';
import { difference, graphOf, Pairs } from '../../src/replay/trace.js';
import { openScope } from '../../src/memory/arena.js';
import { watched } from '../../src/memory/watcher.js';
import { labels, numbers, valuesOf } from './support.js';

/** The plan of a function of one tensor, made of two recordings. */
function planOf(fn: (x: Tensor) => Tensor, x: Tensor, off: string[] = []): Plan {
  const record = (): Recorder => {
    const scope = openScope();
    const recorder = new Recorder([x], scope);
    watched(recorder, () => recorder.keep(fn(x).storage));
    scope.end();
    return recorder;
  };
  const mould = { kind: 'tensor', shape: x.shape, of: 'real', twin: -1 } as const;
  const [before, now, pairs] = [record(), record(), new Pairs()];
  expect(difference(before, now, pairs)).toBeNull();
  return new Plan(mould, '', now, graphOf(before, now, pairs), new Set(off));
}

const kernels = ({ graph }: Plan): string[] =>
  graph.instructions.flatMap((one) => launchesOf(one).map(({ kernel }) => kernel));

/** What the plan computes: two calls make it, the third is replayed. */
function replayed(fn: (x: Tensor) => Tensor, x: Tensor): unknown {
  const compiled = t.compile(fn);
  return [0, 1, 2].map(() => compiled(x).toArray())[2];
}

const ones = (shape: number[]): Tensor => t.ones(shape);

describe(`passes on ${t.backend.name}`, () => {
  it('dead: drops what nothing reads', () => {
    const fn = (x: Tensor): Tensor => (x.exp(), x.mul(2));
    expect(kernels(planOf(fn, ones([3]), ['dead']))).toEqual(['exp', 'mul']);
    expect(kernels(planOf(fn, ones([3])))).toEqual(['mul']);
  });

  it('constants: runs what has no variable input when the plan is made', () => {
    const fn = (x: Tensor): Tensor => x.mul(t.tensor([2]).mul(3).exp());
    const parts = (plan: Plan): number[] => plan.graph.instructions.map(({ part }) => part);
    expect(parts(planOf(fn, ones([3]), ['constants']))).toEqual([0, 0, 0]);
    expect(parts(planOf(fn, ones([3])))).toEqual([-1, -1, 0]);
  });

  it('epilogue: a product takes its bias and its activation with it', () => {
    const [w, b] = [ones([4, 5]).keep(), ones([5]).keep()];
    for (const act of ['relu', 'tanh', 'sigmoid', 'gelu'] as const) {
      const fn = (x: Tensor): Tensor => x.matmul(w).add(b)[act]();
      expect(kernels(planOf(fn, ones([3, 4]), ['epilogue']))).toEqual(['matmul', 'add', act]);
      expect(kernels(planOf(fn, ones([3, 4])))).toEqual(['matmul']);
    }
    // What else reads the product keeps it.
    const both = (x: Tensor): Tensor => {
      const y = x.matmul(w);
      return y.relu().add(y);
    };
    expect(kernels(planOf(both, ones([3, 4])))).toEqual(['matmul', 'relu', 'add']);
  });

  it('epilogue: a product takes its residual, and says so', () => {
    const [w, b, r] = [ones([4, 5]).keep(), ones([5]).keep(), ones([3, 5]).keep()];
    const fn = (x: Tensor): Tensor => r.add(x.matmul(w).add(b)).relu();
    expect(kernels(planOf(fn, ones([3, 4]), ['epilogue']))).toEqual(['matmul', 'add', 'add', 'relu']);
    const plan = planOf(fn, ones([3, 4]));
    expect(kernels(plan)).toEqual(['matmul']);
    expect(printPlan(plan)).toMatch(/3x5x4 NN \+bias \+residual relu .*\n.* was matmul, add, add, relu/);
    // A residual that is made later than one product is made before the other.
    const two = (x: Tensor): Tensor => x.matmul(w).add(x.exp().matmul(w));
    expect(kernels(planOf(two, ones([3, 4])))).toEqual(['matmul', 'exp', 'matmul']);
  });

  it('epilogue: not where additions would change places, shapes differ, or memory is in use', () => {
    const [w, b, r] = [ones([4, 4]).keep(), ones([4]).keep(), ones([3, 4]).keep()];
    const late = (x: Tensor): Tensor => x.matmul(w).add(r).add(b);
    expect(kernels(planOf(late, ones([3, 4])))).toEqual(['matmul', 'add']);
    const wide = (x: Tensor): Tensor => x.matmul(w).add(ones([2, 3, 4]));
    expect(kernels(planOf(wide, ones([3, 4]))).filter((name) => name !== 'fill')).toEqual(['matmul', 'add']);
    const itself = (x: Tensor): Tensor => {
      const y = x.matmul(w);
      return y.add(y);
    };
    expect(kernels(planOf(itself, ones([3, 4])))).toEqual(['matmul', 'add']);
  });

  it('epilogue: a convolution takes its residual and its activation, unless the relu goes behind a pool', () => {
    const w = ones([2, 3, 3, 3]).keep();
    const image = ones([1, 3, 6, 6]);
    for (const act of ['relu', 'tanh', 'sigmoid', 'gelu'] as const) {
      const fn = (x: Tensor): Tensor => {
        const [y, past] = [x.exp(), t.narrow(x, 1, 0, 2).exp()];
        return t.conv2d(y, w, [1, 2], { padding: 1 }).add(past)[act]();
      };
      const plan = planOf(fn, image);
      expect(kernels(plan)).toEqual(['exp', 'exp', 'conv2d']);
      expect(printPlan(plan)).toContain(`3x3 pad 1 +bias +residual ${act} `);
    }
    const pooled = (x: Tensor): Tensor => t.maxPool2d(t.conv2d(x, w).relu(), 2);
    expect(kernels(planOf(pooled, image))).toEqual(['conv2d', 'maxPool2d', 'relu']);
    expect(kernels(planOf(pooled, image, ['pooling']))).toEqual(['conv2d', 'maxPool2d']);
  });

  it('epilogue: backwards, an activation whose slope needs its result alone stays folded', () => {
    const w = ones([2, 3, 3, 3]).keep();
    const slope =
      (act: 'relu' | 'gelu') =>
      (x: Tensor): Tensor =>
        t.grad((z: Tensor) => t.conv2d(z, w)[act]().square().sum())(x);
    const acts = (plan: Plan): string[] => kernels(plan).filter((name) => /^(relu|gelu)/.test(name));
    expect(acts(planOf(slope('relu'), ones([1, 3, 6, 6])))).toEqual(['reluGrad']);
    expect(acts(planOf(slope('gelu'), ones([1, 3, 6, 6])))).toEqual(['gelu', 'geluGrad']);
  });

  describe('epilogue: the bits of the kernels by themselves', () => {
    const filled = (shape: number[], seed: number, scale = 1): Tensor =>
      t
        .tensor(numbers(t.zeros(shape).size, seed), { shape })
        .mul(scale)
        .keep();
    // With the second ones, sums are on both sides of the smallest normal number: native products end there, kernels do not.
    const scales = [
      [1, 1, 1],
      [1e-19, 2e-19, 1e-38],
    ] as const;

    it.each(
      scales.flatMap((scale) =>
        (
          [
            [3, 4, 5],
            [33, 300, 70],
            [9, 800, 40],
            [40, 800, 1],
            [1, 700, 50],
            [130, 64, 48],
          ] as const
        ).map((sizes) => [...sizes, ...scale] as const),
      ),
    )('of a product %i x %i x %i, times %d', (m, k, n, sx, sw, sr) => {
      const [x, w, b, r] = [
        filled([m, k], 1, sx),
        filled([k, n], 2, sw),
        filled([n], 3, sr),
        filled([m, n], 4, sr),
      ];
      for (const act of ['neg', 'relu', 'tanh', 'sigmoid', 'gelu'] as const)
        for (const fn of [
          (z: Tensor): Tensor => z.matmul(w).add(b)[act](),
          (z: Tensor): Tensor => z.matmul(w).add(r)[act](),
          (z: Tensor): Tensor => t.linear(z, w.transpose(0, 1), b).add(r)[act](),
          (z: Tensor): Tensor => r.add(z.matmul(w).add(b))[act](),
        ])
          expect(replayed(fn, x)).toEqual(fn(x).toArray());
    });

    it.each(
      scales.flatMap((scale) =>
        (
          [
            ['1 x 1', [2, 40, 13, 13], [40, 40, 1, 1], {}],
            ['few channels', [2, 3, 20, 35], [3, 3, 3, 3], { padding: 1 }],
            ['many terms', [3, 24, 7, 7], [33, 24, 3, 3], { padding: 1 }],
            ['steps', [1, 17, 20, 33], [12, 17, 3, 3], { padding: 1, stride: 2 }],
            ['groups', [1, 6, 9, 9], [4, 3, 3, 3], { groups: 2 }],
            ['depthwise', [2, 3, 11, 37], [3, 1, 3, 3], { padding: 1, groups: 3 }],
          ] as const
        ).map(([name, ...rest]) => [`${name}, times ${scale[0]}`, ...rest, scale] as const),
      ),
    )('of a convolution, %s', (_, image, filter, options, [sx, sw, sr]) => {
      const [x, w, b] = [filled([...image], 1, sx), filled([...filter], 2, sw), filled([filter[0]], 3, sr)];
      const r = filled([...t.conv2d(x, w, b, options).shape], 4, sr);
      for (const act of ['neg', 'relu', 'tanh', 'sigmoid', 'gelu'] as const)
        for (const fn of [
          (z: Tensor): Tensor => t.conv2d(z, w, b, options)[act](),
          (z: Tensor): Tensor => t.conv2d(z, w, null, options).add(r)[act](),
          (z: Tensor): Tensor => r.add(t.conv2d(z, w, b, options))[act](),
        ])
          expect(replayed(fn, x)).toEqual(fn(x).toArray());
    });
  });

  it('copies: slices are read where they are, joined tensors written where they belong', () => {
    const slices = (x: Tensor): Tensor => {
      const [a, b] = t.split(x.exp(), 2, 0) as [Tensor, Tensor];
      return a.mul(b);
    };
    expect(kernels(planOf(slices, ones([4, 3])))).toEqual(['exp', 'mul']);
    const joined = (x: Tensor): Tensor => t.concat([x.exp(), x.sin()], 0).neg();
    expect(kernels(planOf(joined, ones([4, 3])))).toEqual(['exp', 'sin', 'neg']);
    // What stands in one run among zeros, as a narrow's gradient does, is computed between them; a box with gaps is not.
    const padded = (x: Tensor): Tensor =>
      t
        .pad(
          t.pad(x.exp(), [
            [1, 0],
            [0, 0],
          ]),
          [
            [2, 1],
            [0, 0],
          ],
          5,
        )
        .neg();
    expect(kernels(planOf(padded, ones([4, 3]), ['strips', 'constants']))).toEqual([
      'exp',
      'fill',
      'fill',
      'fill',
      'neg',
    ]);
    const boxed = (x: Tensor): Tensor =>
      t
        .pad(x.exp(), [
          [0, 0],
          [1, 0],
        ])
        .neg();
    expect(kernels(planOf(boxed, ones([4, 3]), ['strips', 'constants']))).toEqual([
      'exp',
      'fill',
      'copy',
      'neg',
    ]);
    expect(replayed(padded, ones([4, 3]))).toEqual(padded(ones([4, 3])).toArray());
    const turned = (x: Tensor): Tensor => x.exp().transpose(0, 1).transpose(0, 1).neg();
    expect(kernels(planOf(turned, ones([4, 3])))).toEqual(['exp', 'neg']);
    const once = (x: Tensor): Tensor => x.exp().reshape([2, 2, 3]).permute([2, 0, 1]).transpose(1, 2).neg();
    expect(kernels(planOf(once, ones([4, 3])))).toEqual(['exp', 'copy', 'neg']);
  });

  it('copies: not where the source changes before it is read', () => {
    const p = t.tensor(numbers(6, 1), { requiresGrad: true });
    const opt = new optim.SGD([p], { lr: 0.5 });
    const make = t.compile((x: Tensor) => {
      opt.zeroGrad();
      const before = t.narrow(p.detach(), 0, 0, 3);
      p.mul(x).sum().backward();
      opt.step();
      return before.mul(1);
    });
    for (let k = 0; k < 5; k++) {
      const old = p.toFloat32Array().slice(0, 3);
      expect(make(ones([6])).toFloat32Array()).toEqual(old);
    }
  });

  it('pooling: a relu goes behind the pool that follows it, forwards and backwards', () => {
    const fn = (x: Tensor): Tensor => t.maxPool2d(x.mul(2).relu(), 2).exp();
    expect(kernels(planOf(fn, ones([1, 1, 4, 4]), ['pooling']))).toEqual(['mul', 'relu', 'maxPool2d', 'exp']);
    expect(kernels(planOf(fn, ones([1, 1, 4, 4])))).toEqual(['mul', 'maxPool2d', 'relu', 'exp']);
    const slope = (x: Tensor): Tensor => t.grad((z: Tensor) => t.maxPool2d(z.relu(), 2).square().sum())(x);
    const image = t.tensor(numbers(2 * 3 * 36, 5), { shape: [2, 3, 6, 6] });
    const [before, after] = [planOf(slope, image, ['pooling']), planOf(slope, image)];
    const order = (plan: Plan): string[] => kernels(plan).filter((name) => /relu|Pool/.test(name));
    expect(order(before)).toEqual(['relu', 'maxPool2d', 'maxPool2dGrad', 'reluGrad']);
    expect(order(after)).toEqual(['maxPool2d', 'relu', 'reluGrad', 'maxPool2dGrad']);
    expect(replayed(slope, image)).toEqual(slope(image).toArray());
    // Where something else looks at the rectified image, it stays.
    const both = (x: Tensor): Tensor => {
      const y = x.mul(2).relu();
      return t.maxPool2d(y, 2).sum().add(y.sum());
    };
    expect(kernels(planOf(both, ones([1, 1, 4, 4]))).indexOf('relu')).toBe(1);
  });

  it('strips: a chain over large rows runs in pieces, and its temporaries shrink', () => {
    const fn = (x: Tensor): Tensor => x.mul(2).add(t.arange(100)).tanh().softmax(-1).sum(1);
    const x = t.tensor(numbers(128_000, 1), { shape: [1280, 100] }).keep();
    const [whole, cut] = [planOf(fn, x, ['strips']), planOf(fn, x)];
    const strips = cut.graph.instructions.flatMap((one) => (isStrips(one) ? [one] : []));
    expect(strips).toHaveLength(1);
    expect(strips[0]!.strips).toBeGreaterThan(10);
    expect(launchesOf(strips[0]!).map(({ kernel }) => kernel)).toEqual([
      'mul',
      'add',
      'tanh',
      'softmax',
      'sum',
    ]);
    expect(cut.memory.bytes).toBeLessThan(whole.memory.bytes / 1.5);
  });

  const net = (): [step: (k: number) => number, state: () => unknown] => {
    t.manualSeed(2);
    const model = new nn.Sequential(
      new nn.Linear(40, 96),
      new nn.LayerNorm(96),
      new nn.GELU(),
      new nn.Linear(96, 96),
      new nn.Tanh(),
      new nn.Linear(96, 7),
    );
    const opt = new optim.AdamW(model.namedParameters(), { lr: 0.01 });
    const step = trainStep((x: Tensor, y: Int32Array) => {
      const h = model.forward(x);
      return t.crossEntropy(h.add(h.mul(0.5).sigmoid()), y);
    }, opt);
    const batch = (k: number): Tensor => t.tensor(numbers(300 * 40, k), { shape: [300, 40] });
    return [(k) => step(batch(k), labels(300, 7, k)), () => [valuesOf(model.parameters()), opt.stateDict()]];
  };

  it.each([...PASS_NAMES, PASS_NAMES.join()])('without %s the bits are the same', (off) => {
    const run = (without: string): unknown => {
      process.env['THALWEG_REPLAY_WITHOUT'] = without;
      const [step, state] = net();
      delete process.env['THALWEG_REPLAY_WITHOUT'];
      return [[0, 1, 2, 3, 4, 5].map(step), state()];
    };
    expect(run(off)).toEqual(run(''));
  });

  it('refuses a pass that does not exist', () => {
    process.env['THALWEG_REPLAY_WITHOUT'] = 'strip';
    expect(() => t.compile((x: Tensor) => x)).toThrow(
      /THALWEG_REPLAY_WITHOUT: pass must be one of .*"strips"/,
    );
    delete process.env['THALWEG_REPLAY_WITHOUT'];
  });
});
