// The models of models.ts in jax-js, but ResNet-20, whose step takes it more than a minute.
import { makeTools, type A, type Jax, type Tools, type Tree } from './jaxjs-tools.js';

export interface Model {
  params: Tree;
  forward: (params: Tree, x: A) => A;
  x: A;
  targets: number;
  classes: number;
}

type Layer = [weight: A, bias: A];
type Library = Jax & { tools: Tools };

const ids = ({ numpy: np }: Jax, count: number, below: number): A =>
  np.array(
    Int32Array.from({ length: count }, (_, k) => (7 * k) % below),
    { dtype: 'int32' },
  );

const layer = ({ tools, numpy: np }: Library, from: number, to: number): Layer => [
  tools.normal(from, to).mul(0.05),
  np.zeros([to]),
];

const dense = (jax: Library, sizes: readonly number[]): Layer[] =>
  sizes.slice(1).map((to, k) => layer(jax, sizes[k]!, to));

const project = ({ numpy: np }: Jax, [weight, bias]: Layer, x: A): A => np.matmul(x, weight).add(bias);

const perceptron = (jax: Jax, layers: readonly Layer[], x: A): A =>
  layers.reduce((h, one, k) => {
    const z = project(jax, one, h);
    return k + 1 < layers.length ? jax.nn.relu(z) : z;
  }, x);

const mlp = (jax: Library, batch: number, ...sizes: number[]): Model => ({
  params: dense(jax, sizes),
  forward: (params, x) => perceptron(jax, params as Layer[], x),
  x: jax.tools.normal(batch, sizes[0]!),
  targets: batch,
  classes: 10,
});

function cnn(jax: Library): Model {
  const { nn, lax, numpy: np, tools } = jax;
  const filters = [
    [1, 32],
    [32, 64],
  ].map(([c, k]): Layer => [tools.normal(k!, c!, 3, 3).mul(0.1), np.zeros([k!, 1, 1])]);
  const features = (x: A, [weight, bias]: Layer): A => {
    const y = nn.relu(lax.convGeneralDilated(x, weight, [1, 1], 'SAME').add(bias));
    const [n, c, h, w] = y.shape as [number, number, number, number];
    return y.reshape([n, c, h / 2, 2, w / 2, 2]).max([3, 5]);
  };
  return {
    params: [filters, dense(jax, [64 * 49, 128, 10])],
    forward: (params, x) => {
      const [filters, layers] = params as [Layer[], Layer[]];
      return perceptron(jax, layers, filters.reduce(features, x).reshape([64, 64 * 49]));
    },
    x: tools.normal(64, 1, 28, 28),
    targets: 64,
    classes: 10,
  };
}

type Cell = [wx: A, wh: A, bx: A, bh: A];

/** One layer of an LSTM over inputs by time: the outputs by time. */
function recur({ numpy: np, nn }: Jax, [wx, wh, bx, bh]: Cell, inputs: readonly A[], width: number): A[] {
  const start = [inputs[0]!.shape[0]!, width];
  let [h, c] = [np.zeros(start), np.zeros(start)];
  const outputs = inputs.map((x) => {
    const z = np.matmul(x, wx.ref).add(bx.ref).add(np.matmul(h, wh.ref)).add(bh.ref);
    const [i, f, g, o] = np.split(z, 4, 1) as [A, A, A, A];
    const kept = nn.sigmoid(f).mul(c);
    c = kept.add(nn.sigmoid(i).mul(np.tanh(g)));
    h = nn.sigmoid(o).mul(np.tanh(c.ref));
    return h.ref;
  });
  for (const used of [wx, wh, bx, bh, h, c]) used.dispose();
  return outputs;
}

function lstm(jax: Library): Model {
  const { numpy: np, tools } = jax;
  const cells = [64, 128].map((n): Cell => [
    tools.normal(n, 512).mul(0.05),
    tools.normal(128, 512).mul(0.05),
    np.zeros([512]),
    np.zeros([512]),
  ]);
  return {
    params: [cells, dense(jax, [128, 10])],
    forward: (params, x) => {
      const [cells, head] = params as [Cell[], Layer[]];
      const parts = np.split(x, 32, 0).map((t) => t.reshape([32, 64]));
      const outputs = cells.reduce((inputs, cell) => recur(jax, cell, inputs, 128), parts);
      for (const unused of outputs.slice(0, -1)) unused.dispose();
      return perceptron(jax, head, outputs.at(-1)!);
    },
    x: tools.normal(32, 32, 64),
    targets: 32,
    classes: 10,
  };
}

