// The drop-in kernels on plain arrays: results, no copies where promised, and refusals before any memory is touched.
import { describe, expect, it } from 'vitest';
import * as k from '../../src/kernels.js';
import { layerNorm, tensor, type Tensor } from '../../src/index.js';
import * as optim from '../../src/optim/index.js';
import { backend } from '../../src/kernels/launch.js';
import { heap } from '../../src/memory/heap.js';
import { generator, seedOf, SEED } from '../support/random.js';

const random = generator(seedOf('direct'));
const array = (n: number): Float32Array => Float32Array.from({ length: n }, () => random() * 2 - 1);

/** Of ES2024; the types are those of ES2023. */
const Resizable = ArrayBuffer as unknown as new (
  bytes: number,
  options: { maxByteLength: number },
) => ArrayBuffer & { resize(bytes: number): void };

describe(`thalweg/kernels on ${backend.name} (seed ${SEED})`, () => {
  it.each(['exp', 'tanh', 'relu', 'sqrt', 'sigmoid'] as const)(
    '%s works on any array, on views, and in place',
    (name) => {
      const formula = {
        exp: Math.exp,
        tanh: Math.tanh,
        relu: (x: number) => Math.max(x, 0),
        sqrt: Math.sqrt,
        sigmoid: (x: number) => 1 / (1 + Math.exp(-x)),
      }[name];
      const whole = array(40).map(Math.abs);
      const x = whole.subarray(3, 24);
      const before = whole.slice();
      const out = new Float32Array(21);
      k[name](out, x);
      out.forEach((v, i) => expect(v).toBeCloseTo(formula(before[3 + i]!), 5));
      k[name](x, x);
      expect([...x]).toEqual([...out]);
      expect([...whole.subarray(0, 3)]).toEqual([...before.subarray(0, 3)]);
      expect([...whole.subarray(24)]).toEqual([...before.subarray(24)]);
    },
  );

  it('takes heap arrays and ordinary ones together', () => {
    const x = k.alloc(100);
    x.set(array(100));
    const out = new Float32Array(100);
    k.exp(out, x);
    out.forEach((v, i) => expect(v).toBeCloseTo(Math.exp(x[i]!), 5));
    k.exp(x, out.map(Math.log));
    x.forEach((v, i) => expect(v).toBeCloseTo(out[i]!, 5));
    k.free(x);
    expect(() => k.free(x)).toThrow(/free: expected an array from alloc\(\) that was not freed yet/);
  });

  it('gives back what it allocates', () => {
    const before = heap.used;
    for (let i = 0; i < 100; i++) k.free(k.alloc(10_000));
    expect(heap.used).toBe(before);
  });

  it.each([
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ])('sgemm with transA %s and transB %s obeys strides, alpha and beta', (ta, tb) => {
    const [m, n, p, lda, ldb, ldc] = [7, 5, 9, 11, 12, 8];
    const [a, b, c] = [array(lda * 9), array(ldb * 9), array(ldc * 7)];
    const want = Float64Array.from(c);
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++) {
        let total = 0;
        for (let q = 0; q < p; q++)
          total += a[ta ? q * lda + i : i * lda + q]! * b[tb ? j * ldb + q : q * ldb + j]!;
        want[i * ldc + j] = 0.5 * total + 2 * want[i * ldc + j]!;
      }
    k.sgemm(ta, tb, m, n, p, 0.5, a, lda, b, ldb, 2, c, ldc);
    c.forEach((v, i) => expect(v).toBeCloseTo(want[i]!, 5));
  });

  it('sgemm with beta 0 never reads C', () => {
    const c = new Float32Array(4).fill(NaN);
    k.sgemm(false, false, 2, 2, 1, 1, Float32Array.of(1, 2), 1, Float32Array.of(3, 4), 2, 0, c, 2);
    expect([...c]).toEqual([3, 4, 6, 8]);
  });

  it('vector routines agree with their sums', () => {
    const [x, y] = [array(37), array(37)];
    const sum = (f: (i: number) => number): number => x.reduce((total, _v, i) => total + f(i), 0);
    expect(k.sdot(x, y)).toBeCloseTo(
      sum((i) => x[i]! * y[i]!),
      10,
    );
    expect(k.snrm2(x)).toBeCloseTo(Math.sqrt(sum((i) => x[i]! ** 2)), 10);
    const z = y.slice();
    k.saxpy(0.5, x, z);
    z.forEach((v, i) => expect(v).toBeCloseTo(y[i]! + 0.5 * x[i]!, 6));
    k.sscal(3, z);
    z.forEach((v, i) => expect(v).toBeCloseTo(3 * (y[i]! + 0.5 * x[i]!), 5));
    expect(k.snrm2(Float32Array.of(3e38, 3e38))).toBe(Infinity);
    expect(k.snrm2(Float32Array.of(3e38, NaN))).toBeNaN();
    const out = new Float32Array(2);
    k.sgemv(false, 2, 3, 1, Float32Array.of(1, 2, 3, 4, 5, 6), 3, Float32Array.of(1, 0, -1), 0, out);
    expect([...out]).toEqual([-2, -2]);
    const back = new Float32Array(3);
    k.sgemv(true, 2, 3, 1, Float32Array.of(1, 2, 3, 4, 5, 6), 3, Float32Array.of(1, -1), 0, back);
    expect([...back]).toEqual([-3, -3, -3]);
  });

  it('softmax works by rows', () => {
    const out = new Float32Array(4);
    k.softmax(out, Float32Array.of(0, Math.log(3), 5, 5), 2, 2);
    [0.25, 0.75, 0.5, 0.5].forEach((v, i) => expect(out[i]).toBeCloseTo(v, 6));
  });

  it('layerNorm gives what the op gives, with and without weight and bias', () => {
    const [rows, cols] = [5, 19];
    const [x, weight, bias, out] = [array(95), array(19), array(19), array(95)];
    const whole = tensor(x, { shape: [rows, cols] });
    for (const options of [{}, { weight }, { bias: null, weight, eps: 1e-3 }, { weight, bias }]) {
      k.layerNorm(out, x, rows, cols, options);
      const { weight: w, bias: b, eps } = { bias: undefined, eps: 1e-5, ...options } as k.LayerNormOptions;
      const want = layerNorm(whole, [cols], {
        weight: w ? tensor(w) : undefined,
        bias: b ? tensor(b) : undefined,
        eps,
      });
      expect(out).toEqual(want.toFloat32Array());
    }
    const before = out.slice();
    k.layerNorm(out, x, 0, cols);
    k.layerNorm(out, x, rows, 0);
    const refuse = (call: () => void, message: RegExp): void => expect(call).toThrow(message);
    refuse(() => k.layerNorm(x, x, rows, cols), /layerNorm: out overlaps x; they must be apart/);
    refuse(() => k.layerNorm(out, x, 6, cols), /layerNorm: out has 95 elements, needs 114/);
    refuse(() => k.layerNorm(out, x, 2 ** 50, 1), /layerNorm: out has 95 elements, needs/);
    refuse(() => k.layerNorm(out, x, NaN, cols), /layerNorm: rows must be a whole number >= 0, got NaN/);
    refuse(
      () => k.layerNorm(out, x, 5, '19' as never),
      /layerNorm: cols must be a whole number >= 0, got "19"/,
    );
    refuse(
      () => k.layerNorm(out, x, rows, cols, { weight: bias.subarray(1) }),
      /weight has 18 elements, needs 19/,
    );
    refuse(() => k.layerNorm(out, x, rows, cols, { gamma: weight } as never), /unknown option "gamma"/);
    refuse(() => k.layerNorm(out, x, rows, cols, { eps: -1 }), /eps must be a finite number >= 0, got -1/);
    refuse(
      () => k.layerNorm(out, [] as never, rows, cols),
      /x must be a Float32Array, got an array of length 0/,
    );
    refuse(
      () => k.layerNorm(new Float32Array(4000), x, 2000, 2),
      new RegExp(`x has ${x.length} elements, needs 4000`),
    );
    expect(out).toEqual(before);
  });

  it('refuses wrong types, lengths, overlaps and numbers before it changes anything', () => {
    const x = array(8);
    const before = [...x];
    const refuse = (call: () => void, message: RegExp): void => expect(call).toThrow(message);
    refuse(() => k.exp(new Float32Array(7), x), /exp: out has 7 elements, needs 8/);
    refuse(() => k.exp([1, 2] as never, x), /exp: out must be a Float32Array, got an array of length 2/);
    refuse(
      () => k.exp(new Float64Array(8) as never, x),
      /exp: out must be a Float32Array, got a Float64Array/,
    );
    refuse(() => k.exp(undefined as never, x), /exp: out must be a Float32Array, got undefined/);
    refuse(() => k.exp(x, undefined as never), /exp: x must be a Float32Array, got undefined/);
    refuse(
      () => k.exp(x.subarray(0, 6), x.subarray(1, 7)),
      /exp: out overlaps x; they must be the same array or apart/,
    );
    refuse(
      () => k.sgemm(false, false, 2, 2, 2, 1, x, 2, x, 2, 0, x, 2),
      /sgemm: c overlaps a; they must be apart/,
    );
    refuse(
      () => k.sgemm(false, false, 2, 2, 2, 1, x, 1, x, 2, 0, new Float32Array(4), 2),
      /sgemm: lda is 1, needs at least 2/,
    );
    refuse(
      () => k.sgemm(false, false, 3, 3, 3, 1, x, 3, x, 3, 0, new Float32Array(9), 3),
      /sgemm: a has 8 elements, needs 9/,
    );
    refuse(
      () => k.softmax(new Float32Array(8), x, 2.5, 2),
      /softmax: rows must be a whole number >= 0, got 2.5/,
    );
    refuse(
      () => k.softmax(new Float32Array(8), x, 2, -1),
      /softmax: cols must be a whole number >= 0, got -1/,
    );
    refuse(
      () => k.softmax(new Float32Array(8), x, undefined as never, 1),
      /softmax: rows must be .* got undefined/,
    );
    refuse(() => k.saxpy('2' as never, x, array(8)), /saxpy: alpha must be a number, got "2"/);
    refuse(() => k.sscal(undefined as never, x), /sscal: alpha must be a number, got undefined/);
    refuse(
      () => k.sgemm(false, false, 2, 2, undefined as never, 1, x, 2, x, 2, 0, array(4), 2),
      /sgemm: k must be a whole number >= 0, got undefined/,
    );
    refuse(
      () => k.sgemm(false, false, 2, 2, 2, 1, x, 2.5, x, 2, 0, array(4), 2),
      /sgemm: lda must be a whole number >= 0, got 2.5/,
    );
    // BLAS's letters would all be true.
    refuse(
      () => k.sgemm('N' as never, false, 2, 2, 2, 1, x, 2, x, 2, 0, array(4), 2),
      /sgemm: transA must be true or false, got "N"/,
    );
    refuse(
      () => k.sgemm(false, 'N' as never, 2, 2, 2, 1, x, 2, x, 2, 0, array(4), 2),
      /sgemm: transB must be true or false, got "N"/,
    );
    refuse(
      () => k.sgemv(0 as never, 2, 2, 1, x, 2, array(2), 0, array(2)),
      /sgemv: trans must be true or false/,
    );
    refuse(() => k.alloc(-1), /alloc: length must be a whole number in \[0, 2\^30\], got -1/);
    refuse(() => k.softmax(new Float32Array(8), x, 2 ** 40, 2 ** 40), /softmax: out has 8 elements, needs/);
    expect([...x]).toEqual(before);
  });

  it('refuses an array whose buffer was transferred away or shrunk, as output and as the input that says how long', () => {
    const gone = array(8);
    structuredClone(gone.buffer, { transfer: [gone.buffer as ArrayBuffer] });
    const buffer = new Resizable(32, { maxByteLength: 64 });
    const [fixed, tracking] = [new Float32Array(buffer, 0, 8), new Float32Array(buffer)];
    buffer.resize(8);
    for (const x of [gone, fixed]) {
      expect(() => k.exp(x, array(4))).toThrow(
        /exp: out has 0 elements, needs 4; was its buffer transferred or resized\?/,
      );
      const lost = /: \w+ has lost its memory; was its buffer transferred or resized\?/;
      expect(() => k.exp(array(4), x)).toThrow(lost);
      expect(() => k.exp(x, array(0))).toThrow(lost);
      expect(() => k.snrm2(x)).toThrow(lost);
      expect(() => k.sdot(x, array(2))).toThrow(lost);
      expect(() => k.sgdStep(x, array(8), { lr: 1 })).toThrow(lost);
      expect(() => k.sgdStep(array(8), x, { lr: 1 })).toThrow(/grad has 0 elements, needs 8; was its buffer/);
    }
    expect(() => k.exp(tracking, array(8))).toThrow(/exp: out has 2 elements, needs 8/);
    k.exp(tracking, array(2));
    buffer.resize(64);
    k.exp(tracking, new Float32Array(16));
    expect([...tracking]).toEqual(Array(16).fill(1));
    k.exp(array(0), array(0));
  });
});

