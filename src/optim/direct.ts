// Optimizer updates on plain arrays, one fused pass each, for `thalweg/kernels`. The scalars come from the optimizers' own
// facts; the arrays, and the step's number, are the caller's to keep. Arrays are checked before anything is changed.
import { callDirect } from '../kernels/direct.js';
import { readOptions } from '../schedule/fields.js';
import { checkNumber, checkOptions, describe, rangeError } from '../tensor/errors.js';
import { adaboundFacts, type AdaBoundOptions } from './adabound.js';
import { adagradFacts, type AdagradOptions } from './adagrad.js';
import { adamFacts, adamwFacts, amsgradFacts, type AdamOptions, type AMSGradOptions } from './adam.js';
import { lionFacts, type LionOptions } from './lion.js';
import type { Facts } from './optimizer.js';
import { flag, number, type BaseOptions, type Resolved } from './options.js';
import { rmspropFacts, type RMSPropOptions } from './rmsprop.js';
import { sgdFacts, type SGDOptions } from './sgd.js';

/** The options of an optimizer with a plain learning rate, and the number of this update, from 1. */
type Plain<O> = Omit<O, 'lr'> & { lr?: number; step?: number };

type States = readonly (readonly [name: string, array: Float32Array])[];

/** An optimizer's facts, with the options that a function on plain arrays has settled: they are not the caller's to give. */
interface Rule<O extends BaseOptions> {
  readonly facts: Facts<O>;
  readonly settled?: Partial<O>;
}

function update<O extends BaseOptions>(
  where: string,
  { facts, settled = {} }: Rule<O>,
  param: Float32Array,
  grad: Float32Array,
  states: States,
  given: Plain<O>,
): void {
  const known = Object.keys(facts.fields({} as O)).filter((name) => !(name in settled));
  checkOptions(where, given, ['step', ...known]);
  const { step = 1, ...rest } = given;
  checkNumber(where, 'step', step, { min: 1, integer: true });
  const all = { ...rest, ...settled } as unknown as O;
  const options = readOptions(where, all, facts.fields(all));
  if (typeof options.lr !== 'number')
    throw rangeError(where, `lr must be a number, got ${describe(options.lr)}`);
  facts.check?.(where, options);
  const { kernel, states: used, cells } = facts.update(options as Resolved<O>, step);
  // A kernel may have places for states that this rule does not use.
  const unused = used.slice(states.length);
  callDirect(
    where,
    kernel,
    ['param', 'grad', ...states.map(([name]) => name), ...unused.map(() => ''), 'cells', 'length'],
    [
      param,
      grad,
      ...states.map(([, array]) => array),
      ...unused.map(() => null),
      Float32Array.from(cells),
      param?.length ?? 0,
    ],
  );
}

const sgd: Rule<SGDOptions> = {
  facts: sgdFacts,
  settled: { momentum: 0, dampening: 0, nesterov: false, variant: 'torch' },
};
const momentum: Rule<SGDOptions> = {
  facts: {
    ...sgdFacts,
    fields: (given) => ({ ...sgdFacts.fields(given), momentum: number({ above: 0 }, 0.9) }),
  },
};
const adagrad: Rule<AdagradOptions> = { facts: adagradFacts, settled: { initialAccumulatorValue: 0 } };
const rmsprop: Rule<RMSPropOptions> = { facts: rmspropFacts, settled: { momentum: 0, centered: false } };
const adam: Rule<AdamOptions & { decoupled?: boolean }> = {
  facts: {
    ...adamFacts,
    fields: (given) => ({ ...adamFacts.fields(given), decoupled: flag(false) }),
    update: (options, step) => (options.decoupled ? adamwFacts : adamFacts).update(options, step),
  },
  settled: { amsgrad: false },
};

/** θ -= lr g; see `optim.SGD`. */
export function sgdStep(
  param: Float32Array,
  grad: Float32Array,
  options: Pick<Plain<SGDOptions>, 'lr' | 'weightDecay' | 'maximize'> = {},
): void {
  update('sgdStep', sgd, param, grad, [], options);
}

/**
 * SGD with momentum (default 0.9); see `optim.SGD`. `velocity` starts at 0.
 * @example momentumStep(param, grad, velocity, { lr: 0.1, momentum: 0.9, nesterov: true })
 */
export function momentumStep(
  param: Float32Array,
  grad: Float32Array,
  velocity: Float32Array,
  options: Plain<SGDOptions> = {},
): void {
  update('momentumStep', momentum, param, grad, [['velocity', velocity]], options);
}

/** See `optim.Adagrad`. `sum` starts at 0, or at the initial accumulator. */
export function adagradStep(
  param: Float32Array,
  grad: Float32Array,
  sum: Float32Array,
  options: Omit<Plain<AdagradOptions>, 'initialAccumulatorValue'> = {},
): void {
  update('adagradStep', adagrad, param, grad, [['sum', sum]], options);
}

/** See `optim.RMSProp`, without momentum and not centred. `sq` starts at 0. */
export function rmspropStep(
  param: Float32Array,
  grad: Float32Array,
  sq: Float32Array,
  options: Omit<Plain<RMSPropOptions>, 'momentum' | 'centered'> = {},
): void {
  update('rmspropStep', rmsprop, param, grad, [['sq', sq]], options);
}

/**
 * See `optim.Adam`, and `optim.AdamW` if `decoupled`. `m` and `v` start at 0; `step` counts updates from 1.
 * @example adamStep(param, grad, m, v, { lr: 1e-3, step: 1, weightDecay: 0.01, decoupled: true })
 */
export function adamStep(
  param: Float32Array,
  grad: Float32Array,
  m: Float32Array,
  v: Float32Array,
  options: Omit<Plain<AdamOptions>, 'amsgrad'> & { decoupled?: boolean } = {},
): void {
  update(
    'adamStep',
    adam,
    param,
    grad,
    [
      ['m', m],
      ['v', v],
    ],
    options,
  );
}

/** See `optim.AMSGrad`. `m`, `v` and `vmax` start at 0. */
export function amsgradStep(
  param: Float32Array,
  grad: Float32Array,
  m: Float32Array,
  v: Float32Array,
  vmax: Float32Array,
  options: Plain<AMSGradOptions> = {},
): void {
  update(
    'amsgradStep',
    { facts: amsgradFacts },
    param,
    grad,
    [
      ['m', m],
      ['v', v],
      ['vmax', vmax],
    ],
    options,
  );
}

/** See `optim.AdaBound`; `lr` counts as its base rate too unless `baseLr` is given. `m` and `v` start at 0. */
export function adaboundStep(
  param: Float32Array,
  grad: Float32Array,
  m: Float32Array,
  v: Float32Array,
  options: Plain<AdaBoundOptions> = {},
): void {
  update(
    'adaboundStep',
    { facts: adaboundFacts },
    param,
    grad,
    [
      ['m', m],
      ['v', v],
    ],
    options,
  );
}

/** See `optim.Lion`. `m` starts at 0. */
export function lionStep(
  param: Float32Array,
  grad: Float32Array,
  m: Float32Array,
  options: Plain<LionOptions> = {},
): void {
  update('lionStep', { facts: lionFacts }, param, grad, [['m', m]], options);
}
