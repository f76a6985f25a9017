// The text of a plan: what it says of arguments, memory, instructions and names; and what there is to say without a plan.
import { describe, expect, it, vi } from 'vitest';
import * as t from '../../src/index.js';
import { nn, optim, trainStep, type Tensor } from '../../src/index.js';
import type { Graph, Strips } from '../../src/replay/graph.js';
import { ENDING } from '../../src/replay/passes/index.js';
import { cutStrips } from '../../src/replay/passes/strips.js';
import type { Draft } from '../../src/replay/uses.js';
import { columns, showBytes } from '../../src/replay/print.js';
import type { StepOptions, TrainStep } from '../../src/train/step.js';
import { labels, numbers, withReplay } from './support.js';

type Batch = [Float32Array, Int32Array];

function trained(options: StepOptions = {}): TrainStep<Batch> {
  const net = new nn.Sequential(
    new nn.Linear(8, 16),
    new nn.ReLU(),
    new nn.Dropout(0.5),
    new nn.Linear(16, 4),
  );
  const opt = new optim.Adam(net.namedParameters(), { lr: 0.01 });
  const loss = (x: Float32Array, y: Int32Array): Tensor =>
    t.crossEntropy(net.forward(t.tensor(x, { shape: [y.length, 8] })), y);
  return withReplay('on', () => trainStep(loss, opt, options));
}

const run = (step: TrainStep<Batch>, n = 6): void => {
  for (let k = 0; k < 3; k++) step(numbers(8 * n, k), labels(n, 4, k));
};

/** The words of the line that says this, or a failure. */
const line = (text: string, part: string): string[] =>
  text
    .split('\n')
    .find((one) => one.includes(part))!
    .trim()
    .split(/\s{2,}/);

describe(`the text of a plan on ${t.backend.name}`, () => {
  it('has a head, and a line an instruction with kernel, sizes, bytes and operands', () => {
    const step = trained();
    run(step);
    const text = step.plan();
    const [head, filled, titles, ...lines] = text.split('\n');
    expect(head).toMatch(
      /^\(Float32Array\(48\), Int32Array\(6\)\) on \S+ .*, \d+ threads?: \d+ launches recorded, \d+ instructions after the passes; [\d.]+ k?B of memory for [\d.]+ k?B of buffers$/,
    );
    expect(filled).toMatch(/^filled before: .*%\d+ argument 0.*%\d+ argument 1.*%\d+ anew each time/);
    expect(titles!.trim().split(/\s{2,}/)).toEqual(['kernel', 'sizes', 'read + written', 'to <- from']);
    const count = Number(/(\d+) instructions/.exec(head!)![1]);
    expect(lines.filter((one) => /^ *\d+ {2}/.test(one))).toHaveLength(count);
    const [, kernel, sizes, bytes, operands] = line(text, '@0.weight @0.bias');
    expect(kernel).toBe('matmul');
    expect(sizes).toMatch(/^6x16x8 NT \+bias/);
    // Values, weights and biases; the product.
    expect(bytes).toBe(`${4 * (6 * 8 + 8 * 16 + 16)} B + ${4 * 6 * 16} B`);
    expect(operands).toMatch(/^%\d+ <- %\d+ @0\.weight @0\.bias$/);
    expect(text).toMatch(
      /adamStep .*@0\.weight…3\.bias @0\.weight…3\.bias\.expAvg .* @0\.weight…3\.bias\.grad/,
    );
  });

  it('says where JavaScript decides between two parts', () => {
    const step = trained({ clipNorm: 1 });
    run(step);
    const lines = step.plan().split('\n');
    const at = lines.findIndex((one) => one.trim() === 'decision');
    expect(lines.slice(0, at).join()).toContain('crossEntropyGrad');
    expect(lines.slice(at + 1).join()).toContain('adamStep');
  });

  it('shows what was fused, and the bodies of strips', () => {
    const ending: Record<string, (draft: Draft) => Graph> = ENDING;
    ending['strips'] = (draft) => {
      const graph = draft.done();
      const at = graph.instructions.findIndex((one) => 'kernel' in one && one.kernel === 'dropout');
      const first = graph.instructions[at] as (typeof graph.instructions)[number] & Strips['body'][number];
      const strip = { ...first, origins: [0, 1], steps: first.args.map(() => 0), last: first.args };
      return { ...graph, instructions: graph.instructions.with(at, { strips: 1, body: [strip], part: 0 }) };
    };
    try {
      const step = trained();
      run(step);
      expect(step.plan()).toMatch(
        /\n *\d+ +strips +1 of 1 launches +\d+ B \+ \d+ B\n +dropout +96 p 0\.5 .*\n +was matmul, \w+\n/,
      );
      expect(String(step.profile({ repeats: 1 }))).toMatch(/\ndropout +1 strips /);
    } finally {
      ending['strips'] = cutStrips;
    }
  });

  it('lists all plans, the one used last first', () => {
    const step = trained();
    run(step, 6);
    run(step, 5);
    step(numbers(48, 1), labels(6, 4, 1));
    expect(step.plan().match(/^\(Float32Array\(\d+\)/gm)).toEqual(['(Float32Array(48)', '(Float32Array(40)']);
  });

  it('says why there is none', () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    expect(trained().plan()).toBe('no plan yet: two calls with equal shapes make one');
    const w = t.tensor([1, 2], { requiresGrad: true });
    const step = trainStep(() => (w.sum().item() > 0 ? w.sum() : w.sum()), new optim.SGD([w], { lr: 0.1 }));
    step();
    expect(step.plan()).toMatch(/^every call stays eager: values are read \(at /);
    expect(() => step.profile()).toThrow(/^trainStep\.profile: every call stays eager: values are read/);
    warn.mockRestore();
    const off = withReplay('off', () => trainStep(() => w.sum(), new optim.SGD([w], { lr: 0.1 })));
    expect(off.plan()).toBe('every call stays eager: THALWEG_REPLAY is off');
  });

  it('aligns columns and rounds bytes', () => {
    expect(
      columns(
        [
          ['a', '10'],
          ['bcd', '9', 'x'],
        ],
        [false, true],
      ),
    ).toEqual(['a    10', 'bcd   9  x']);
    expect([0, 999, 1000, 123_456, 5e6, 2.5e9].map(showBytes)).toEqual([
      '0 B',
      '999 B',
      '1 kB',
      '123 kB',
      '5 MB',
      '2.5 GB',
    ]);
  });
});
