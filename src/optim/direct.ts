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
import type { BaseOptions, Resolved } from './options.js';
import { rmspropFacts, type RMSPropOptions } from './rmsprop.js';
import { sgdFacts, type SGDOptions } from './sgd.js';

/** The options of an optimizer with a plain learning rate, and the number of this update, from 1. */
type Plain<O> = Omit<O, 'lr'> & { lr?: number; step?: number };

type States = readonly (readonly [name: string, array: Float32Array])[];

function update<O extends BaseOptions>(
  where: string,
  facts: Facts<O>,
  param: Float32Array,
  grad: Float32Array,
  states: States,
  given: Plain<O>,
): void {
  const { step = 1, ...rest } = given;
  checkOptions(where, given, ['step', ...Object.keys(facts.fields({} as O))]);
  checkNumber(where, 'step', step, { min: 1, integer: true });
  const options = readOptions(where, rest as unknown as O, facts.fields(rest as unknown as O));
  if (typeof options.lr !== 'number')
    throw rangeError(where, `lr must be a number, got ${describe(options.lr)}`);
  facts.check?.(where, options);
  const { kernel, states: used, cells } = facts.update(options as Resolved<O>, step);
  // A kernel may have places for states that this rule does not use.
  const arrays =
    used.length > states.length
      ? [...states.map(([, array]) => array), ...used.slice(states.length).map(() => null)]
      : states.map(([, array]) => array);
  callDirect(
    where,
    kernel,
    ['param', 'grad', ...states.map(([name]) => name), ...used.slice(states.length).map(() => ''), 'cells'],
    [param, grad, ...arrays, Float32Array.from(cells), param?.length ?? 0],
  );
}

/** θ -= lr g; see `optim.SGD`. */
export function sgdStep(
  param: Float32Array,
  grad: Float32Array,
  options: Pick<Plain<SGDOptions>, 'lr' | 'weightDecay' | 'maximize'> = {},
): void {
  update('sgdStep', sgdFacts, param, grad, [], options);
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
  const momentum = checkNumber('momentumStep', 'momentum', options.momentum ?? 0.9, { above: 0 });
  update('momentumStep', sgdFacts, param, grad, [['velocity', velocity]], { ...options, momentum });
}

/** See `optim.Adagrad`. `sum` starts at 0, or at the initial accumulator. */
export function adagradStep(
  param: Float32Array,
  grad: Float32Array,
  sum: Float32Array,
  options: Plain<AdagradOptions> = {},
): void {
  update('adagradStep', adagradFacts, param, grad, [['sum', sum]], options);
}

/** See `optim.RMSProp`, without momentum and not centred. `sq` starts at 0. */
export function rmspropStep(
  param: Float32Array,
  grad: Float32Array,
  sq: Float32Array,
  options: Omit<Plain<RMSPropOptions>, 'momentum' | 'centered'> = {},
): void {
  update('rmspropStep', rmspropFacts, param, grad, [['sq', sq]], {
    ...options,
    momentum: 0,
    centered: false,
  });
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
  const { decoupled = false, ...rest } = options;
  const facts = decoupled ? adamwFacts : adamFacts;
  update(
    'adamStep',
    facts,
    param,
    grad,
    [
      ['m', m],
      ['v', v],
    ],
    { ...rest, weightDecay: rest.weightDecay ?? 0, amsgrad: false },
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
    amsgradFacts,
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
    adaboundFacts,
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
  update('lionStep', lionFacts, param, grad, [['m', m]], options);
}
