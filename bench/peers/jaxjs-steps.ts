// Training steps in jax-js: each is one jitted function from parameters and optimizer state to the next ones.
import { models, type Model } from './jaxjs-models.js';
import { corrections, rules, updateAll } from './jaxjs-optimizers.js';
import type { A, Jax, Tree } from './jaxjs-tools.js';
import type { Make, Run } from './serve.js';

function step(jax: Jax, { params: start, forward, x, targets, classes }: Model, name: string): Run {
  const { numpy: np, nn, tree } = jax;
  const rule = rules(jax)[name]!;
  const labels = Int32Array.from({ length: targets }, (_, k) => k % classes);
  const y = nn.oneHot(np.array(labels, { dtype: 'int32' }), classes);
  let params = start;
  let states = tree.leaves(params).map((p) => Array.from({ length: rule.states }, () => np.zeros(p.shape)));
  let t = 0;
  const loss = (params: Tree, x: A, y: A): A =>
    nn
      .logSoftmax(forward(params, x), -1)
      .mul(y)
      .sum()
      .mul(-1 / targets);
  const both = jax.valueAndGrad(loss);
  const update = jax.jit((params: Tree, states: A[][], x: A, y: A, numbers: [A, A]) => {
    const [value, gradients] = both(tree.ref(params), x, y);
    const [list, next] = updateAll(rule, tree.leaves(params), tree.leaves(gradients), states, numbers);
    return [tree.unflatten(tree.structure(params), list), next, value] as [Tree, A[][], A];
  });
  return async () => {
    const [changed, next, value] = update(params, states, x.ref, y.ref, corrections(jax, ++t));
    params = changed;
    states = next;
    await value.data();
    // The updates too, not the loss alone.
    await Promise.all(tree.leaves(params).map((p) => p.blockUntilReady()));
  };
}

export function stepKinds(jax: Jax): Record<string, Make> {
  const count = (tree: Tree): number => jax.tree.leaves(tree).reduce((sum, { size }) => sum + size, 0);
  return Object.fromEntries(
    Object.entries(models(jax)).map(([kind, make]): [string, Make] => [
      kind,
      (name: string, parameters: number) => {
        const model = make();
        const found = count(model.params);
        if (found !== parameters) throw new Error(`the model has ${found} parameters, not ${parameters}`);
        return step(jax, model, name);
      },
    ]),
  );
}
