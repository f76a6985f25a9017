// What all schedules share: purity, description, and how they refuse options.
import { describe, expect, test } from 'vitest';
import * as schedule from '../../src/schedule/index.js';
import { range } from './trace.js';

const inner = schedule.cosine({ lr: 0.1, TMax: 9 });

/** One of each, with the least options. */
const minimal = {
  constant: { lr: 0.1 },
  step: { lr: 0.1, stepSize: 7 },
  multiStep: { lr: 0.1, milestones: [3, 11] },
  exponential: { lr: 0.1, gamma: 0.9 },
  polynomial: { lr: 0.1, totalIters: 20 },
  linear: { lr: 0.1, totalIters: 20 },
  cosine: { lr: 0.1, TMax: 20 },
  cyclic: { baseLr: 0.01, maxLr: 0.1, stepSizeUp: 5 },
  warmRestarts: { lr: 0.1, T0: 4, TMult: 2 },
  oneCycle: { maxLr: 0.1, totalSteps: 30 },
  warmup: { lr: inner, warmupSteps: 4 },
  warmupCosine: { lr: 0.1, warmupSteps: 4, totalSteps: 20 },
  noam: { dModel: 64, warmupSteps: 10 },
  inverseSqrt: { lr: 0.1, warmupSteps: 10 },
  wsd: { lr: 0.1, warmupSteps: 4, stableSteps: 5, decaySteps: 6 },
  join: { schedules: [inner, inner], milestones: [6] },
  plateau: { lr: 0.1 },
  lrFinder: {},
};

type Name = keyof typeof minimal;
const names = Object.keys(minimal) as Name[];
const make = (name: Name, options: object): schedule.Schedule =>
  (schedule[name] as (options: object) => schedule.Schedule)(options);

const helpers = ['lossDiverged', 'smoothLosses', 'suggestLr'];
const steps = range(90).flatMap((s) => [s, s + 0.375]);
const trace = (s: schedule.Schedule, order = steps) => new Map(order.map((step) => [step, s.at(step)]));

test('this table has every schedule of the namespace', () => {
  expect([...names, ...helpers].sort()).toEqual(Object.keys(schedule).sort());
});

describe.each(names)('%s', (name) => {
  const options = minimal[name];

  test('it gives the same values in any order', () => {
    const forward = trace(make(name, options));
    const s = make(name, options);
    const shuffled = steps.map((_, i) => steps[(i * 77) % steps.length]!);
    expect(new Set(shuffled).size).toBe(steps.length);
    expect(trace(s, shuffled)).toEqual(forward);
    expect(trace(s, [...steps].reverse())).toEqual(forward);
  });

  test('its rates are finite and not negative, at giant steps too', () => {
    const s = make(name, options);
    for (const step of [...steps, 2 ** 24 + 1, 2 ** 53, Number.MAX_VALUE]) {
      const { lr } = s.at(step);
      expect(Number.isFinite(lr) && lr >= 0, `lr ${lr} at ${step}`).toBe(true);
    }
  });

  test('the caller may change what it returned', () => {
    const s = make(name, options);
    s.at(3).lr = 99;
    expect(s.at(3)).toEqual(make(name, options).at(3));
    expect(s.at(3).lr).not.toBe(99);
  });

  test('its name and options build it again', () => {
    const s = make(name, options);
    expect(s.name).toBe(name);
    const again = make(s.name as Name, s.options);
    expect(again.options).toEqual(s.options);
    expect(trace(again)).toEqual(trace(s));
  });

  test('its options are complete and frozen', () => {
    const s = make(name, options);
    expect(s.options).toMatchObject(options);
    expect(Object.values(s.options)).not.toContain(undefined);
    expect(() => Object.assign(s.options, { lr: 1 })).toThrow(TypeError);
  });

  test('an undefined option counts as absent', () => {
    const holes = Object.fromEntries(Object.keys(make(name, options).options).map((key) => [key, undefined]));
    expect(make(name, { ...holes, ...options }).options).toEqual(make(name, options).options);
  });

  test.each([-1, -1e-9, NaN, Infinity, '3', undefined])('step %s is refused', (step) => {
    const message = `schedule.${name}.at: step must be a finite number >= 0, got`;
    expect(() => make(name, options).at(step as number)).toThrow(message);
  });

  test('an unknown option is refused', () => {
    expect(() => make(name, { ...options, speed: 1 })).toThrow(`schedule.${name}: unknown option "speed"`);
  });

  test('options that are no object are refused', () => {
    expect(() => make(name, null as never)).toThrow(`schedule.${name}: options must be an object, got null`);
    expect(() => make(name, [0.1])).toThrow(
      `schedule.${name}: options must be an object, got an array of length 1`,
    );
  });

  test('every numeric option refuses NaN, a negative number and a string', () => {
    const defaults = make(name, options).options as Record<string, unknown>;
    for (const key of Object.keys(defaults).filter((k) => typeof defaults[k] === 'number'))
      for (const bad of [NaN, -1, Infinity, '1', null])
        expect(() => make(name, { ...options, [key]: bad }), `${key} ${bad}`).toThrow(
          new RegExp(
            `^schedule\\.${name}: ${key} must be an? (finite number|integer) .*, got (NaN|-1|Infinity|"1"|null)$`,
          ),
        );
  });

  test('every option without a default is asked for', () => {
    for (const key of Object.keys(options).filter((k) => !OPTIONAL.includes(`${name}.${k}`))) {
      const rest = Object.fromEntries(Object.entries(options).filter(([k]) => k !== key));
      expect(() => make(name, rest), key).toThrow(`schedule.${name}: ${key} is missing`);
    }
  });
});

