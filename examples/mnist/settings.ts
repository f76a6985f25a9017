// The eleven settings: optimizer, learning rate, schedule, and why these numbers. The rates were chosen on a split of the
// training images (50,000 to learn, 10,000 to judge) with one seed and two to five values each, at batches of 64 and 80:
// good rates, not the best possible ones. The order of the constant rates in the results is mostly chance.
import { optim, schedule, type nn } from 'thalweg';

/** The batch size that the rates below are for. */
const TUNED_BATCH = 80;

/** What the schedules and rates depend on. */
export interface Scale {
  /** Updates in the whole training. */
  total: number;
  /** Examples per update. */
  batch: number;
}

/** A setting made concrete for one training. */
export interface Chosen {
  /** The numbers in words. */
  text: string;
  optimizer(model: nn.Module): optim.Optimizer;
  /** What moves the momentum, where something does. */
  moves?: { at(step: number): { momentum?: number } };
}

export interface Setting {
  key: string;
  name: string;
  why: string;
  choose(scale: Scale): Chosen;
}

/**
 * The rate for another batch size. Below 80, SGD's follows the batch (the sum over an epoch stays the same: Goyal et al.,
 * 2017) and an adaptive method's its square root (Malladi et al., 2022). Above 80 it stays: larger ones diverge.
 */
function scaled(lr: number, kind: 'sgd' | 'adaptive', { batch }: Scale): number {
  const share = Math.min(1, batch / TUNED_BATCH);
  return Number((lr * (kind === 'sgd' ? share : Math.sqrt(share))).toPrecision(2));
}

type Adaptive = 'Adagrad' | 'RMSProp' | 'Adam' | 'AMSGrad';

/** An adaptive method at a constant rate with its usual other numbers. */
const adaptive = (name: Adaptive, lr: number, text: string, why: string): Setting => ({
  key: name.toLowerCase(),
  name,
  why,
  choose(scale) {
    const rate = scaled(lr, 'adaptive', scale);
    return {
      text: `lr ${rate}${text}`,
      optimizer: (model) => new optim[name](model.namedParameters(), { lr: rate }),
    };
  },
});

const MOMENTUM = 0.9;

/** SGD with momentum 0.9 along a schedule. */
const scheduled = (
  key: string,
  name: string,
  why: string,
  plan: (rate: (lr: number) => number, total: number) => [schedule.Schedule, string],
): Setting => ({
  key,
  name: `SGDM + ${name}`,
  why,
  choose(scale) {
    const [lr, text] = plan((value) => scaled(value, 'sgd', scale), scale.total);
    return {
      text,
      moves: lr,
      optimizer: (model) => new optim.SGD(model.namedParameters(), { lr, momentum: MOMENTUM }),
    };
  },
});

const sgd: Setting = {
  key: 'sgd',
  name: 'SGD',
  why: 'Without momentum, steps ten times as long as those of SGDM cover the same ground.',
  choose(scale) {
    const lr = scaled(0.3, 'sgd', scale);
    return { text: `lr ${lr}`, optimizer: (model) => new optim.SGD(model.namedParameters(), { lr }) };
  },
};

const sgdm: Setting = {
  key: 'sgdm',
  name: 'SGDM',
  why: 'Momentum 0.9 adds up about ten gradients, so a tenth of the rate of SGD.',
  choose(scale) {
    const lr = scaled(0.03, 'sgd', scale);
    return {
      text: `lr ${lr}, momentum ${MOMENTUM}`,
      optimizer: (model) => new optim.SGD(model.namedParameters(), { lr, momentum: MOMENTUM }),
    };
  },
};

const adabound: Setting = {
  key: 'adabound',
  name: 'AdaBound',
  why: 'Starts as Adam does and ends near SGD at rate 0.1.',
  choose(scale) {
    const [lr, finalLr, gamma] = [scaled(0.003, 'adaptive', scale), scaled(0.1, 'sgd', scale), 1e-3];
    return {
      text: `lr ${lr}, betas 0.9 and 0.999, finalLr ${finalLr}, gamma 1e-3`,
      optimizer: (model) => new optim.AdaBound(model.namedParameters(), { lr, finalLr, gamma }),
    };
  },
};

const swats: Setting = {
  key: 'swats',
  name: 'SWATS',
  why:
    'The published test for the switch (an absolute tolerance of 1e-9) practically never passes, and SWATS is then just ' +
    'Adam. Here the estimated SGD rate has to be within 0.1 % of its average, after the first third of the training.',
  choose(scale) {
    const lr = scaled(0.003, 'adaptive', scale);
    const minSteps = Math.max(2, Math.round(scale.total / 3));
    return {
      text: `lr ${lr}, betas 0.9 and 0.999, relTol 1e-3, minSteps ${minSteps}`,
      optimizer: (model) => new optim.SWATS(model.namedParameters(), { lr, relTol: 1e-3, minSteps }),
    };
  },
};

const cyclical = scheduled(
  'cyclical',
  'cyclical',
  'Three whole cycles, each half as high as the one before, so that the training ends at the lowest rate.',
  (rate, total) => {
    const [baseLr, maxLr, half] = [rate(0.005), rate(0.1), Math.max(1, total / 6)];
    const lr = schedule.cyclic({
      baseLr,
      maxLr,
      stepSizeUp: half,
      mode: 'triangular2',
      cycleMomentum: false,
    });
    return [
      lr,
      `triangular2 from ${baseLr} to ${maxLr}, ${+half.toFixed(1)} steps up and as many down, momentum ${MOMENTUM}`,
    ];
  },
);

const sgdr = scheduled(
  'sgdr',
  'SGDR',
  'One short cosine cycle and one twice as long: the last one ends exactly with the training.',
  (rate, total) => {
    const [lr, T0] = [rate(0.05), Math.max(1, total / 3)];
    return [
      schedule.warmRestarts({ lr, T0, TMult: 2 }),
      `cosine from ${lr} to 0, restart after ${+T0.toFixed(1)} steps, then twice as long, momentum ${MOMENTUM}`,
    ];
  },
);

const oneCycle = scheduled(
  'onecycle',
  'one-cycle',
  'A large rate in the middle, with less momentum there, and a long way down.',
  (rate, total) => {
    const maxLr = rate(0.1);
    return [
      schedule.oneCycle({ maxLr, totalSteps: Math.max(1, total), pctStart: 0.3 }),
      `one cycle up to ${maxLr} at 30 % of ${total} steps, then to 0, momentum 0.95 to 0.85 to 0.95`,
    ];
  },
);

export const SETTINGS: readonly Setting[] = [
  sgd,
  sgdm,
  adaptive('Adagrad', 0.03, ', no decay', 'Its rates only fall, so it starts with a large one.'),
  adaptive(
    'RMSProp',
    0.001,
    ', alpha 0.99',
    'Its first steps are not corrected for bias and need a small rate.',
  ),
  adaptive('Adam', 0.003, ', betas 0.9 and 0.999', 'Three times the usual 0.001: the training is short.'),
  adaptive('AMSGrad', 0.003, ', betas 0.9 and 0.999', 'As Adam, to show what the maximum alone changes.'),
  adabound,
  swats,
  cyclical,
  sgdr,
  oneCycle,
];
