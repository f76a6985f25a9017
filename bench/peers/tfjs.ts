// TensorFlow.js on its WASM backend, from the folder named on the command line. What the backend cannot do (gradients of
// convolutions, for one) it reports as absent.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { UNKNOWN_WORK } from '../peer.js';
import { notInstalled, say, serve, type Make, type Run } from './serve.js';

interface T {
  dispose(): void;
  dataSync(): Float32Array;
}
type Variables = T[];
interface Optimizer {
  minimize(f: () => T, returnCost?: boolean, vars?: Variables): T | null;
  applyGradients(gradients: Record<string, T>): void;
}
/** What is used of the library. */
interface Tf {
  version_core: string;
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  tidy(fn: () => unknown): T;
  randomNormal(shape: number[]): T;
  randomUniform(shape: number[], low: number, high: number, type?: string): T;
  variable(initial: T, trainable?: boolean, name?: string): T;
  train: Record<string, (...args: number[]) => Optimizer>;
  losses: { softmaxCrossEntropy(labels: T, logits: T): T };
  oneHot(labels: T, depth: number): T;
  matMul(a: T, b: T, ta?: boolean, tb?: boolean): T;
  conv2d(x: T, w: T, stride: number, pad: string): T;
  maxPool(x: T, size: number, stride: number, pad: string): T;
  reshape(x: T, shape: number[]): T;
  add(a: T, b: T): T;
  relu(x: T): T;
  softmax(x: T, dim: number): T;
}
type Kind = (tf: Tf, ...args: never[]) => Run;

const call = (tf: Tf, op: string, ...xs: unknown[]): T =>
  (tf as unknown as Record<string, (...xs: unknown[]) => T>)[op]!(...xs);
const UNARY =
  'neg abs sign square reciprocal sqrt rsqrt floor ceil round relu exp expm1 log log1p sin cos tanh sigmoid softplus erf'.split(
    ' ',
  );
const BINARY = 'add sub mul div pow maximum minimum'.split(' ');

const unary =
  (op: string): Kind =>
  (tf, n: number) => {
    const x = tf.randomUniform([n], 0.5, 1.5);
    return () => call(tf, op, x).dispose();
  };

const binary =
  (op: string): Kind =>
  (tf, n0: number, n1: number, n2: number) => {
    const [a, b] = [tf.randomUniform([n0 * n1 * n2], 0.5, 1.5), tf.randomUniform([n0 * n1 * n2], 0.5, 1.5)];
    return () => call(tf, op, a, b).dispose();
  };

const reduction =
  (op: string): Kind =>
  (tf, outer: number, n: number, inner: number) => {
    const x = tf.randomNormal([outer, n, inner]);
    return () => call(tf, op, x, 1).dispose();
  };

const sgemm: Kind = (tf, m: number, n: number, k: number, ta: number, tb: number) => {
  const [a, b] = [tf.randomNormal(ta ? [k, m] : [m, k]), tf.randomNormal(tb ? [n, k] : [k, n])];
  return () => tf.matMul(a, b, ta === 1, tb === 1).dispose();
};

const softmax: Kind = (tf, rows: number, cols: number) => {
  const x = tf.randomNormal([rows, cols]);
  return () => tf.softmax(x, -1).dispose();
};

const conv2d: Kind = (tf, n: number, c: number, h: number, w: number, k: number, r: number, s: number) => {
  const [x, weight] = [tf.randomNormal([n, h, w, c]), tf.randomNormal([r, s, c, k])];
  return () => tf.conv2d(x, weight, 1, 'same').dispose();
};

const RULES: Record<string, (tf: Tf) => Optimizer> = {
  sgd: (tf) => tf.train['sgd']!(1e-3),
  momentum: (tf) => tf.train['momentum']!(1e-3, 0.9),
  adagrad: (tf) => tf.train['adagrad']!(1e-3),
  rmsprop: (tf) => tf.train['rmsprop']!(1e-3, 0.99),
  adam: (tf) => tf.train['adam']!(1e-3),
};

function rule(tf: Tf, name: string): Optimizer {
  const make = RULES[name];
  if (!make) throw new Error(UNKNOWN_WORK);
  return make(tf);
}

