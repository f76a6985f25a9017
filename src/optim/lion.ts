// Lion: the sign of an interpolated momentum.
import { Optimizer, type Facts } from './optimizer.js';
import {
  betas,
  flag,
  learningRate,
  number,
  type BaseOptions,
  type Betas,
  type Fields,
  type ParamsOrGroups,
} from './options.js';

export interface LionOptions extends BaseOptions {
  /** Weight of the momentum in the update, and its decay rate ([0.9, 0.99]). */
  betas?: Betas;
  /** Decoupled: `θ` is multiplied by `1 - lr weightDecay` (0). */
  weightDecay?: number;
  /** Ascends (false). */
  maximize?: boolean;
}

const facts: Facts<LionOptions> = {
  name: 'Lion',
  fields: (): Fields<LionOptions> => ({
    lr: learningRate(1e-4),
    betas: betas(0.9, 0.99),
    weightDecay: number({ min: 0 }, 0),
    maximize: flag(false),
  }),
  states: ['expAvg'],
  update: ({ lr, betas: [b1, b2], weightDecay, maximize }) => ({
    kernel: 'lionStep',
    states: ['expAvg'],
    cells: [lr, 0, maximize ? -1 : 1, b1, 1 - b1, b2, 1 - b2, 1 - lr * weightDecay],
  }),
};

/**
 * Lion: `θ *= 1 - lr weightDecay; θ -= lr sign(b1 m + (1 - b1) g); m = b2 m + (1 - b2) g`.
 *
 * Chen et al., "Symbolic Discovery of Optimization Algorithms", NeurIPS 2023. Its learning rate is 3 to 10 times smaller
 * than Adam's, and its decay larger by as much. As timm.
 * @example
 * const opt = new optim.Lion(model.namedParameters(), { lr: 1e-4, weightDecay: 0.1 });
 */
export class Lion extends Optimizer<LionOptions> {
  constructor(params: ParamsOrGroups<LionOptions>, options: LionOptions = {}) {
    super(facts, params, options);
  }
}

export { facts as lionFacts };