type Norm = [weight: A, bias: A];
type Transformer = [Norm, Norm, Layer, Layer, Layer, Layer];

const norm = ({ nn }: Jax, [weight, bias]: Norm, x: A): A => nn.standardize(x).mul(weight).add(bias);

/** Attention of [batch, length, width] in heads. By hand: the library's own needs iterators of Node 22. */
function attend({ numpy: np, nn }: Jax, qkv: A, heads: number, mask: A): A {
  const [n, length, width] = [qkv.shape[0]!, qkv.shape[1]!, qkv.shape[2]! / 3];
  const [q, k, v] = np
    .split(qkv, 3, 2)
    .map((part) => part.reshape([n, length, heads, width / heads]).transpose([0, 2, 1, 3])) as [A, A, A];
  const scores = np.matmul(q, k.transpose([0, 1, 3, 2])).mul(Math.sqrt(heads / width));
  const y = np.matmul(nn.softmax(scores.add(mask.ref), -1), v);
  return y.transpose([0, 2, 1, 3]).reshape([n, length, width]);
}

/** A layer over [batch, length, width]. */
function transform(
  jax: Jax,
  [norm1, norm2, qkv, out, up, down]: Transformer,
  x: A,
  heads: number,
  mask: A,
): A {
  const seen = attend(jax, project(jax, qkv, norm(jax, norm1, x.ref)), heads, mask);
  const y = x.add(project(jax, out, seen));
  const hidden = jax.nn.gelu(project(jax, up, norm(jax, norm2, y.ref)), { approximate: false });
  return y.add(project(jax, down, hidden));
}

/** What keeps each position from later ones, added to scores. */
const causal = ({ numpy: np }: Jax, n: number): A =>
  np
    .array(Float32Array.from({ length: n * n }, (_, k) => (k % n > Math.floor(k / n) ? -1e9 : 0)))
    .reshape([n, n]);

function gpt(jax: Library): Model {
  const { numpy: np, tools } = jax;
  const [width, heads, context, vocabulary] = [128, 4, 64, 1000];
  const unit = (): Norm => [np.ones([width]), np.zeros([width])];
  const one = (): Transformer => {
    const wide = [layer(jax, width, 4 * width), layer(jax, 4 * width, width)] as const;
    return [unit(), unit(), layer(jax, width, 3 * width), layer(jax, width, width), ...wide];
  };
  const mask = causal(jax, context);
  const tables = [tools.normal(vocabulary, width), tools.normal(context, width)];
  return {
    params: [tables, [one(), one()], unit(), tools.normal(width, vocabulary).mul(0.05)],
    forward: (params, x) => {
      const [[words, places], layers, last, head] = params as [A[], Transformer[], Norm, A];
      // A product: the gradient of picking rows cannot be jitted.
      const picked = np.matmul(jax.nn.oneHot(x, vocabulary), words!);
      const start = picked.reshape([-1, context, width]).add(places!);
      const end = layers.reduce((h, layer) => transform(jax, layer, h, heads, mask), start);
      return np.matmul(norm(jax, last, end).reshape([-1, width]), head);
    },
    x: ids(jax, 16 * context, vocabulary),
    targets: 16 * context,
    classes: vocabulary,
  };
}

export function models(bare: Jax): Readonly<Record<string, () => Model>> {
  const jax = { ...bare, tools: makeTools(bare) };
  return {
    tiny: () => mlp(jax, 16, 16, 32, 10),
    mlp: () => mlp(jax, 128, 784, 512, 256, 10),
    deep: () => mlp(jax, 32, ...Array<number>(21).fill(64), 10),
    cnn: () => cnn(jax),
    gpt: () => gpt(jax),
    recurrent: () => lstm(jax),
  };
}
