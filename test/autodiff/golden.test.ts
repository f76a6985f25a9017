// Second order against PyTorch: Hessians, Hessian-vector products, gradient penalties, MAML, third derivatives, double backward.
import { describe, expect, it } from 'vitest';
import * as t from '../../src/index.js';
import type { Tensor } from '../../src/index.js';
import { inDouble } from '../../src/kernels/launch.js';
import {
  callGolden,
  decode,
  distance,
  readGolden,
  Skip,
  type Attrs,
  type Encoded,
} from '../support/golden.js';

type Params = Record<string, Tensor>;
type EncodedParams = Record<string, Encoded>;
interface HigherCase {
  name: string;
  kind: 'hessian' | 'gradientPenalty' | 'maml' | 'derivatives' | 'doubleBackward';
  model: string;
  function: string;
  op: string;
  attrs: Attrs & {
    activation: string;
    innerLr: number;
    innerSteps: number;
    lambda: number;
    l2: number;
    eps: number;
  };
  data: EncodedParams;
  params: EncodedParams;
  [field: string]: unknown;
}

const decodeAll = (p: EncodedParams): Params =>
  Object.fromEntries(Object.entries(p).map(([k, v]) => [k, decode(v)]));
const ints = (x: Encoded): Int32Array => Int32Array.from(x.data as number[]);

const ACTIVATIONS: Record<string, (x: Tensor) => Tensor> = {
  tanh: t.tanh,
  gelu: (x) => t.gelu(x),
  'leakyRelu(0.2)': (x) => t.leakyRelu(x, { negativeSlope: 0.2 }),
};

/** w1, b1, w2, b2, …: linear layers with an activation between them. */
function mlp(p: Params, x: Tensor, activation: string): Tensor {
  const layers = Object.keys(p).filter((k) => k.startsWith('w')).length;
  let h = x;
  for (let k = 1; k <= layers; k++) {
    h = t.linear(h, p[`w${k}`]!, p[`b${k}`]!);
    if (k < layers) h = ACTIVATIONS[activation]!(h);
  }
  return h;
}

function convNet(p: Params, x: Tensor, eps: number): Tensor {
  const h = t.conv2d(x, p['conv']!, p['convBias']!, { padding: 1 });
  const normed = t.batchNorm(h, { weight: p['gamma']!, bias: p['beta']!, training: true, eps });
  return t.linear(t.relu(normed).mean([2, 3]), p['w']!, p['b']!);
}

function lossOf(c: HigherCase): (p: Params) => Tensor {
  const x = decode(c.data['x']!);
  if (c.model === 'mlp') {
    const y = decode(c.data['y']!);
    return (p) => t.mseLoss(mlp(p, x, c.attrs.activation), y);
  }
  const y = ints(c.data['labels']!);
  if (c.model === 'softmaxRegression')
    return (p) =>
      t.crossEntropy(t.linear(x, p['w']!, p['b']!), y).add(
        p['w']!.square()
          .sum()
          .mul(c.attrs.l2 / 2),
      );
  return (p) => t.crossEntropy(convNet(p, x, c.attrs.eps), y);
}

function expectParams(got: Params, want: EncodedParams, bound: number): void {
  for (const [name, e] of Object.entries(want))
    expect(distance(got[name]!.storage.values(), e.data), name).toBeLessThanOrEqual(bound);
}

const inner = (a: Params, b: Params): Tensor =>
  Object.keys(a)
    .map((k) => a[k]!.mul(b[k]!).sum())
    .reduce((x, y) => x.add(y));

function hessianCase(c: HigherCase, bound: number): void {
  const [loss, params, vector] = [lossOf(c), decodeAll(c.params), decodeAll(c['vector'] as EncodedParams)];
  const [value, grads] = t.valueAndGrad(loss)(params);
  expect(distance([value.item()], [c['loss'] as number])).toBeLessThanOrEqual(bound);
  expectParams(grads, c['grads'] as EncodedParams, bound);
  const product = t.grad((p: Params) => inner(t.grad(loss)(p), vector))(params);
  expectParams(product, c['hvp'] as EncodedParams, bound);
  const full = c['hessian'] as Encoded | undefined;
  if (!full) return;
  const names = Object.keys(params);
  const flat = t.concat(names.map((n) => params[n]!.flatten()));
  const unflatten = (x: Tensor): Params => {
    let at = 0;
    return Object.fromEntries(
      names.map((n) => [
        n,
        x.narrow(0, (at += params[n]!.size) - params[n]!.size, params[n]!.size).reshape(params[n]!.shape),
      ]),
    );
  };
  const h = t.hessian((x: Tensor) => loss(unflatten(x)), flat);
  expect(distance(h.storage.values(), full.data)).toBeLessThanOrEqual(bound);
}

