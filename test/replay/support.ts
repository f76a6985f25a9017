// Two copies of one program, one that replays and one that stays eager, driven side by side.
import * as t from '../../src/index.js';
import type { Tensor } from '../../src/index.js';
import { afterEach, beforeEach, describe, expect, vi } from 'vitest';
import { generator, type GeneratorState } from '../../src/ops/random.js';
import type { TrainStep } from '../../src/train/step.js';

type Mode = 'on' | 'off' | 'check';

/** Runs `fn` with THALWEG_REPLAY set, which a step function reads when it is made. */
export function withReplay<T>(mode: Mode, fn: () => T): T {
  const saved = process.env['THALWEG_REPLAY'];
  process.env['THALWEG_REPLAY'] = mode;
  try {
    return fn();
  } finally {
    if (saved === undefined) delete process.env['THALWEG_REPLAY'];
    else process.env['THALWEG_REPLAY'] = saved;
  }
}

/** The same tests with plans that serve calls, and with plans that are checked beside eager calls. */
export const describeReplay = (name: string, body: () => void): void => {
  describe.each(['on', 'check'])(`${name}, replay %s`, (mode) => {
    beforeEach(() => void vi.stubEnv('THALWEG_REPLAY', mode));
    afterEach(() => void vi.unstubAllEnvs());
    body();
  });
};

export interface Program {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- steps of all kinds of batches
  step: TrainStep<any[]>;
  /** Everything that a step may change. */
  state: () => unknown;
}

/** A program twice, from one seed: replayed and eager. Whatever is done goes to both, and must come out alike. */
export class Twins<P extends Program> {
  readonly replayed: P;
  readonly eager: P;
  private seeds: [GeneratorState, GeneratorState];

  constructor(make: () => P, mode = (process.env['THALWEG_REPLAY'] ?? 'on') as Mode) {
    const build = (how: Mode): [P, GeneratorState] =>
      withReplay(how, () => {
        t.manualSeed(3);
        const program = make();
        return [program, generator.state];
      });
    const [[a, first], [b, second]] = [build(mode), build('off')];
    [this.replayed, this.eager, this.seeds] = [a, b, [first, second]];
  }

  /** Does something to both, each with its own random numbers; the results must be equal to the bit. */
  both(action: (program: P) => unknown): void {
    const results = [this.replayed, this.eager].map((program, k) => {
      generator.state = this.seeds[k]!;
      const result = action(program);
      this.seeds[k] = generator.state;
      return [result, program.state()];
    });
    expect(results[0]).toEqual(results[1]);
    expect(this.seeds[0]).toEqual(this.seeds[1]);
  }

  /** Steps on each of the batches; returns how many of them were replayed. */
  run(...batches: Parameters<P['step']>[]): number {
    const before = this.replayed.step.replayed;
    for (const batch of batches) this.both(({ step }) => step(...batch));
    return this.replayed.step.replayed - before;
  }
}

export const valuesOf = (tensors: Iterable<Tensor | null>): Float32Array[] =>
  [...tensors].flatMap((one) => (one ? [one.toFloat32Array()] : []));

/** `n` numbers that depend on the seed. */
export const numbers = (n: number, seed: number): Float32Array =>
  Float32Array.from({ length: n }, (_, k) => Math.sin((k + 1) * (seed + 1.3)));

export const labels = (n: number, classes: number, seed: number): Int32Array =>
  Int32Array.from({ length: n }, (_, k) => (k * 7 + seed) % classes);