describe('optimizer updates on plain arrays', () => {
  const n = 37;
  type Update = (p: Float32Array, g: Float32Array, s: Float32Array[], step: number) => void;
  const rules: [string, number, Update, (p: [string, Tensor][]) => optim.Optimizer][] = [
    [
      'sgdStep',
      0,
      (p, g) => k.sgdStep(p, g, { lr: 0.1, weightDecay: 0.01 }),
      (p) => new optim.SGD(p, { lr: 0.1, weightDecay: 0.01 }),
    ],
    [
      'momentumStep',
      1,
      (p, g, [v], step) => k.momentumStep(p, g, v!, { lr: 0.1, momentum: 0.8, dampening: 0.1, step }),
      (p) => new optim.SGD(p, { lr: 0.1, momentum: 0.8, dampening: 0.1 }),
    ],
    [
      'adagradStep',
      1,
      (p, g, [s], step) => k.adagradStep(p, g, s!, { lr: 0.1, step }),
      (p) => new optim.Adagrad(p, { lr: 0.1 }),
    ],
    [
      'rmspropStep',
      1,
      (p, g, [s], step) => k.rmspropStep(p, g, s!, { lr: 0.01, step }),
      (p) => new optim.RMSProp(p, { lr: 0.01 }),
    ],
    [
      'adamStep',
      2,
      (p, g, [m, v], step) => k.adamStep(p, g, m!, v!, { lr: 0.01, step }),
      (p) => new optim.Adam(p, { lr: 0.01 }),
    ],
    [
      'adamStep, decoupled',
      2,
      (p, g, [m, v], step) => k.adamStep(p, g, m!, v!, { lr: 0.01, step, weightDecay: 0.1, decoupled: true }),
      (p) => new optim.AdamW(p, { lr: 0.01, weightDecay: 0.1 }),
    ],
    [
      'amsgradStep',
      3,
      (p, g, [m, v, x], step) => k.amsgradStep(p, g, m!, v!, x!, { lr: 0.01, step }),
      (p) => new optim.AMSGrad(p, { lr: 0.01 }),
    ],
    [
      'adaboundStep',
      2,
      (p, g, [m, v], step) => k.adaboundStep(p, g, m!, v!, { lr: 0.01, step }),
      (p) => new optim.AdaBound(p, { lr: 0.01 }),
    ],
    [
      'lionStep',
      1,
      (p, g, [m], step) => k.lionStep(p, g, m!, { lr: 0.01, weightDecay: 0.1, step }),
      (p) => new optim.Lion(p, { lr: 0.01, weightDecay: 0.1 }),
    ],
  ];

  it.each(rules)('%s gives the bits of its optimizer', (_name, states, direct, build) => {
    const param = array(n);
    const tracked = tensor(param, { requiresGrad: true });
    const opt = build([['p', tracked]]);
    const state = Array.from({ length: states }, () => new Float32Array(n));
    for (let step = 1; step <= 4; step++) {
      const grad = array(n);
      direct(param, grad, state, step);
      tracked.grad = tensor(grad);
      opt.step();
      expect(tracked.toFloat32Array()).toEqual(param);
    }
  });

  // Taken, a momentum without a velocity would be a pointer to nowhere.
  it('refuse options that need other states than they have, or none', () => {
    const [p, g, a, b] = [array(4), array(4), array(4), array(4)];
    const before = [...p];
    const wrong: [Record<string, unknown>, (options: never) => void][] = [
      [{ momentum: 0.9 }, (options) => k.sgdStep(p, g, options)],
      [{ nesterov: true }, (options) => k.sgdStep(p, g, options)],
      [{ variant: 'classical' }, (options) => k.sgdStep(p, g, options)],
      [{ momentum: 0.9 }, (options) => k.rmspropStep(p, g, a, options)],
      [{ centered: true }, (options) => k.rmspropStep(p, g, a, options)],
      [{ amsgrad: true }, (options) => k.adamStep(p, g, a, b, options)],
      [{ initialAccumulatorValue: 1 }, (options) => k.adagradStep(p, g, a, options)],
    ];
    for (const [options, call] of wrong)
      expect(() => call(options as never)).toThrow(`unknown option "${Object.keys(options)[0]}"; `);
    expect(() => k.momentumStep(p, g, a, { momentum: 0 })).toThrow(
      /momentum must be a finite number > 0, got 0/,
    );
    expect([...p]).toEqual(before);
  });

  it('refuse bad options and arrays before anything is changed', () => {
    const [p, g, m, v] = [array(4), array(4), array(4), array(4)];
    const before = [...p];
    expect(() => k.adamStep(p, g, m, v, { lr: NaN })).toThrow(/adamStep: lr must be .*got NaN/);
    expect(() => k.adamStep(p, g, m, v, { lr: 1, beta: 1 } as never)).toThrow(
      /adamStep: unknown option "beta"; did you mean "betas"/,
    );
    expect(() => k.adamStep(p, g, m, v.subarray(1), { lr: 1 })).toThrow(
      /adamStep: v has 3 elements, needs 4/,
    );
    expect(() => k.adamStep(p, g, m, m, { lr: 1 })).toThrow(/adamStep: m overlaps v; they must be apart/);
    expect(() => k.adamStep(p, g, m, v, { lr: 1, step: 0 })).toThrow(
      /adamStep: step must be an integer >= 1, got 0/,
    );
    expect(() => k.adamStep(p, g, m, v, { decoupled: 'no' } as never)).toThrow(
      /adamStep: decoupled must be true or false, got "no"/,
    );
    expect(() => k.momentumStep(p, g, m, null as never)).toThrow(
      /momentumStep: options must be an object, got null/,
    );
    expect(() => k.momentumStep(p, g, { lr: 1 } as never)).toThrow(
      /momentumStep: velocity must be a Float32Array, got an Object/,
    );
    expect([...p]).toEqual(before);
  });
});
