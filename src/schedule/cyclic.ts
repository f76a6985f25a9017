// Cyclical learning rates: a triangle wave between two bounds, whose height may shrink.
import { checkOrder, choice, flag, number, period, rate } from './fields.js';
import { define, type Schedule } from './schedule.js';

const MODES = ['triangular', 'triangular2', 'expRange'] as const;

export interface CyclicOptions {
  /** The lower bound, and the value at step 0. */
  baseLr: number;
  /** The peak of the first cycle. */
  maxLr: number;
  /** Steps from the bottom to the peak (2000); the paper advises 2 to 8 epochs. */
  stepSizeUp?: number;
  /** Steps from the peak to the bottom; `stepSizeUp` if not given. */
  stepSizeDown?: number;
  /** How the height shrinks: not at all, by half each cycle, or by `gamma` each step. */
  mode?: (typeof MODES)[number];
  /** The factor of `expRange`, in (0, 1] (1). Counts steps since the start, not cycles. */
  gamma?: number;
  /** Whether momentum moves against the rate, with the same shape and shrinking height (true). */
  cycleMomentum?: boolean;
  /** Momentum at the peak of the first cycle (0.8). */
  baseMomentum?: number;
  /** Momentum at the bottom (0.9). */
  maxMomentum?: number;
}

/**
 * Returns the cyclical schedule `lr = base + (max - base) f scale`, where `f` rises from 0 to 1 in `stepSizeUp`
 * steps and falls back in `stepSizeDown`, and `scale` is 1, `2^-cycle` or `gamma^step`; momentum is
 * `maxM - (maxM - baseM) f scale`.
 *
 * Smith, "Cyclical Learning Rates for Training Neural Networks", 2017.
 * @example schedule.cyclic({ baseLr: 1e-3, maxLr: 6e-3, stepSizeUp: 2000, mode: 'triangular2' })
 */
export function cyclic(options: CyclicOptions): Schedule<Required<CyclicOptions>> {
  const fields = {
    baseLr: rate(),
    maxLr: rate(),
    stepSizeUp: period(2000),
    stepSizeDown: period(options?.stepSizeUp ?? 2000),
    mode: choice(MODES, 'triangular'),
    gamma: number({ above: 0, max: 1 }, 1),
    cycleMomentum: flag(true),
    baseMomentum: number({ min: 0 }, 0.8),
    maxMomentum: number({ min: 0 }, 0.9),
  };
  return define<CyclicOptions>('cyclic', options, fields, (o, where) => {
    checkOrder(where, o, 'baseLr', 'maxLr');
    if (o.cycleMomentum) checkOrder(where, o, 'baseMomentum', 'maxMomentum');
    return (step) => {
      const height = heightAt(step, o);
      const lr = o.baseLr + (o.maxLr - o.baseLr) * height;
      if (!o.cycleMomentum) return { lr };
      return { lr, momentum: o.maxMomentum - (o.maxMomentum - o.baseMomentum) * height };
    };
  });
}

function heightAt(step: number, o: Required<CyclicOptions>): number {
  const total = o.stepSizeUp + o.stepSizeDown;
  const phase = step % total; // exact, unlike step / total - floor(step / total)
  const height = phase <= o.stepSizeUp ? phase / o.stepSizeUp : (total - phase) / o.stepSizeDown;
  if (o.mode === 'triangular2') return height * 2 ** -Math.round((step - phase) / total);
  return o.mode === 'expRange' ? height * o.gamma ** step : height;
}