const optimizer: Kind = (tf, name: string, tensors: number, length: number) => {
  const opt = rule(tf, name);
  const gradients = Object.fromEntries(
    Array.from({ length: tensors }, (_, k) => {
      const variable = tf.variable(
        tf.randomNormal([length]),
        true,
        `${name} ${tensors} ${length} ${k} ${Math.random()}`,
      );
      return [(variable as unknown as { name: string }).name, tf.randomNormal([length])];
    }),
  );
  return () => opt.applyGradients(gradients);
};

/** A step of a model of dense layers after `features`. */
function step(
  tf: Tf,
  name: string,
  x: T,
  sizes: number[],
  features: (x: T) => T = (t) => t,
  filters: Variables = [],
): Run {
  const opt = rule(tf, name);
  const weights = sizes.slice(1).map((out, k) => tf.variable(tf.randomNormal([sizes[k]!, out])));
  const biases = sizes.slice(1).map((out) => tf.variable(tf.randomNormal([out])));
  const labels = tf.oneHot(tf.randomUniform([batchOf(x)], 0, 10, 'int32'), 10);
  const loss = (): T => {
    const logits = weights.reduce((h, w, k) => {
      const z = tf.add(tf.matMul(h, w), biases[k]!);
      return k + 1 < weights.length ? tf.relu(z) : z;
    }, features(x));
    return tf.losses.softmaxCrossEntropy(labels, logits);
  };
  return () => {
    const cost = opt.minimize(loss, true, [...filters, ...weights, ...biases])!;
    cost.dataSync();
    cost.dispose();
  };
}

const batchOf = (x: T): number => (x as unknown as { shape: number[] }).shape[0]!;

const cnn: Kind = (tf, name: string) => {
  const filters = [tf.variable(tf.randomNormal([3, 3, 1, 32])), tf.variable(tf.randomNormal([3, 3, 32, 64]))];
  const features = (x: T): T =>
    tf.reshape(
      filters.reduce((h, w) => tf.maxPool(tf.relu(tf.conv2d(h, w, 1, 'same')), 2, 2, 'valid'), x),
      [64, 64 * 49],
    );
  return step(tf, name, tf.randomNormal([64, 28, 28, 1]), [64 * 49, 128, 10], features, filters);
};

const KINDS: Record<string, Kind> = {
  ...Object.fromEntries(UNARY.map((op) => [op, unary(op)])),
  ...Object.fromEntries(BINARY.map((op) => [op, binary(op)])),
  sum: reduction('sum'),
  max: reduction('max'),
  sgemm,
  softmax,
  conv2d,
  optimizer,
  tiny: (tf, name: string) => step(tf, name, tf.randomNormal([16, 16]), [16, 32, 10]),
  mlp: (tf, name: string) => step(tf, name, tf.randomNormal([128, 784]), [784, 512, 256, 10]),
  deep: (tf, name: string) => step(tf, name, tf.randomNormal([32, 64]), [...Array<number>(21).fill(64), 10]),
  cnn,
};

async function main(folder: string): Promise<void> {
  if (!existsSync(path.join(folder, 'node_modules', '@tensorflow', 'tfjs'))) return say(notInstalled);
  const require = createRequire(path.join(folder, 'package.json'));
  // The library writes notices to standard output, where answers belong.
  console.info = console.warn = (...text: unknown[]) => console.error(...text);
  const tf = require('@tensorflow/tfjs') as Tf;
  const backend = require('@tensorflow/tfjs-backend-wasm') as { setWasmPaths?(path: string): void };
  backend.setWasmPaths?.(path.join(folder, 'node_modules/@tensorflow/tfjs-backend-wasm/dist/'));
  await tf.setBackend('wasm');
  await tf.ready();
  const kinds = Object.entries(KINDS).map(([kind, make]): [string, Make] => [
    kind,
    (...args: never[]) => make(tf, ...args),
  ]);
  await serve(Object.fromEntries(kinds), { version: tf.version_core, maxThreads: 1, isa: 'simd128' });
}

main(process.argv[2]!).catch((error: unknown) => say({ absent: String(error) }));
