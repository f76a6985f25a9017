// Optimizer steps as users take them: `step()` over one long parameter, and over a hundred short ones.
import { optim, tensor, zeros, type Tensor } from 'thalweg';
import type { Prepared, Work } from './runner.js';

interface Rule {
  /** State arrays that a step reads and writes. */
  states: number;
  make: (params: Tensor[]) => { step(): void };
}

const lr = 1e-3;
const RULES: Readonly<Record<string, Rule>> = {
  sgd: { states: 0, make: (p) => new optim.SGD(p, { lr }) },
  momentum: { states: 1, make: (p) => new optim.SGD(p, { lr, momentum: 0.9 }) },
  adagrad: { states: 1, make: (p) => new optim.Adagrad(p, { lr }) },
  rmsprop: { states: 1, make: (p) => new optim.RMSProp(p, { lr }) },
  adam: { states: 2, make: (p) => new optim.Adam(p, { lr }) },
  adamw: { states: 2, make: (p) => new optim.AdamW(p, { lr }) },
  adabound: { states: 2, make: (p) => new optim.AdaBound(p, { lr }) },
  amsgrad: { states: 3, make: (p) => new optim.AMSGrad(p, { lr }) },
};

/** [tensors, parameters in each]. */
const SIZES = [
  [1, 1e4],
  [1, 1e6],
  [1, 1e7],
  [100, 1e4],
] as const;

function prepare({ make }: Rule, tensors: number, length: number): Prepared {
  const gradient = tensor(Float32Array.from({ length }, (_, k) => Math.sin(k)));
  const params = Array.from({ length: tensors }, () => zeros([length], { requiresGrad: true }));
  const optimizer = make(params);
  for (const p of params) p.grad = gradient;
  return { run: () => optimizer.step() };
}

const works = (name: string, rule: Rule): Work[] =>
  SIZES.map(([tensors, length]) => {
    const count = tensors * length;
    // The gradient is one array, however many parameters there are.
    const set = 4 * (count * (1 + rule.states) + length);
    return {
      name: `${name} ${tensors === 1 ? '' : `${tensors}×`}${length.toExponential().replace('+', '')}`,
      kind: 'optimizer',
      args: [name, tensors, length],
      // Parameter and states are read and written, the gradient is read.
      rate: { unit: 'GB/s', amount: ((2 + 1 + 2 * rule.states) * 4 * count) / 1e9, set, pattern: 'update' },
      per: { count, unit: 'ns/param' },
      prepare: () => prepare(rule, tensors, length),
    };
  });

export const optimizers: readonly Work[] = Object.entries(RULES).flatMap(([name, rule]) => works(name, rule));
