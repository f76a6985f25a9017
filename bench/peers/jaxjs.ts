// jax-js on its WASM backend, which has one thread in Node, from the folder named on the command line. Everything is
// jitted, as in jax_kernels.py.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { optimizerKinds } from './jaxjs-optimizers.js';
import { makeTools, type A, type Jax } from './jaxjs-tools.js';
import { stepKinds } from './jaxjs-steps.js';
import { notInstalled, say, serve, type Make } from './serve.js';

const UNARY: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    'abs sign square reciprocal sqrt floor ceil trunc exp expm1 log log1p sin cos tanh'
      .split(' ')
      .map((op) => [op, op]),
  ),
  neg: 'negative',
};
const BINARY = {
  add: 'add',
  sub: 'subtract',
  mul: 'multiply',
  div: 'divide',
  pow: 'power',
  maximum: 'maximum',
  minimum: 'minimum',
};
const REDUCTIONS = ['sum', 'prod', 'max', 'min', 'argmax', 'argmin', 'cumsum'];

/** Products, pointwise functions, reductions, softmax and convolutions. */
function kernelKinds(jax: Jax): Record<string, Make> {
  const { numpy: np, nn, lax } = jax;
  const { normal, uniform, jitted } = makeTools(jax);
  const named = (op: string): ((...xs: A[]) => A) => np[op] as unknown as (...xs: A[]) => A;
  const unary =
    (f: (x: A) => A): Make =>
    (n: number) =>
      jitted(f, uniform(n));
  const sgemm: Make = (m: number, n: number, k: number, ta: number, tb: number) =>
    jitted(
      (a: A, b: A) => np.matmul(ta ? a.transpose() : a, tb ? b.transpose() : b),
      normal(...(ta ? [k, m] : [m, k])),
      normal(...(tb ? [n, k] : [k, n])),
    );
  const conv2d: Make = (n: number, c: number, h: number, w: number, k: number) =>
    jitted(
      (x: A, f: A) => lax.convGeneralDilated(x, f, [1, 1], 'SAME'),
      normal(n, c, h, w),
      normal(k, c, 3, 3),
    );
  return {
    ...Object.fromEntries(Object.entries(UNARY).map(([kind, op]) => [kind, unary(named(op))])),
    relu: unary(nn.relu),
    sigmoid: unary(nn.sigmoid),
    silu: unary(nn.silu),
    softplus: unary(nn.softplus),
    erf: unary(lax.erf),
    gelu: unary((x) => nn.gelu(x, { approximate: false })),
    geluTanh: unary((x) => nn.gelu(x)),
    ...Object.fromEntries(
      Object.entries(BINARY).map(([kind, op]): [string, Make] => [
        kind,
        (n0: number, n1: number, n2: number) =>
          jitted(named(op), uniform(n0 * n1 * n2), uniform(n0 * n1 * n2)),
      ]),
    ),
    ...Object.fromEntries(
      REDUCTIONS.map((op): [string, Make] => [
        op,
        (outer: number, n: number, inner: number) =>
          jitted((x: A) => (np[op] as unknown as (x: A, axis: number) => A)(x, 1), uniform(outer, n, inner)),
      ]),
    ),
    softmax: (rows: number, cols: number) => jitted((x: A) => nn.softmax(x, -1), normal(rows, cols)),
    logSoftmax: (rows: number, cols: number) => jitted((x: A) => nn.logSoftmax(x, -1), normal(rows, cols)),
    dot: (n: number) => jitted((a: A, b: A) => np.dot(a, b), normal(n), normal(n)),
    sgemm,
    matmul: (_batch: number, ...sizes: never[]) => sgemm(...sizes),
    conv2d,
  };
}

async function main(folder: string): Promise<void> {
  const home = path.join(folder, 'node_modules', '@jax-js', 'jax');
  if (!existsSync(home)) return say(notInstalled);
  const jax = (await import(pathToFileURL(path.join(home, 'dist', 'index.js')).href)) as Jax;
  await jax.init('wasm');
  jax.defaultDevice('wasm');
  const { version } = JSON.parse(await readFile(path.join(home, 'package.json'), 'utf8')) as {
    version: string;
  };
  const kinds = { ...kernelKinds(jax), ...optimizerKinds(jax), ...stepKinds(jax) };
  await serve(kinds, { version, maxThreads: 1, isa: 'simd128' });
}

main(process.argv[2]!).catch((error: unknown) => say({ absent: String(error) }));