/** Given in the table above though they have a default. */
const OPTIONAL = ['cyclic.stepSizeUp', 'warmRestarts.TMult'];

describe('the messages', () => {
  test.each([
    [
      () => schedule.cyclic({ baseLR: 1, maxLr: 2 } as never),
      'unknown option "baseLR"; did you mean "baseLr"?',
    ],
    [() => schedule.oneCycle({ maxLr: 1, totalStep: 5 } as never), 'did you mean "totalSteps"?'],
    [
      () => schedule.cosine({ lr: 1, T_max: 5 } as never),
      'schedule.cosine: unknown option "T_max"; did you mean "TMax"?',
    ],
    [
      () => schedule.constant({ lr: 1, speed: 5 } as never),
      'unknown option "speed"; known: lr, factor, totalIters',
    ],
    [
      () => schedule.cosine({ lr: NaN, TMax: 5 }),
      'schedule.cosine: lr must be a finite number >= 0, got NaN',
    ],
    [() => schedule.cosine({ lr: 1, TMax: 0 }), 'schedule.cosine: TMax must be a finite number > 0, got 0'],
    [() => schedule.step({ lr: 1, stepSize: 0 }), 'schedule.step: stepSize must be an integer >= 1, got 0'],
    [
      () => schedule.step({ lr: 1, stepSize: 2.5 }),
      'schedule.step: stepSize must be an integer >= 1, got 2.5',
    ],
    [
      () => schedule.cyclic({ baseLr: 1, maxLr: 0.1 }),
      'schedule.cyclic: baseLr must not exceed maxLr, got 1 and 0.1',
    ],
    [
      () => schedule.cyclic({ baseLr: 1, maxLr: 2, stepSizeUp: 0 }),
      'schedule.cyclic: stepSizeUp must be a finite number > 0, got 0',
    ],
    [
      () => schedule.cyclic({ baseLr: 1, maxLr: 2, gamma: 1.5 }),
      'schedule.cyclic: gamma must be a finite number > 0 and <= 1, got 1.5',
    ],
    [
      () => schedule.cyclic({ baseLr: 1, maxLr: 2, mode: 'exp_range' as never }),
      'schedule.cyclic: mode must be one of "triangular", "triangular2", "expRange", got "exp_range"',
    ],
    [
      () => schedule.cyclic({ baseLr: 1, maxLr: 2, cycleMomentum: 1 as never }),
      'schedule.cyclic: cycleMomentum must be true or false, got 1',
    ],
    [
      () => schedule.oneCycle({ maxLr: 1, totalSteps: 10, baseMomentum: 0.99 }),
      'schedule.oneCycle: baseMomentum must not exceed maxMomentum, got 0.99 and 0.95',
    ],
    [
      () => schedule.oneCycle({ maxLr: 1, totalSteps: 0 }),
      'schedule.oneCycle: totalSteps must be an integer >= 1, got 0',
    ],
    [
      () => schedule.warmRestarts({ lr: 0.001, T0: 5, etaMin: 0.01 }),
      'schedule.warmRestarts: etaMin must not exceed lr, got 0.01 and 0.001',
    ],
    [
      () => schedule.warmupCosine({ lr: 1, warmupSteps: 10, totalSteps: 10 }),
      'schedule.warmupCosine: warmupSteps must be less than totalSteps, got 10 and 10',
    ],
    [() => schedule.multiStep({ lr: 1, milestones: [5, 3] }), 'milestones must increase, got 5 before 3'],
    [
      () => schedule.multiStep({ lr: 1, milestones: 30 as never }),
      'schedule.multiStep: milestones must be an array, got 30',
    ],
    [
      () => schedule.warmup({ lr: {} as never, warmupSteps: 3 }),
      'schedule.warmup: lr must be a schedule, got an Object',
    ],
  ])('%s says what is wrong', (build, message) => {
    expect(build).toThrow(message);
  });

  test('a momentum range that is not used is not compared', () => {
    const s = schedule.oneCycle({
      maxLr: 1,
      totalSteps: 9,
      cycleMomentum: false,
      baseMomentum: 2,
      maxMomentum: 1,
    });
    expect(s.at(0).momentum).toBeUndefined();
  });
});
