// Optimizers in jax-js, which has none of its own: each is one jitted update of parameters and state.
import { makeTools, type A, type Jax } from './jaxjs-tools.js';
import type { Make, Run } from './serve.js';

/** The change of one parameter by its gradient: its next value and its next state. */
export interface Rule {
  states: number;
  update(p: A, g: A, state: A[], step: { rate: A; second: A }): [A, A[]];
}

const LR = 1e-3;
const EPS = 1e-8;
/** AdamW's, as elsewhere. */
const DECAY = 0.01;

/** m = β1 m + (1 - β1) g, v = β2 v + (1 - β2) g²: both next moments. */
const moments = (m: A, v: A, g: A): [A, A] => [
  m.mul(0.9).add(g.ref.mul(0.1)),
  v.mul(0.999).add(g.ref.mul(g).mul(0.001)),
];

export function rules({ numpy: np }: Jax): Readonly<Record<string, Rule>> {
  const adam: Rule = {
    states: 2,
    update: (p, g, [m, v], { rate, second }) => {
      const [m1, v1] = moments(m!, v!, g);
      const change = m1.ref.mul(rate).div(np.sqrt(v1.ref.mul(second)).add(EPS));
      return [p.sub(change), [m1, v1]];
    },
  };
  return {
    sgd: { states: 0, update: (p, g) => [p.sub(g.mul(LR)), []] },
    momentum: {
      states: 1,
      update: (p, g, [v]) => {
        const next = v!.mul(0.9).add(g);
        return [p.sub(next.ref.mul(LR)), [next]];
      },
    },
    adagrad: {
      states: 1,
      update: (p, g, [s]) => {
        const next = s!.add(g.ref.mul(g.ref));
        return [p.sub(g.mul(LR).div(np.sqrt(next.ref).add(EPS))), [next]];
      },
    },
    rmsprop: {
      states: 1,
      update: (p, g, [s]) => {
        const next = s!.mul(0.99).add(g.ref.mul(g.ref).mul(0.01));
        return [p.sub(g.mul(LR).div(np.sqrt(next.ref).add(EPS))), [next]];
      },
    },
    adam,
    adamw: { ...adam, update: (p, ...rest) => adam.update(p.mul(1 - LR * DECAY), ...rest) },
    amsgrad: {
      states: 3,
      update: (p, g, [m, v, top], { rate, second }) => {
        const [m1, v1] = moments(m!, v!, g);
        const top1 = np.maximum(top!, v1.ref);
        const change = m1.ref.mul(rate).div(np.sqrt(top1.ref.mul(second)).add(EPS));
        return [p.sub(change), [m1, v1, top1]];
      },
    },
  };
}

/** The step's numbers, which change from call to call: the rate by 1 - β1ᵗ, and 1 / (1 - β2ᵗ). */
export const corrections = ({ numpy: np }: Jax, t: number): [A, A] => [
  np.array(new Float32Array([LR / (1 - 0.9 ** t)])),
  np.array(new Float32Array([1 / (1 - 0.999 ** t)])),
];

/** All parameters' next values and states, as one function to be jitted. */
export function updateAll(
  rule: Rule,
  params: A[],
  gradients: A[],
  states: A[][],
  [rate, second]: [A, A],
): [A[], A[][]] {
  const pairs = params.map((p, k) =>
    rule.update(p, gradients[k]!, states[k]!, { rate: rate.ref, second: second.ref }),
  );
  return [pairs.map(([p]) => p), pairs.map(([, state]) => state)];
}

export function optimizerKinds(jax: Jax): Record<string, Make> {
  const { normal } = makeTools(jax);
  const known = rules(jax);
  const optimizer = (name: string, tensors: number, length: number): Run | undefined => {
    const rule = known[name];
    if (!rule) return undefined;
    const list = (): A[] => Array.from({ length: tensors }, () => normal(length));
    const gradients = list();
    let params = list();
    let states = params.map(() => Array.from({ length: rule.states }, () => jax.numpy.zeros([length])));
    let t = 0;
    const update = jax.jit((params: A[], gradients: A[], states: A[][], numbers: [A, A]) =>
      updateAll(rule, params, gradients, states, numbers),
    );
    return async () => {
      [params, states] = update(params, jax.tree.ref(gradients), states, corrections(jax, ++t));
      await Promise.all(params.map((p) => p.blockUntilReady()));
    };
  };
  return { optimizer: optimizer as Make };
}
