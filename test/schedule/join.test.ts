import { describe, expect, test } from 'vitest';
import { constant, cyclic, join, linear, step, warmup } from '../../src/schedule/index.js';
import { expectClose, rates } from './trace.js';

const ramp = warmup({ lr: 1, warmupSteps: 4 });
const fall = linear({ lr: 1, totalIters: 4, startFactor: 1, endFactor: 0 });

describe('join', () => {
  test('each schedule runs on its own clock from its milestone on', () => {
    const s = join({ schedules: [ramp, fall, step({ lr: 8, stepSize: 2, gamma: 0.5 })], milestones: [4, 6] });
    expectClose(rates(s, 11), [0, 0.25, 0.5, 0.75, 1, 0.75, 8, 8, 4, 4, 2]);
  });

  // PyTorch's SequentialLR starts with a rate that the later schedules have overwritten
  test('the later schedules do not disturb the first rate', () => {
    const s = join({ schedules: [constant({ lr: 0.1 }), constant({ lr: 0.9 })], milestones: [2] });
    expect(rates(s, [2, 0, 1, 3])).toEqual([0.9, 0.1, 0.1, 0.9]);
  });

  test('a milestone belongs to the later schedule, a moment before to the earlier', () => {
    const s = join({ schedules: [constant({ lr: 1 }), constant({ lr: 2 })], milestones: [3] });
    expect(rates(s, [2.999, 3])).toEqual([1, 2]);
  });

  test('a cut cycle and momentum come through, and joins nest', () => {
    const wave = cyclic({ baseLr: 1, maxLr: 2, stepSizeUp: 2 });
    const inner = join({ schedules: [wave, fall], milestones: [3] });
    const s = join({ schedules: [ramp, inner], milestones: [10] });
    expect(s.at(12)).toEqual(wave.at(2));
    expect(s.at(15)).toEqual(fall.at(2));
    expect('momentum' in s.at(15)).toBe(false);
  });

  test('one schedule needs no milestones', () => {
    expect(rates(join({ schedules: [fall], milestones: [] }), 6)).toEqual(rates(fall, 6));
  });

  test('it prints with the schedules inside', () => {
    const s = join({ schedules: [constant({ lr: 1 }), ramp], milestones: [3] });
    expect(JSON.parse(JSON.stringify(s))).toEqual({
      name: 'join',
      options: {
        schedules: [
          { name: 'constant', options: { lr: 1, factor: 1, totalIters: 0 } },
          { name: 'warmup', options: { lr: 1, warmupSteps: 4, startLr: 0 } },
        ],
        milestones: [3],
      },
    });
  });

  test.each([
    [{ schedules: [], milestones: [] }, 'schedule.join: schedules must hold at least one schedule'],
    [{ schedules: [ramp, fall], milestones: [] }, 'schedule.join: 2 schedules need 1 milestones, got 0'],
    [{ schedules: [ramp, 0.1], milestones: [3] }, 'schedule.join: schedules[1] must be a schedule, got 0.1'],
    [
      { schedules: [ramp, null], milestones: [3] },
      'schedule.join: schedules[1] must be a schedule, got null',
    ],
    [{ schedules: ramp, milestones: [3] }, 'schedule.join: schedules must be an array, got an Object'],
    [
      { schedules: [ramp, fall, ramp], milestones: [5, 5] },
      'schedule.join: milestones must increase, got 5 before 5',
    ],
    [
      { schedules: [ramp, fall], milestones: [0] },
      'schedule.join: milestones[0] must be a finite number > 0, got 0',
    ],
    [{ schedules: [ramp, fall] }, 'schedule.join: milestones is missing'],
  ])('it refuses %j', (options, message) => {
    expect(() => join(options as never)).toThrow(message);
  });
});