function penaltyCase(c: HigherCase, bound: number): void {
  const [data, params] = [decodeAll(c.data), decodeAll(c.params)];
  const { activation, lambda } = c.attrs;
  const critic = (p: Params, x: Tensor): Tensor => mlp(p, x, activation);
  const mix = data['eps']!.mul(data['real']!).add(t.sub(1, data['eps']!).mul(data['fake']!));
  const norms = (p: Params): Tensor => t.norm(t.grad((x: Tensor) => critic(p, x).sum())(mix), { dim: 1 });
  const penalty = (p: Params): Tensor => norms(p).sub(1).square().mean().mul(lambda);
  const loss = (p: Params): Tensor =>
    critic(p, data['fake']!).mean().sub(critic(p, data['real']!).mean()).add(penalty(p));
  expect(distance(norms(params).storage.values(), c['gradientNorms'] as number[])).toBeLessThanOrEqual(bound);
  const [value, grads] = t.valueAndGrad(penalty)(params);
  expect(distance([value.item()], [c['penalty'] as number])).toBeLessThanOrEqual(bound);
  expectParams(grads, c['penaltyGrads'] as EncodedParams, bound);
  expectParams(t.grad(loss)(params), c['grads'] as EncodedParams, bound);
}

function mamlCase(c: HigherCase, bound: number): void {
  const [data, params] = [decodeAll(c.data), decodeAll(c.params)];
  const { activation, innerLr, innerSteps } = c.attrs;
  const loss = (p: Params, x: Tensor, y: Tensor): Tensor => t.mseLoss(mlp(p, x, activation), y);
  const adapt = (start: Params, firstOrder: boolean): Params => {
    let p = start;
    for (let k = 0; k < innerSteps; k++) {
      const g = t.grad((q: Params) => loss(q, data['supportX']!, data['supportY']!))(p);
      p = Object.fromEntries(
        Object.entries(p).map(([n, v]) => [n, v.sub((firstOrder ? g[n]!.detach() : g[n]!).mul(innerLr))]),
      );
    }
    return p;
  };
  expectParams(adapt(params, false), c['adapted'] as EncodedParams, bound);
  const wanted = c['metaGrads'] as Record<'secondOrder' | 'firstOrder', EncodedParams>;
  for (const order of ['secondOrder', 'firstOrder'] as const) {
    const meta = (p: Params): Tensor =>
      loss(adapt(p, order === 'firstOrder'), data['queryX']!, data['queryY']!);
    const [value, grads] = t.valueAndGrad(meta)(params);
    expect(distance([value.item()], [c['metaLoss'] as number])).toBeLessThanOrEqual(bound);
    expectParams(grads, wanted[order], bound);
  }
}

const FUNCTIONS: Record<string, (x: Tensor) => Tensor> = {
  'exp(sin(x))*tanh(x^2)+log(1+x^2)': (x) =>
    x.sin().exp().mul(x.square().tanh()).add(x.square().add(1).log()),
  'x^3*sigmoid(2x)-sqrt(1+x^2)': (x) => x.pow(3).mul(x.mul(2).sigmoid()).sub(x.square().add(1).sqrt()),
};

function derivativesCase(c: HigherCase, bound: number): void {
  let f = FUNCTIONS[c.function]!;
  const x = decode({ shape: [(c['points'] as number[]).length], data: c['points'] as number[] });
  for (const order of ['value', 'first', 'second', 'third']) {
    expect(distance(f(x).storage.values(), c[order] as number[]), order).toBeLessThanOrEqual(bound);
    const g = f;
    f = (p) => t.grad((q: Tensor) => g(q).sum())(p);
  }
}

function doubleBackwardCase(c: HigherCase, bound: number): void {
  const inputs = (c['inputs'] as (Encoded | null)[]).map((e) => (e ? decode(e) : null));
  const reals = inputs.filter((x): x is Tensor => x !== null && x.storage.kind === 'real');
  const upstream = decode(c['upstream'] as Encoded);
  for (const x of [...reals, upstream]) x.requiresGrad = true;
  const y = callGolden(c.op, inputs, c.attrs);
  const grads = t.grad(y, reals, { gradOutputs: upstream, createGraph: true });
  const wanted = (c['grads'] as (Encoded | null)[]).filter((g): g is Encoded => g !== null);
  grads.forEach((g, k) => expect(distance(g.storage.values(), wanted[k]!.data)).toBeLessThanOrEqual(bound));
  const vectors = (c['vectors'] as (Encoded | null)[]).filter((g): g is Encoded => g !== null).map(decode);
  const total = grads.map((g, k) => g.mul(vectors[k]!).sum()).reduce((a, b) => a.add(b));
  const second = t.grad(total, [...reals, upstream], { allowUnused: true });
  const zero = (x: Tensor): number[] => Array<number>(x.size).fill(0);
  const expected = (c['secondGrads'] as (Encoded | null)[]).filter((g): g is Encoded => g !== null);
  [...expected, c['secondUpstream'] as Encoded].forEach((e, k) =>
    expect(
      distance(second[k]?.storage.values() ?? zero([...reals, upstream][k]!), e.data),
    ).toBeLessThanOrEqual(bound),
  );
}

const RUN = {
  hessian: hessianCase,
  gradientPenalty: penaltyCase,
  maml: mamlCase,
  derivatives: derivativesCase,
  doubleBackward: doubleBackwardCase,
};

function run(c: HigherCase, bound: number): void {
  try {
    RUN[c.kind](c, bound);
  } catch (error) {
    if (!(error instanceof Skip)) throw error;
  }
}

const cases = readGolden<HigherCase>('higher.json').map((c) => [c.name, c] as const);

describe(`golden second order on ${t.backend.name}`, () => {
  it.each(cases)('%s agrees in double precision', (_name, c) => inDouble(() => run(c, 1e-10)));
  it.each(cases)('%s agrees in single precision', (_name, c) => run(c, 1e-4));
});
