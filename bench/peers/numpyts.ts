// numpy-ts, which computes in WASM, from the folder named on the command line: products, pointwise functions and
// reductions. It has no gradients.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { notInstalled, say, serve, type Make, type Run } from './serve.js';

interface A {
  dispose(): void;
  astype(type: string): A;
  transpose(): A;
  copy(): A;
}
/** What is used of the library. */
type Numpy = Record<string, (...xs: (A | number)[]) => A | number> & {
  random: { standard_normal(shape: number[]): A; random(shape: number[]): A };
};

const UNARY: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    'sign square reciprocal sqrt floor ceil trunc exp expm1 log log1p sin cos tanh'
      .split(' ')
      .map((op) => [op, op]),
  ),
  neg: 'negative',
  abs: 'absolute',
};
const BINARY: Readonly<Record<string, string>> = {
  add: 'add',
  sub: 'subtract',
  mul: 'multiply',
  div: 'divide',
  pow: 'power',
  maximum: 'maximum',
  minimum: 'minimum',
};
const REDUCTIONS = ['sum', 'prod', 'max', 'min', 'argmax', 'argmin', 'cumsum'];

/** Calls `op` and gives its result back. */
const calling =
  (np: Numpy, op: string, ...xs: (A | number)[]): Run =>
  () => {
    const y = np[op]!(...xs);
    if (typeof y === 'object') y.dispose();
  };

function makeKinds(np: Numpy): Record<string, Make> {
  const normal = (...shape: number[]): A => np.random.standard_normal(shape).astype('float32');
  const positive = (...shape: number[]): A =>
    (np['add']!(np.random.random(shape), 0.5) as A).astype('float32');
  // Ten times as fast as the product of views: transposed arrays are copied first.
  const sgemm: Make = (m: number, n: number, k: number, ta: number, tb: number) => {
    const [a, b] = [ta ? normal(k, m) : normal(m, k), tb ? normal(n, k) : normal(k, n)];
    if (!ta && !tb) return calling(np, 'matmul', a, b);
    return () => {
      const [left, right] = [ta ? a.transpose().copy() : a, tb ? b.transpose().copy() : b];
      calling(np, 'matmul', left, right)();
      if (ta) left.dispose();
      if (tb) right.dispose();
    };
  };
  return {
    ...Object.fromEntries(
      Object.entries(UNARY).map(([kind, op]): [string, Make] => [
        kind,
        (n: number) => calling(np, op, positive(n)),
      ]),
    ),
    relu: (n: number) => calling(np, 'maximum', normal(n), 0),
    ...Object.fromEntries(
      Object.entries(BINARY).map(([kind, op]): [string, Make] => [
        kind,
        (n0: number, n1: number, n2: number) =>
          calling(np, op, positive(n0 * n1 * n2), positive(n0 * n1 * n2)),
      ]),
    ),
    ...Object.fromEntries(
      REDUCTIONS.map((op): [string, Make] => [
        op,
        (outer: number, n: number, inner: number) => calling(np, op, positive(outer, n, inner), 1),
      ]),
    ),
    dot: (n: number) => calling(np, 'dot', normal(n), normal(n)),
    sgemm,
    matmul: (_batch: number, ...sizes: never[]) => sgemm(...sizes),
  };
}

async function main(folder: string): Promise<void> {
  const home = path.join(folder, 'node_modules', 'numpy-ts');
  if (!existsSync(home)) return say(notInstalled);
  const np = (await import(pathToFileURL(path.join(home, 'dist', 'esm', 'index.js')).href)) as Numpy;
  const { version } = JSON.parse(await readFile(path.join(home, 'package.json'), 'utf8')) as {
    version: string;
  };
  await serve(makeKinds(np), { version, maxThreads: 1, isa: 'simd128' });
}

main(process.argv[2]!).catch((error: unknown) => say({ absent: String(error) }));
