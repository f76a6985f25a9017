// When and how SWATS goes over to SGD.
import { describe, expect, it } from 'vitest';
import { tensor, type Tensor } from '../../src/index.js';
import { inDouble } from '../../src/kernels/launch.js';
import { SWATS, type SWATSOptions } from '../../src/optim/index.js';
import { generator } from '../support/random.js';

const leaf = (...values: number[]): Tensor => tensor(values, { requiresGrad: true });

/** A noisy quadratic with curvatures 1 … n in double precision; calls `visit` after each step. */
function descend(
  options: SWATSOptions,
  steps: number,
  visit?: (opt: SWATS, p: Tensor, g: number[]) => void,
): SWATS {
  return inDouble(() => {
    const random = generator(17);
    const p = leaf(1, -2, 3, -1);
    const opt = new SWATS([p], { lr: 0.01, betas: [0.9, 0.9], ...options });
    for (let k = 0; k < steps; k++) {
      const g = Array.from(p.storage.values(), (v, i) => (i + 1) * v + random() - 0.5);
      p.grad = tensor(g);
      opt.step();
      visit?.(opt, p, g);
    }
    return opt;
  });
}

describe('SWATS', () => {
  it('switches when the rate has settled, and not before minSteps', () => {
    const early = descend({ relTol: 0.2 }, 300);
    expect(early.phase).toBe('sgd');
    const late = descend({ relTol: 0.2, minSteps: early.switchStep! + 1 }, 300);
    expect(late.switchStep).toBeGreaterThan(early.switchStep!);
  });

  it('wants the rate settled for as many steps in a row as patience says', () => {
    const settled: boolean[] = [];
    const [one, four] = [
      descend({ relTol: 0.2 }, 300),
      descend({ relTol: 0.2, patience: 4 }, 300, (opt) => settled.push(opt.phase === 'sgd')),
    ];
    expect(four.switchStep).toBeGreaterThanOrEqual(one.switchStep! + 3);
    expect(settled.indexOf(true) + 1).toBe(four.switchStep);
  });

  it('practically never switches by the published criterion', () =>
    expect(descend({}, 2000)).toMatchObject({ phase: 'adam', switchStep: null, switchedLr: null }));

  it('switches at the step it is told, to the projected rate', () => {
    // By hand: Lambda from p·p / -(p·g), averaged and corrected.
    let [before, average, want] = [[1, -2, 3, -1], 0, NaN];
    const opt = descend({ switchAt: 7 }, 9, (opt, p, g) => {
      const now = Array.from(p.storage.values());
      const step = now.map((v, i) => v - before[i]!);
      before = now;
      if (opt.stepCount > 7) return;
      const dot = (a: number[], b: number[]): number => a.reduce((s, x, i) => s + x * b[i]!, 0);
      average = 0.9 * average + 0.1 * (dot(step, step) / -dot(step, g));
      want = average / (1 - 0.9 ** opt.stepCount);
    });
    expect(opt.switchStep).toBe(7);
    expect(opt.switchedLr).toBeCloseTo(want, 10);
  });

  it('takes the momentum of SGD from the first beta, starting from nothing', () => {
    let [before, velocity] = [
      [1, -2, 3, -1],
      [0, 0, 0, 0],
    ];
    descend({ switchAt: 3 }, 12, (opt, p, g) => {
      const now = Array.from(p.storage.values());
      if (opt.stepCount > 3) {
        velocity = velocity.map((u, i) => 0.9 * u + g[i]!);
        now.forEach((v, i) => expect(v).toBeCloseTo(before[i]! - 0.1 * opt.switchedLr! * velocity[i]!, 12));
      }
      before = now;
    });
  });

  it('lets a schedule scale Lambda, and never overwrites the rate', () => {
    const halving = { name: 'halving', options: {}, at: (s: number) => ({ lr: s < 5 ? 0.01 : 0.005 }) };
    const paths = [0.01, halving].map((lr) => {
      const moves: number[] = [];
      let before = 1;
      const opt = descend({ lr, switchAt: 5 }, 6, (_opt, p) => {
        moves.push(p.storage.values()[0]! - before);
        before = p.storage.values()[0]!;
      });
      expect(opt.groups[0]!.lr).toBe(lr);
      return { opt, last: moves.at(-1)! };
    });
    expect(paths[1]!.opt.switchedLr).toBe(paths[0]!.opt.switchedLr);
    expect(paths[1]!.last).toBeCloseTo(paths[0]!.last / 2, 12);
  });

  it('does not switch to a rate that is not positive', () => {
    // The gradient turns round, momentum goes on: the projection is negative.
    const p = leaf(0);
    const opt = new SWATS([p], { lr: 0.1, switchAt: 4, betas: [0.9, 0.5] });
    const give = (g: number): void => {
      p.grad = tensor([g]);
      opt.step();
    };
    for (const g of [1, 1, 1, -0.2, -0.2]) give(g);
    expect(opt.phase).toBe('adam');
    for (let k = 0; k < 50; k++) give(-1);
    expect(opt.phase).toBe('sgd');
    expect(opt.switchedLr).toBeGreaterThan(0);
  });

  it('survives gradients of 0 and gradients that are not numbers without a rate that is not one', () => {
    const [p, q] = [leaf(0), leaf(0)];
    const opt = new SWATS([p, q], { scope: 'tensor', switchAt: 3 });
    for (const g of [0, 0, 0, 1, 1]) {
      p.grad = tensor([g]);
      q.grad = tensor([NaN]);
      opt.step();
    }
    expect(opt.switches.map(({ switchStep }) => switchStep)).toEqual([4, null]);
    expect(opt.phase).toBe('mixed');
  });

  it('can switch tensor by tensor', () => {
    const [p, q] = [leaf(0), leaf(0)];
    const opt = new SWATS(
      [
        ['p', p],
        ['q', q],
      ],
      { scope: 'tensor', switchAt: 3 },
    );
    for (let k = 0; k < 4; k++) {
      p.grad = tensor([1]);
      q.grad = k === 0 ? null : tensor([100]);
      opt.step();
    }
    expect(opt.switches.map(({ names, switchStep }) => [names, switchStep])).toEqual([
      [['p'], 3],
      [['q'], 3],
    ]);
    expect(opt.switches[0]!.switchedLr! / opt.switches[1]!.switchedLr!).toBeCloseTo(100, 2);
  });
});
