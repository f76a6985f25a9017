// What is used of jax-js, and what its works share. A function of it takes over its arguments; `.ref` keeps one.
import type { Run } from './serve.js';

/** An array. */
export interface A {
  ref: A;
  shape: number[];
  size: number;
  dispose(): void;
  blockUntilReady(): Promise<A>;
  data(): Promise<Float32Array>;
  add(x: A | number): A;
  sub(x: A | number): A;
  mul(x: A | number): A;
  div(x: A | number): A;
  sum(): A;
  max(axes: number[]): A;
  transpose(order?: number[]): A;
  reshape(shape: number[]): A;
}

/** Arrays in arrays and plain objects. */
export type Tree = A | null | Tree[] | { [key: string]: Tree };

type Unary = (x: A) => A;
type Fill = (shape: number[]) => A;

export interface Jax {
  init: (device: string) => Promise<string[]>;
  defaultDevice: (device: string) => void;
  numpy: Record<string, (...args: never[]) => unknown> & {
    matmul: (a: A, b: A) => A;
    dot: (a: A, b: A) => A;
    array: (values: Float32Array | Int32Array, options?: { dtype?: string }) => A;
    zeros: Fill;
    ones: Fill;
    sqrt: Unary;
    tanh: Unary;
    maximum: (a: A, b: A) => A;
    split: (x: A, parts: number, axis: number) => A[];
  };
  nn: Record<'relu' | 'sigmoid' | 'silu' | 'softplus', Unary> & {
    gelu: (x: A, options?: { approximate?: boolean }) => A;
    softmax: (x: A, axis: number) => A;
    logSoftmax: (x: A, axis: number) => A;
    oneHot: (x: A, classes: number) => A;
    standardize: Unary;
  };
  lax: {
    erf: Unary;
    convGeneralDilated: (x: A, filter: A, strides: number[], padding: string) => A;
  };
  random: {
    key: (seed: number) => A;
    normal: (key: A, shape: number[]) => A;
    uniform: (key: A, shape: number[], options: { minval: number; maxval: number }) => A;
  };
  tree: {
    leaves: (tree: Tree) => A[];
    ref: <T extends Tree>(tree: T) => T;
    structure: (tree: Tree) => unknown;
    unflatten: (structure: unknown, leaves: A[]) => Tree;
  };
  jit: <F>(f: F) => F;
  valueAndGrad: <P extends Tree>(f: (params: P, ...rest: A[]) => A) => (params: P, ...rest: A[]) => [A, P];
}

export interface Tools {
  normal: (...shape: number[]) => A;
  /** Positive numbers about one. */
  uniform: (...shape: number[]) => A;
  /** What is timed: a compiled call, and its result. */
  jitted: (f: (...xs: A[]) => A, ...inputs: A[]) => Run;
}

export function makeTools({ random, jit }: Jax): Tools {
  let seed = 0;
  return {
    normal: (...shape) => random.normal(random.key(seed++), shape),
    uniform: (...shape) => random.uniform(random.key(seed++), shape, { minval: 0.5, maxval: 1.5 }),
    jitted(f, ...inputs) {
      const call = jit(f);
      return async () => {
        const y = call(...inputs.map((x) => x.ref));
        await y.blockUntilReady();
        y.dispose();
      };
    },
  };
}
