// Every op of the table: its gradients to second order against finite differences in double precision, its fused rule
// against the plain one, the engine in use against the reference, and its error messages.
import { describe, expect, it } from 'vitest';
import * as thalweg from '../../src/index.js';
import { inDouble } from '../../src/kernels/launch.js';
import * as ops from '../../src/ops/index.js';
import { generator as draws } from '../../src/ops/random.js';
import type { OpFacts, OpRow, Sample } from '../../src/tensor/op.js';
import { type Tensor, wrap } from '../../src/tensor/tensor.js';
import { sizeOf } from '../../src/tensor/shape.js';
import { generator, SEED, seedOf } from '../support/random.js';

type AnyOp = ((...xs: Tensor[]) => Tensor) & { facts: OpFacts; row?: OpRow };
const table = Object.entries(ops).filter(([, op]) => typeof op === 'function' && 'facts' in op) as [
  string,
  AnyOp,
][];

function inputs(name: string, { shapes, domain = [-2, 2] }: Sample): Tensor[] {
  const random = generator(seedOf(name));
  return shapes.map((shape) => {
    const values = Float32Array.from(
      { length: sizeOf(shape) },
      () => domain[0] + (domain[1] - domain[0]) * random(),
    );
    return wrap(values, shape);
  });
}

const callOf = (op: AnyOp, sample: Sample): ((...xs: Tensor[]) => Tensor) => sample.call ?? op;

describe(`ops (seed ${SEED}, ${thalweg.backend.name})`, () => {
  it('has a table that is not empty', () => expect(table.length).toBeGreaterThan(90));

  it.each(table)(
    '%s: gradients agree with finite differences, to second order where there is one',
    (name, op) => {
      const [order] = op.facts.order ?? [2];
      for (const sample of op.facts.samples()) {
        if (order === 0 || sample.shapes.some((s) => sizeOf(s) === 0)) continue;
        thalweg.gradcheck(callOf(op, sample), inputs(name, sample), { order });
      }
    },
  );

  it.each(table)('%s: this engine agrees with the reference in double precision', (name, op) => {
    for (const sample of op.facts.samples()) {
      const xs = inputs(name, sample);
      const state = draws.state;
      const got = callOf(op, sample)(...xs);
      draws.state = state;
      const want = inDouble(() => callOf(op, sample)(...xs));
      expect(got.shape).toEqual(want.shape);
      const [a, b] = [got.toFloat32Array(), want.storage.values()];
      a.forEach((v, k) =>
        expect(Math.abs(v - b[k]!), `${name} [${k}]: ${v} against ${b[k]}`).toBeLessThanOrEqual(
          2e-5 * Math.max(1, Math.abs(b[k]!)),
        ),
      );
    }
  });

  const fused = table.filter(([, op]) => op.row?.vjpFused);
  it.each(fused)('%s: the fused gradient rule equals the plain one', (name, op) => {
    for (const sample of op.facts.samples()) {
      if (sample.shapes.some((s) => sizeOf(s) === 0)) continue;
      const run = (createGraph: boolean): Float32Array[] => {
        const xs = inputs(name, sample);
        for (const x of xs) x.requiresGrad = true;
        const y = callOf(op, sample)(...xs);
        const weight = wrap(
          Float32Array.from({ length: y.size }, (_, k) => Math.cos(k + 1)),
          y.shape,
        );
        const gs = thalweg.grad(y.mul(weight).sum(), xs, { createGraph });
        return gs.map((g) => g.toFloat32Array());
      };
      const [plain, quick] = [run(true), run(false)];
      quick.forEach((g, i) => g.forEach((v, k) => expect(v).toBeCloseTo(plain[i]![k]!, 4)));
    }
  });

  const failing = table.filter(([, op]) => op.facts.errors);
  it.each(failing)('%s: refuses bad input in one sentence', (_name, op) => {
    for (const [call, message] of op.facts.errors!()) expect(call).toThrow(message);
  });
});
