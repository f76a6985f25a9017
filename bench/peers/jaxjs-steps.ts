// Training steps in jax-js: those models of models.ts whose step takes it less than seconds.
import { corrections, rules, updateAll } from './jaxjs-optimizers.js';
import { makeTools, type A, type Jax, type Tree } from './jaxjs-tools.js';
import type { Make, Run } from './serve.js';

interface Model {
  params: Tree;
  forward(params: Tree, x: A): A;
  x: A;
  targets: number;
  classes: number;
}

type Layers = [A, A][];

function dense({ normal }: ReturnType<typeof makeTools>, { numpy: np }: Jax, sizes: number[]): Layers {
  return sizes.slice(1).map((out, k) => [normal(sizes[k]!, out).mul(0.05), np.zeros([out])]);
}

function perceptron({ numpy: np, nn }: Jax, layers: Layers, x: A): A {
  return layers.reduce((h, [weight, bias], k) => {
    const z = np.matmul(h, weight).add(bias);
    return k + 1 < layers.length ? nn.relu(z) : z;
  }, x);
}

function models(jax: Jax): Record<string, () => Model> {
  const { numpy: np, nn, lax } = jax;
  const tools = makeTools(jax);
  const { normal } = tools;
  const mlp = (batch: number, ...sizes: number[]): Model => ({
    params: dense(tools, jax, sizes),
    forward: (params, x) => perceptron(jax, params as Layers, x),
    x: normal(batch, sizes[0]!),
    targets: batch,
    classes: 10,
  });

  const cnn = (): Model => {
    const filters: Layers = [
      [1, 32],
      [32, 64],
    ].map(([c, k]) => [normal(k!, c!, 3, 3).mul(0.1), np.zeros([k!, 1, 1])]);
    const features = (x: A, [weight, bias]: [A, A]): A => {
      const y = nn.relu(lax.convGeneralDilated(x, weight, [1, 1], 'SAME').add(bias));
      const [n, c, h, w] = y.shape as [number, number, number, number];
      return y.reshape([n, c, h / 2, 2, w / 2, 2]).max([3, 5]);
    };
    return {
      params: [filters, dense(tools, jax, [64 * 49, 128, 10])],
      forward: (params, x) => {
        const [filters, layers] = params as [Layers, Layers];
        return perceptron(jax, layers, filters.reduce(features, x).reshape([64, 64 * 49]));
      },
      x: normal(64, 1, 28, 28),
      targets: 64,
      classes: 10,
    };
  };

  /** One layer over [time, batch, features]: the outputs by time. */
  const recur = ([wx, wh, bx, bh]: [A, A, A, A], inputs: A[], width: number): A[] => {
    const batch = inputs[0]!.shape[0]!;
    let [h, c] = [np.zeros([batch, width]), np.zeros([batch, width])];
    const outputs = inputs.map((x) => {
      const z = np.matmul(x, wx.ref).add(bx.ref).add(np.matmul(h, wh.ref)).add(bh.ref);
      const [i, f, g, o] = np.split(z, 4, 1) as [A, A, A, A];
      c = nn
        .sigmoid(f)
        .mul(c)
        .add(nn.sigmoid(i).mul(np.tanh(g)));
      h = nn.sigmoid(o).mul(np.tanh(c.ref));
      return h.ref;
    });
    for (const used of [wx, wh, bx, bh, h, c]) used.dispose();
    return outputs;
  };

  const lstm = (): Model => {
    const cells = [64, 128].map((n): [A, A, A, A] => [
      normal(n, 512).mul(0.05),
      normal(128, 512).mul(0.05),
      np.zeros([512]),
      np.zeros([512]),
    ]);
    return {
      params: [cells, dense(tools, jax, [128, 10])],
      forward: (params, x) => {
        const [cells, head] = params as [[A, A, A, A][], Layers];
        const parts = np.split(x, 32, 0).map((t) => t.reshape([32, 64]));
        const outputs = cells.reduce((inputs, cell) => recur(cell, inputs, 128), parts);
        for (const unused of outputs.slice(0, -1)) unused.dispose();
        return perceptron(jax, head, outputs.at(-1)!);
      },
      x: normal(32, 32, 64),
      targets: 32,
      classes: 10,
    };
  };

  return {
    tiny: () => mlp(16, 16, 32, 10),
    mlp: () => mlp(128, 784, 512, 256, 10),
    deep: () => mlp(32, ...Array<number>(21).fill(64), 10),
    cnn,
    lstm,
  };
}

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
