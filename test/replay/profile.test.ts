// A profile times a plan and leaves no trace; a disposed or collected step gives its memory back.
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import * as t from '../../src/index.js';
import { backend, nn, optim, trainStep, type Tensor } from '../../src/index.js';
import { generator } from '../../src/ops/random.js';
import type { StepOptions } from '../../src/train/step.js';
import { labels, numbers, Twins, valuesOf, type Program } from './support.js';

const ROOT = path.resolve(import.meta.dirname, '../..');

function trained(options: StepOptions = {}): Program {
  const net = new nn.Sequential(
    new nn.Linear(8, 16),
    new nn.BatchNorm1d(16),
    new nn.Dropout(0.5),
    new nn.Linear(16, 4),
  );
  const opt = new optim.AMSGrad(net.namedParameters(), { lr: 0.01 });
  const loss = (x: Float32Array, y: Int32Array): Tensor =>
    t.crossEntropy(net.forward(t.tensor(x, { shape: [6, 8] })), y);
  const step = trainStep(loss, opt, options);
  const state = (): unknown => [
    valuesOf(net.parameters()),
    valuesOf(net.buffers()),
    valuesOf([...net.parameters()].map((p) => p.grad)),
    opt.stateDict(),
    [step.skipped, step.gradNorm],
    generator.state,
  ];
  return { step, state };
}

const batches = (count: number): [Float32Array, Int32Array][] =>
  Array.from({ length: count }, (_, k) => [numbers(48, k), labels(6, 4, k)]);

describe(`a profile on ${t.backend.name}`, () => {
  it.each([{}, { clipNorm: 0.1 }, { onNonFinite: 'skip' }] as StepOptions[])(
    'changes nothing that a step changes, with %o',
    (options) => {
      const twins = new Twins(() => trained(options), 'on');
      twins.run(...batches(4));
      const [before, replayed] = [twins.replayed.state(), twins.replayed.step.replayed];
      twins.replayed.step.profile({ repeats: 3 });
      expect(twins.replayed.state()).toEqual(before);
      expect(twins.replayed.step.replayed).toBe(replayed);
      // The values of the batch that the plan was left with are gone, and the next step brings its own.
      expect(twins.run(...batches(3))).toBe(3);
    },
  );

  it('has a row for each kernel and its sizes, most expensive first', () => {
    const { step } = trained();
    for (const batch of batches(3)) step(...batch);
    const profile = step.profile({ repeats: 2 });
    const { rows } = profile;
    expect(profile.repeats).toBe(2);
    expect(new Set(rows.map(({ kernel, sizes }) => `${kernel} ${sizes}`)).size).toBe(rows.length);
    const times = rows.map(({ microseconds }) => microseconds);
    expect(times).toEqual([...times].sort((a, b) => b - a));
    expect(rows.reduce((sum, { microseconds }) => sum + microseconds, 0)).toBeCloseTo(
      profile.microseconds,
      6,
    );
    expect(rows.find(({ kernel }) => kernel === 'matmul')!.unit).toBe('GFLOP/s');
    expect(rows.find(({ kernel }) => kernel === 'adamStep')!.unit).toBe('GB/s');
    for (const row of rows) expect(Math.min(row.rate, row.percent, row.share)).toBeGreaterThanOrEqual(0);
  });

  it('prints an aligned table with totals, and what the limit is', () => {
    const { step } = trained();
    for (const batch of batches(3)) step(...batch);
    const profile = step.profile({ repeats: 1 });
    const lines = String(profile).split('\n');
    const [head, total] = [lines[0]!, lines[profile.rows.length + 1]!];
    const calls = profile.rows.reduce((sum, row) => sum + row.calls, 0);
    expect(head).toMatch(/^kernel +sizes +calls +us +share +rate +of limit$/);
    expect(total).toMatch(new RegExp(`^total +${calls} +[\\d.]+ +100\\.0%$`));
    expect(total.indexOf('100.0%') + 6).toBe(head.indexOf('share') + 5);
    expect(lines.at(-2)).toBe(`median of 1 run on made-up values, ${/ on (.*?): /.exec(step.plan())![1]}`);
    expect(lines.at(-1)).toMatch(/^limit: this engine's own best product \(.* GFLOP\/s\) and stream /);
  });

  it('needs a plan and a sensible number of runs', () => {
    const { step } = trained();
    expect(() => step.profile()).toThrow('trainStep.profile: no plan yet');
    expect(() => step.profile({ repeats: 0 })).toThrow(/trainStep\.profile: repeats must be/);
  });
});

describe('the memory of plans', () => {
  it('goes back with dispose, after which the step records again', () => {
    const { step } = trained();
    for (const batch of batches(1)) step(...batch);
    const before = backend.info().heapUsed;
    for (let round = 1; round <= 3; round++) {
      for (const batch of batches(3)) step(...batch);
      expect(step.plan()).toContain('adamStep');
      expect(backend.info().heapUsed).toBeGreaterThan(before);
      step.dispose();
      expect(backend.info().heapUsed).toBe(before);
      expect(step.plan()).toMatch(/^no plan yet/);
    }
    expect(step.replayed).toBeGreaterThanOrEqual(3);
  });

  it('goes back when the step is collected', () => {
    const code = `
      import { backend, optim, tensor, trainStep } from 'thalweg';
      const w = tensor(new Float32Array(1e5).fill(1), { requiresGrad: true });
      const opt = new optim.SGD([w], { lr: 0.1 });
      const x = new Float32Array(1e5);
      const train = () => {
        const step = trainStep((x) => w.mul(tensor(x)).square().sum(), opt);
        for (let k = 0; k < 4; k++) step(x);
        return step.replayed;
      };
      const used = async () => {
        // Finalizers run in a later task.
        for (let k = 0; k < 5; k++) {
          globalThis.gc();
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        return backend.info().heapUsed;
      };
      const runs = [];
      for (let k = 0; k < 4; k++) runs.push([train(), backend.info().heapUsed, await used()]);
      console.log(JSON.stringify(runs));
    `;
    const args = ['--expose-gc', '--input-type=module', '-e', code];
    const runs = JSON.parse(
      execFileSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' }),
    ) as number[][];
    for (const [replayed, before, after] of runs) {
      expect(replayed).toBe(2);
      expect(before! - after!).toBeGreaterThan(4e5);
    }
    expect(runs.at(-1)![2]).toBe(runs[0]![2]);
  });
});
